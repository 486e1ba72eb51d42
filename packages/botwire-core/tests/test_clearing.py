"""What is large is deleted in parts: others write in between, and readers see none of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from botwire import Memory, Record
from botwire import operations as ops
from botwire.engines.sqlite import SQLiteEngine
from botwire.operations import PART, RECORDS_PART, CheckNamespace
from botwire.transfer import admin


class Interrupted(SQLiteEngine):
    """An engine that does something of another program's after each of its batches."""

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
    assert counts == [5, 0]
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
