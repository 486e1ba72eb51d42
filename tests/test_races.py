"""The framework for races counts correctly."""

from __future__ import annotations

import pytest

from benchmarks.races import frame, run
from tests import contenders

PROCESSES, WRITES = 2, 3
ALL = PROCESSES * WRITES


def raced(contender: type[frame.Contender]) -> frame.Result:
    return frame.race(contender, PROCESSES, WRITES, None)


@pytest.mark.parametrize(
    ("contender", "acknowledged", "kept", "twice", "errors", "refused"),
    [
        (contenders.Faithful, ALL, ALL, 0, {}, 0),
        (contenders.Forgetful, ALL, ALL - PROCESSES, 0, {}, 0),
        (contenders.Repeating, ALL, ALL, PROCESSES, {}, 0),
        (contenders.Failing, ALL - PROCESSES, ALL - PROCESSES, 0, {"OSError": PROCESSES}, 0),
        (contenders.Refusing, ALL, ALL, 0, {}, ALL),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_race_counts_what_is_kept_lost_doubled_and_refused(
    contender: type[frame.Contender],
    acknowledged: int,
    kept: int,
    twice: int,
    errors: dict[str, int],
    refused: int,
) -> None:
    result = raced(contender)
    assert result.attempted == ALL
    assert (result.acknowledged, result.kept, result.twice) == (acknowledged, kept, twice)
    assert (result.errors, result.refused) == (errors, refused)


def test_a_memory_that_cannot_be_read_has_kept_nothing() -> None:
    result = raced(contenders.Unreadable)
    assert (result.acknowledged, result.kept, result.unreadable) == (ALL, 0, "UnicodeError")
    assert "| unreadable: UnicodeError |" in frame.row(contenders.Unreadable, result)


def test_a_contender_that_is_not_installed_is_missing_and_not_beaten() -> None:
    result = raced(contenders.NotInstalled)
    assert result.missing == "no such program"
    row = frame.row(contenders.NotInstalled, result)
    assert "| missing |" in row
    assert row.count("|") == frame.HEAD.splitlines()[1].count("|")


def test_each_race_has_a_row_of_its_own_in_the_table() -> None:
    row = frame.row(contenders.Faithful, raced(contenders.Faithful))
    assert row.startswith(f"| none | `Faithful` | a line | {ALL} of {ALL} | {ALL} | 0 | 0 | 0 | ")
    assert row.count("|") == frame.HEAD.splitlines()[0].count("|")
    assert {"langgraph", "llamaindex", "crewai", "openai_agents"} <= {*run.programs()}
