"""Generators of statements and what they wait for."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from botwire import ConflictError, InvalidRequestError, Memory
from botwire.engines.sql.steps import WAIT, Rows, Statement, Steps, side_by_side
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.errors import BotWireError


def part(name: str, rounds: int, failure: BotWireError | None = None) -> Steps:
    """Needs rows once per round, after a statement that it does not wait for."""
    heard = []
    for number in range(rounds):
        later: Rows = []
        yield Statement("SELECT ?", (f"{name}{number}'",), then=later.extend)
        if number % 2:
            yield WAIT
            heard += later
        rows = yield Statement("SELECT ?", (f"{name}{number}",))
        heard += rows
    if failure is not None:
        raise failure
    return heard


def run(steps: Steps) -> tuple[object, list[list[str]]]:
    """Runs steps as late as possible; returns the result and the statements of each round."""
    rounds: list[list[str]] = [[]]
    unread = []
    rows: Rows = []
    try:
        step = next(steps)
        while True:
            rows = []
            if step is not WAIT:
                rounds[-1] += step.parameters
                unread.append((step.then or rows.extend, [tuple(step.parameters)]))
            if step.waits:
                for then, told in unread:
                    then(told)
                unread.clear()
                rounds.append([])
            step = steps.send(rows)
    except StopIteration as stop:
        return stop.value, [names for names in rounds if names]


def test_generators_side_by_side_ask_in_rounds_and_answer_as_one_after_the_other() -> None:
    results, rounds = run(side_by_side([part("a", 1), part("b", 0), part("c", 3)]))
    assert results == [run(part("a", 1))[0], run(part("b", 0))[0], run(part("c", 3))[0]]
    assert rounds == [["a0'", "a0", "c0'", "c0"], ["c1'"], ["c1"], ["c2'", "c2"]]


def test_of_generators_side_by_side_the_first_failure_counts_however_late() -> None:
    late, early = ConflictError("first"), InvalidRequestError("second")
    parts = [part("a", 4), part("b", 3, late), part("c", 1, early), part("d", 9)]
    with pytest.raises(ConflictError, match="first"):
        run(side_by_side(parts))
    parts = [part("a", 2), part("b", 1, early)]
    with pytest.raises(InvalidRequestError, match="second"):
        run(side_by_side(parts))


@pytest.mark.parametrize(
    ("sql", "waits"),
    [
        ("SELECT 1", True),
        ("INSERT INTO t VALUES (1) RETURNING n", True),
        ("DELETE FROM t", False),
        ("UPDATE t SET n = (SELECT 1)", False),
        ("CREATE TABLE u (n)", False),
    ],
)
def test_what_has_rows_is_waited_for_unless_they_are_taken_later(sql: str, waits: bool) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as database, database:
        database.execute("CREATE TABLE t (n)")
        assert (database.execute(sql).description is not None) == waits
    assert Statement(sql).waits == waits
    assert not Statement(sql, then=print).waits
    assert not Statement(sql, [], many=True).waits
    assert WAIT.waits


def test_on_sqlite_a_stale_version_is_found_before_anything_is_written() -> None:
    engine = SQLiteEngine(MEMORY)
    memory = Memory("n", engine=engine)
    memory.set("k", 1)
    asked: list[str] = []
    engine._writer.open().set_trace_callback(asked.append)
    with pytest.raises(ConflictError):
        memory.set("k", 2, if_version=7)
    assert any("version FROM botwire_keys" in sql for sql in asked)
    assert not any(sql.startswith("INSERT") for sql in asked)
    engine.close()
