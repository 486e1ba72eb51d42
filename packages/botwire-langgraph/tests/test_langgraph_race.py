"""The benchmark's races on a small scale: each acknowledged write is kept exactly once."""

from __future__ import annotations

import pytest

from benchmarks.races import frame, langgraph_race


@pytest.mark.parametrize("contender", [langgraph_race.OurSaver, langgraph_race.OurBackend])
def test_two_processes_that_race_lose_nothing(contender: type[frame.Contender]) -> None:
    if contender is langgraph_race.OurBackend:
        reason = "it needs newer releases than the oldest tested here"
        pytest.importorskip("deepagents", reason=reason)
    result = frame.race(contender, processes=2, writes=3, postgres=None)
    assert (result.acknowledged, result.kept, result.twice, result.errors) == (6, 6, 0, {})
