"""The benchmark's race on a small scale: each acknowledged write is kept exactly once."""

from __future__ import annotations

from benchmarks.races import frame, openai_agents_race


def test_two_processes_that_race_lose_nothing() -> None:
    result = frame.race(openai_agents_race.OurSession, processes=2, writes=3, postgres=None)
    assert (result.acknowledged, result.kept, result.twice, result.errors) == (6, 6, 0, {})
