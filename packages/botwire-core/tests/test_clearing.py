"""Large deletes run in parts: others can write in between, and readers never see a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from botwire import Memory, Record
from botwire import operations as ops
from botwire.engines.sql import deletes, planning, steps
from botwire.engines.sqlite import SQLiteEngine
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations import PART, RECORDS_PART, CheckNamespace
from botwire.transfer import admin
from botwire.transfer.erasing import erase


class Interrupted(SQLiteEngine):
    """An engine that simulates another program after each batch."""

    def __init__(self, path: Path, between: Callable[[], object]) -> None:
        super().__init__(path)
        self.between = between
        self.batches = 0

    def apply(self, batch: ops.Batch) -> ops.Results:
        results = super().apply(batch)
        self.batches += 1
        self.between()
        return results


def test_others_write_while_keys_are_cleared(tmp_path: Path) -> None:
    other = Memory("other", url=f"sqlite:///{tmp_path / 'memory.db'}")
    engine = Interrupted(tmp_path / "memory.db", lambda: None)
    memory = Memory("n", engine=engine)
    memory.set_many({f"k{i:05}": i for i in range(2 * PART + 7)})
    memory.set("gone", 1, ttl=1e-6)
    engine.batches, engine.between = 0, lambda: other.set("writes", engine.batches)
    assert memory.clear() == 2 * PART + 7
    assert other.get("writes") == engine.batches == 3
    assert memory.count() == 0
    assert memory.clear() == 0
    assert admin.apply(engine, "n", CheckNamespace()) == ()
    engine.close()
    other.close()


def test_nobody_reads_half_a_history_that_is_cleared(tmp_path: Path) -> None:
    reader = Memory("n", url=f"sqlite:///{tmp_path / 'memory.db'}").history("chat")
    seen: list[list[object]] = []
    engine = Interrupted(tmp_path / "memory.db", lambda: None)
    history = Memory("n", engine=engine).history("chat")
    history.extend(range(PART + 5))
    engine.between = lambda: seen.append(reader.tail(3))
    assert history.clear() == PART + 5
    assert seen == [[], []]
    assert history.info().archived == 0
    assert history.append("again") == PART + 6
    assert admin.apply(engine, "n", CheckNamespace()) == ()
    engine.close()


def test_records_are_cleared_in_parts_and_their_words_with_them(tmp_path: Path) -> None:
    counts: list[int] = []
    engine = Interrupted(tmp_path / "memory.db", lambda: None)
    records = Memory("n", engine=engine).records()
    records.put(Record(f"text {i}", f"r{i}", embedding=[1.0, i]) for i in range(RECORDS_PART + 5))
    other = Memory("n", url=f"sqlite:///{tmp_path / 'memory.db'}").records()
    engine.between = lambda: counts.append(other.count())
    assert records.clear() == RECORDS_PART + 5
    assert counts == [5, 0, 0]
    assert admin.apply(engine, "n", CheckNamespace()) == ()
    records.put([Record("now of another dimension", embedding=[1, 2, 3])])
    engine.close()


def test_a_large_namespace_is_forgotten_in_parts_and_the_receipt_counts_them(
    tmp_path: Path,
) -> None:
    engine = Interrupted(tmp_path / "memory.db", lambda: None)
    memory = Memory("n", engine=engine)
    memory.set_many({f"k{i}": i for i in range(PART + 1)})
    memory.history("chat").extend(range(PART + 2))
    memory.records().put(Record("text", f"r{i}") for i in range(RECORDS_PART + 3))
    (receipt,) = admin.forget(engine, "n")
    assert receipt.erased["keys"] == PART + 1
    assert receipt.erased["items"] == PART + 2
    assert receipt.erased["records"] == RECORDS_PART + 3
    assert list(admin.stat(engine)) == []
    engine.close()


# --- what a delete finds out before it takes the lock ----------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def memory(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Iterator[Memory]:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    with Memory(namespace, url=url) as memory:
        yield memory


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """Functions that run between a plan and the write it is for, one each time."""
    waiting: list[Callable[[], object]] = []
    make = planning.plan

    def plan(*args: Any, **options: Any) -> Any:
        made = yield from make(*args, **options)
        if waiting:
            waiting.pop(0)()
        return made

    monkeypatch.setattr(planning, "plan", plan)
    yield waiting
    assert not waiting


def _check(memory: Memory) -> None:
    assert admin.apply(memory.engine, memory.namespace, CheckNamespace()) == ()  # type: ignore[arg-type]


def test_a_delete_heeds_what_was_written_since_it_selected(
    memory: Memory, meanwhile: list[Callable[[], object]]
) -> None:
    records = memory.records()
    records.put(Record("old", f"r{i}", metadata={"old": True}) for i in range(5))
    other = memory.with_namespace(memory.namespace).records()

    def write() -> None:
        other.delete(ids=["r0"])
        other.patch(["r1"], {"old": False})
        other.put([Record("new", "r2", metadata={})])
        other.put([Record("added", "r9", metadata={"old": True})])

    meanwhile.append(write)
    assert records.delete(filter={"old": True}) == 3  # r3, r4 and r9
    assert sorted(record.id for record in records.list()) == ["r1", "r2"]
    _check(memory)


def test_a_delete_selects_again_if_much_was_written_and_ends_if_writing_does_not(
    memory: Memory, meanwhile: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletes, "MAX_CHANGED", 2)
    records = memory.records()
    records.put(Record("old", f"r{i}", metadata={"old": True}) for i in range(5))
    other = memory.with_namespace(memory.namespace).records()
    for round_ in range(planning.TRIES + 1):
        more = [Record("more", f"m{round_}-{i}", metadata={"old": True}) for i in range(3)]
        meanwhile.append(lambda more=more: other.put(more))  # type: ignore[misc]
    assert records.delete(filter={"old": True}) == 5 + 3 * (planning.TRIES + 1)
    assert records.count() == 0
    _check(memory)


@pytest.mark.parametrize("is_one_piece", [True, False])
def test_a_record_that_expires_after_it_was_selected_is_not_deleted(
    tmp_path: Path, meanwhile: list[Callable[[], object]], is_one_piece: bool
) -> None:
    now = [1_000_000_000]
    engine = SQLiteEngine(tmp_path / "memory.db", clock=lambda: now[0])
    records = Memory("n", engine=engine).records()
    records.put(Record("stays", f"s{i}", metadata={"old": True}) for i in range(3))
    records.put((Record("goes", f"g{i}", metadata={"old": True}) for i in range(50)), ttl=5)
    meanwhile.append(lambda: now.__setitem__(0, now[0] + 10_000_000))
    where = ops.Selection(filter=Json.of({"old": True}))
    limit = None if is_one_piece else RECORDS_PART
    assert admin.apply(engine, "n", ops.DeleteRecords("default", where, limit=limit)) == 3
    assert admin.apply(engine, "n", CheckNamespace()) == ()
    engine.close()


def test_a_filter_deletes_in_parts_and_a_transaction_at_once(memory: Memory) -> None:
    records = memory.records()
    records.put(Record(f"w{i}", f"r{i}", metadata={"old": i % 2}) for i in range(2 * RECORDS_PART))
    before = memory.revision()
    assert records.delete(filter={"old": 1}) == RECORDS_PART
    records.put(Record("long " * 1000, f"l{i}", metadata={"long": True}) for i in range(10))
    before = memory.revision()
    assert records.delete(filter={"long": True}) == 10
    assert memory.revision() - before == 3  # 20,000 bytes of text each, and the rest
    with memory.transaction() as tx:
        tx.records().delete(filter={"old": 0})
    assert memory.revision() - before == 4
    assert records.count() == 0
    _check(memory)


def test_words_of_long_texts_are_counted_before_the_lock_is_taken(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[bytes] = []
    words_of = steps.Context.words_of

    def watched(context: steps.Context, text: bytes) -> Any:
        counts = words_of(context, text)
        counted.append(text)
        return counts

    monkeypatch.setattr(steps.Context, "words_of", watched)
    records = memory.records()
    long = " ".join(f"w{i}" for i in range(10_000))
    records.put([Record(long, "r")])
    records.put([Record("short", "r")])  # the long text is discovered under the lock
    records.put([Record(long, "r")])
    assert records.delete(ids=["r"]) == 1
    assert counted == []
    _check(memory)


def test_the_log_of_a_forgotten_namespace_goes_in_parts(memory: Memory) -> None:
    memory.set_many({f"k{i}": i for i in range(2 * PART)})
    memory.clear()
    engine: Any = memory.engine
    forget = ops.ForgetNamespace(memory.namespace, PART)
    counts = dict(admin.apply(engine, SYSTEM_NAMESPACE, forget))
    assert counts["changes"] == PART
    assert admin.apply(engine, memory.namespace, ops.StatNamespace()).revision > 0
    changes = erase(engine, memory.namespace)["changes"]
    assert changes > PART
    assert admin.apply(engine, memory.namespace, ops.StatNamespace()).revision == 0
