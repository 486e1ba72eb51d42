"""The log of changes is kept for at least one day and at most three, whoever writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire import Memory
from botwire import operations as ops
from botwire.engines.postgres import PostgresEngine
from botwire.engines.protocol import Engine
from botwire.engines.sql import accounts, sweeping
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from tests.stores import Clock

DAY = 86_400
MIDNIGHT = 20_000 * DAY


@pytest.fixture
def clock() -> Clock:
    return Clock(MIDNIGHT * 1_000_000)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Engine]:
    make: Callable[[], Engine]
    if request.param == "sqlite":
        make = lambda: SQLiteEngine(tmp_path / "memory.db", clock=clock)  # noqa: E731
    else:
        url = request.getfixturevalue("postgres_database_url")
        make = lambda: PostgresEngine(url, clock=clock)  # noqa: E731
    engine = make()
    yield engine
    engine.close()


def read(engine: Engine, after: int, namespace: str = "n") -> list[str]:
    """Returns the names that changed after a revision."""
    (page,) = engine.apply(ops.Batch(namespace, (ops.ReadChanges(after),)))
    return [change.name or change.action for change in page.changes]


def test_who_watches_while_changes_are_forgotten_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "KEPT_CHANGES", 10)
    monkeypatch.setattr(accounts, "_PRUNE_EVERY", 10)
    path = tmp_path / "memory.db"
    writer = Memory("n", engine=SQLiteEngine(path))
    reader = SQLiteEngine(path)
    for i in range(20):
        writer.set(f"k{i}", i)
    assert next(Memory("n", engine=reader).watch(after=15)).revision == 16

    (connection,) = reader._readers

    def write_in_between(sql: str) -> None:
        if "revision >" in sql:
            connection.set_trace_callback(None)
            writer.set_many({f"new{i}": i for i in range(20)})

    connection.set_trace_callback(write_in_between)
    seen = next(Memory("n", engine=reader).watch(after=15))
    assert seen.action == "reset" or seen.revision == 16
    assert writer.count("new") == 20


def test_changes_go_when_they_are_a_day_old(engine: Engine, clock: Clock) -> None:
    memory = Memory("n", engine=engine)
    for at, key in ((10 * 3600, "a"), (DAY - 60, "b"), (DAY + 60, "c")):
        clock.time = (MIDNIGHT + at) * 1_000_000
        memory.set(key, 1)
    engine.sweep()
    assert read(engine, 0) == ["a", "b", "c"]
    clock.wait(DAY)
    memory.set("d", 1)
    assert read(engine, 0) == read(engine, 1) == ["reset"]
    assert read(engine, 2) == ["c", "d"]
    assert next(iter(memory.watch(after=1))).action == "reset"
    clock.wait(2 * DAY)
    memory.set("e", 1)
    assert read(engine, 3) == ["reset"]
    assert read(engine, 4) == ["e"]


def test_a_quiet_namespace_keeps_no_changes(engine: Engine, clock: Clock) -> None:
    quiet, busy = Memory("n", engine=engine), Memory("m", engine=engine)
    quiet.set("a", 1)
    quiet.set("b", 1, ttl=60)
    busy.set("a", 1)
    clock.wait(DAY)
    busy.set("b", 1)
    engine.sweep()
    assert read(engine, 0) == ["a", "b"]
    clock.wait(DAY)
    engine.sweep()
    assert read(engine, 0) == read(engine, 1) == ["reset"]
    assert read(engine, 2) == []
    assert read(engine, 0, "m") == ["a", "b"]
    assert quiet.get_many(["a", "b"]) == {"a": 1}
    assert quiet.set("c", 1) == 3
    assert read(engine, 2) == ["c"]
    for namespace in "nm":
        (problems,) = engine.apply(ops.Batch(namespace, (ops.CheckNamespace(),)))
        assert problems == ()


def test_a_namespace_that_kept_no_changes_is_not_new(engine: Engine, clock: Clock) -> None:
    """Only a namespace that never changed takes its creation time from a restoration."""
    Memory("n", engine=engine).set("a", 1)
    clock.wait(3 * DAY)
    engine.sweep()
    (before,) = engine.apply(ops.Batch("n", (ops.StatNamespace(),)))
    engine.apply(ops.Batch("n", (ops.RestoreNamespace(7, 1),)))
    (after,) = engine.apply(ops.Batch("n", (ops.StatNamespace(),)))
    assert (after.created_at, after.revision) == (before.created_at, 7)


def test_a_sweep_of_one_file_does_not_hold_up_its_writers(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_SWEPT_CHANGES", 10)
    monkeypatch.setattr(sweeping, "_SWEPT_ROWS", 10)
    engine = SQLiteEngine(MEMORY, clock=clock)
    for i in range(4):
        Memory(f"n{i}", engine=engine).set_many(dict.fromkeys("abcde", 1), ttl=60)
    clock.wait(3 * DAY)
    asked: list[str] = []
    engine._writer.open().set_trace_callback(asked.append)
    engine.sweep()
    assert asked.count("COMMIT") > 3
    assert all(read(engine, 0, f"n{i}") == ["reset"] for i in range(4))


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3 * DAY), st.sampled_from(["write", "sweep"])), max_size=12
    )
)
def test_nothing_young_is_forgotten_and_nothing_old_is_kept(
    steps: list[tuple[int, str]],
) -> None:
    clock = Clock(MIDNIGHT * 1_000_000)
    engine = SQLiteEngine(MEMORY, clock=clock)
    memory = Memory("n", engine=engine)
    written: list[float] = []
    for seconds, action in steps:
        clock.wait(seconds)
        if action == "write":
            memory.set(str(len(written)), 1)
            written.append(clock.time / 1_000_000)
        else:
            engine.sweep()
        for after, at in enumerate(written):
            known = read(engine, after)
            if clock.time / 1_000_000 - at < DAY:
                assert known == [str(i) for i in range(after, len(written))]
            elif clock.time / 1_000_000 - at >= 3 * DAY:
                assert known == ["reset"]
