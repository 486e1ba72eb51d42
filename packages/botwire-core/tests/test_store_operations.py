"""Maintaining a store: listing, checking, exact restoration, and erasing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botwire import ConflictError, InvalidRequestError, Memory, Record
from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.engines.sql.store import NAMESPACED
from botwire.engines.sqlite import SQLiteEngine
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire.vectors import Vector

NOW = 1_700_000_000_000_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = SQLiteEngine(tmp_path / "memory.db", clock=lambda: NOW)
    yield engine
    engine.close()


def ask(engine: Engine, operation: ops.AnyOperation, namespace: str = "n") -> Any:
    if operation.storewide:
        namespace = SYSTEM_NAMESPACE
    return engine.apply(ops.Batch(namespace, (operation,)))[0]


def fill(engine: Engine, namespace: str, secret: str = "x") -> None:
    memory = Memory(namespace, engine=engine)
    memory.set(f"key {secret}", secret)
    memory.history(f"history {secret}").extend([secret, 2, 3], ids=[secret, None, None])
    memory.history("emptied").append(1)
    memory.history("emptied").clear()
    memory.records(f"records {secret}").put(
        [Record(f"text {secret}", secret, {"m": secret}, [secret], f"/{secret}", [1.0, 0.0])]
    )
    engine.apply(ops.Batch(namespace, (ops.PutKey("again", Json.of(1)),), f"request {secret}"))


def key(name: str = "k", value: Any = 1, version: int = 5, time: int = NOW - 9) -> ops.KeyEntry:
    return ops.KeyEntry(name, Json.of(value), version, time, time, None)


def record(id: str, version: int, embedding: list[float], text: str = "tea") -> ops.RecordEntry:
    vector = Vector.of(embedding)
    return ops.RecordEntry(id, text, Json.of({}), (), "/", vector, version, NOW - 9, NOW - 9)


def test_namespaces_are_listed_in_pages_without_the_stores_own(engine: Engine) -> None:
    for name in ["b", "a", "\U0001f600", "a/b", "\ud800"]:
        Memory(name, engine=engine).set("k", 1)
    for own in [SYSTEM_NAMESPACE, f"{SYSTEM_NAMESPACE}/keys"]:
        engine.apply(ops.Batch(own, (ops.PutKey("k", Json.of(1)),)))
    page = ask(engine, ops.ListNamespaces(limit=3))
    assert [entry.name for entry in page.namespaces] == ["a", "a/b", "b"]
    assert page.more
    page = ask(engine, ops.ListNamespaces(after="b"))
    assert page == ops.NamespacePage(
        (ops.NamespaceEntry("\ud800", 1, NOW), ops.NamespaceEntry("\U0001f600", 1, NOW)), False
    )
    page = ask(engine, ops.ListNamespaces("a"))
    assert [entry.name for entry in page.namespaces] == ["a", "a/b"]


def test_every_table_with_rows_of_a_namespace_is_known(engine: Engine, tmp_path: Path) -> None:
    ask(engine, ops.CountKeys())
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as database, database:
        found = {
            table
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if any(row[1] == "namespace" for row in database.execute(f"PRAGMA table_info({table})"))
        }
    assert found == {*NAMESPACED.values(), "botwire_namespaces"}


def test_a_forgotten_namespace_is_gone_from_every_table(engine: Engine, tmp_path: Path) -> None:
    for namespace in ("n", "other"):
        fill(engine, namespace)
        memory = Memory(namespace, engine=engine)
        memory.keep_past(3600)
        history = memory.history("history x")
        history.fork("fork")
        history.set_metadata({"title": "x"})
        history.update(1, "updated")
        history.set_metadata({})
        memory.set("key x", "updated")
        memory.records("records x").put([Record("updated", "x")])
    counts = dict(ask(engine, ops.ForgetNamespace("n")))
    assert counts == {
        "keys": 2, "histories": 3, "items": 3, "forked_items": 1, "collections": 1, "records": 1,
        "words": 1, "changes": 12, "answers": 1, "past_keys": 1, "past_histories": 3,
        "past_items": 1, "past_metadata": 1, "past_collections": 1, "past_records": 1,
        "past_words": 2,
    }  # fmt: skip
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as database, database:
        for table in [*NAMESPACED.values(), "botwire_namespaces"]:
            rows = database.execute(f"SELECT namespace FROM {table}").fetchall()
            assert (b"n",) not in rows, table
            assert (b"other",) in rows, table
    assert dict(ask(engine, ops.ForgetNamespace("n"))) == dict.fromkeys(counts, 0)
    assert ask(engine, ops.CheckStore()) == ()


def test_what_is_forgotten_is_not_in_the_files_bytes(tmp_path: Path) -> None:
    secret = "Rosebud" * 300  # long enough for pages of its own
    engine = SQLiteEngine(tmp_path / "memory.db")
    fill(engine, "other", "kept")
    fill(engine, "Rosebud's namespace", "Rosebud")
    memory = Memory("Rosebud's namespace", engine=engine)
    memory.set("long", secret)
    memory.delete("long")  # its pages are free but still contain it

    def bytes_on_disk() -> bytes:
        return b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir())).lower()

    ask(engine, ops.ForgetNamespace("Rosebud's namespace"))
    assert b"rosebud" in bytes_on_disk()
    assert ask(engine, ops.CompactStore()) == ops.Compaction(rewritten=True, detail="")
    assert b"rosebud" not in bytes_on_disk()
    assert b"kept" in bytes_on_disk()
    assert Memory("other", engine=engine).list_keys() == ["again", "key kept"]
    engine.close()


def test_what_is_deleted_is_overwritten_in_the_file(tmp_path: Path) -> None:
    engine = SQLiteEngine(tmp_path / "memory.db")
    memory = Memory("n", engine=engine)
    for i in range(300):
        memory.set(f"Rosebud {i * 7919 % 300}", "Rosebud" * i)
        memory.set(f"kept {i}", "kept" * i)
    for i in range(300):
        memory.delete(f"Rosebud {i}")
    ask(engine, ops.ForgetNamespace("another"))
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as database, database:
        database.execute("DELETE FROM botwire_changes")  # which name what was deleted
    engine.close()  # the last one empties the log
    assert b"Rosebud" not in (tmp_path / "memory.db").read_bytes()


def test_a_compaction_that_could_not_empty_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botwire.engines.sqlite.waiting.BUSY_SECONDS", 0.05)
    engine = SQLiteEngine(tmp_path / "memory.db")
    fill(engine, "n")
    reader = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM botwire_keys").fetchone()
    ask(engine, ops.ForgetNamespace("n"))
    compaction = ask(engine, ops.CompactStore())
    assert not compaction.rewritten
    assert "try again" in compaction.detail
    reader.close()
    assert ask(engine, ops.CompactStore()).rewritten
    engine.close()


def test_versions_go_on_above_those_that_were_forgotten(engine: Engine) -> None:
    memory = Memory("n", engine=engine)
    versions = [memory.set("k", i) for i in range(3)]
    memory.records().put([Record("old", "a", embedding=[1, 0])])
    assert memory.records().search(vector=[1, 0])[0].record.text == "old"  # the engine remembers
    ask(engine, ops.ForgetNamespace("n"))
    assert memory.records().search(vector=[1, 0]) == []
    assert memory.set("k", "new") > max(versions)
    with pytest.raises(ConflictError):
        memory.set("k", "lost", if_version=versions[-1])
    memory.records().put([Record("new", "b", embedding=[0, 1])])
    assert [found.record.text for found in memory.records().search(vector=[1, 0])] == ["new"]
    assert next(iter(memory.watch(after=1))).action == "reset"


def test_the_namespaces_that_use_most_come_first(engine: Engine) -> None:
    Memory("large", engine=engine).set("k", "x" * 1000)
    for _ in range(3):
        Memory("busy", engine=engine).set("k", 1)
    found = ask(engine, ops.ListUsage())
    assert [one.name for one in found.largest] == ["large", "busy"]
    assert found.namespaces == 2
    assert found.bytes == sum(one.bytes for one in found.largest) > 1000
    assert [one[4] for one in ask(engine, ops.ListUsage("writes")).largest] == [3, 1]
    assert len(ask(engine, ops.ListUsage(limit=1)).largest) == 1


def test_what_expires_next_comes_first(engine: Engine) -> None:
    memory = Memory("n", engine=engine)
    memory.set("late", 1, ttl=30)
    memory.set("never", 1)
    memory.history("chat", ttl=10).append(1)
    memory.remember("soon", id="r", ttl=20)
    Memory("other", engine=engine).set("else", 1, ttl=5)
    found = ask(engine, ops.ListExpiring())
    assert [(one.shape, one.name, one.collection) for one in found] == [
        ("history", "chat", None),
        ("record", "r", "default"),
        ("key", "late", None),
    ]
    assert found[0].expires_at == NOW + 10_000_000
    assert ask(engine, ops.ListExpiring(1)) == found[:1]


def test_a_restored_key_is_as_it_was_and_restoring_it_again_changes_nothing(
    engine: Engine,
) -> None:
    entry = key()
    batch = ops.Batch("n", (ops.RestoreNamespace(7, NOW - 99), ops.RestoreKeys((entry,))))
    assert engine.apply(batch)[1] == ops.Restored(1, 0, 0)
    assert ask(engine, ops.GetKeys(("k",))) == (entry,)
    stat = ask(engine, ops.StatNamespace())
    assert (stat.created_at, stat.keys) == (NOW - 99, 1)
    assert stat.revision > 7
    assert engine.apply(batch)[1] == ops.Restored(0, 0, 0)
    assert ask(engine, ops.StatNamespace()) == stat
    assert Memory("n", engine=engine).set("k", 2) > stat.revision
    assert ask(engine, ops.CheckNamespace()) == ()


def test_a_restored_version_is_not_given_again(engine: Engine) -> None:
    memory = Memory("n", engine=engine)
    ask(engine, ops.RestoreKeys((key(version=50),)))
    assert memory.set("other", 1) > 50
    two = ops.CollectionState("c", 2)
    ask(engine, ops.RestoreRecords(two, (record("r", 90, [1, 0]),)))
    assert memory.set("other", 2) > 90
    assert ask(engine, ops.CheckNamespace()) == ()


def test_a_newer_key_is_not_overwritten_unless_told(engine: Engine) -> None:
    memory = Memory("n", engine=engine)
    memory.set("k", "newer")
    with pytest.raises(ConflictError, match="key 'k' was set later, to version 1"):
        ask(engine, ops.RestoreKeys((key(), key("other"))))
    assert memory.list_keys() == ["k"]
    kept = ask(engine, ops.RestoreKeys((key(), key("other")), ops.KEEP))
    assert kept == ops.Restored(1, 1, 0)
    assert memory.get_many(["k", "other"]) == {"k": "newer", "other": 1}
    ask(engine, ops.RestoreKeys((key(),), ops.OVERWRITE))
    assert ask(engine, ops.GetKeys(("k",))) == (key(),)
    ask(engine, ops.RestoreKeys((key(value=2, version=6, time=NOW - 8),)))  # older than it
    assert memory.get("k") == 2


def test_a_restoration_of_a_span_removes_what_was_deleted_there(engine: Engine) -> None:
    ask(engine, ops.RestoreKeys(tuple(key(name) for name in "abcd")))
    span = ops.Span(after="a", until="c", revision=5)
    assert ask(engine, ops.RestoreKeys((key("b"),), span=span)) == ops.Restored(0, 0, 1)
    memory = Memory("n", engine=engine)
    assert memory.list_keys() == ["a", "b", "d"]
    with pytest.raises(ConflictError, match="'d' was written later, with version 5"):
        ask(engine, ops.RestoreKeys((), span=ops.Span("b", revision=4)))
    assert memory.list_keys() == ["a", "b", "d"]


def test_a_history_is_restored_with_its_numbers_its_archive_and_its_end(engine: Engine) -> None:
    state = ops.HistoryState("h", 9, 2, NOW - 9, NOW - 8)
    items = tuple(
        ops.HistoryItem(seq, id, Json.of(seq), NOW - 9)
        for seq, id in [(1, "a"), (2, None), (5, "b"), (7, None)]
    )
    restore = ops.RestoreHistory(state, items[:3])
    assert ask(engine, restore) == ops.Restored(3, 0, 0)
    assert ask(engine, ops.RestoreHistory(state, items[1:])) == ops.Restored(1, 0, 0)
    assert ask(engine, restore) == ops.Restored(0, 0, 0)
    assert ask(engine, ops.DumpHistories()).histories == (state,)
    assert ask(engine, ops.ReadHistory("h", archived=True)).items == items
    history = Memory("n", engine=engine).history("h")
    assert (history.count(), history.info().archived) == (2, 2)
    assert history.append("next") == 10
    # The backup is older now: existing data stays, and missing data comes back.
    history.delete(5)
    assert ask(engine, restore) == ops.Restored(1, 0, 0)
    assert [item.seq for item in history.read()] == [5, 7, 10]
    assert ask(engine, ops.DumpHistories(("h",))).histories[0].last_seq == 10
    assert ask(engine, ops.CheckNamespace()) == ()
    with pytest.raises(ConflictError, match="changed later"):
        ask(engine, ops.RestoreHistory(state, items, until=100))
    ask(engine, ops.RestoreHistory(state, items, ops.OVERWRITE, until=100))
    assert ask(engine, ops.ReadHistory("h", archived=True)).items == items
    assert ask(engine, ops.DumpHistories()).histories == (state._replace(last_seq=10),)
    assert ask(engine, ops.CheckNamespace()) == ()


def test_another_item_in_the_same_place_is_a_conflict(engine: Engine) -> None:
    history = Memory("n", engine=engine).history("h")
    history.extend(["mine", "and mine"], ids=[None, "x"])
    state = ops.HistoryState("h", 3, 0, NOW, NOW)
    given = (
        ops.HistoryItem(1, None, Json.of("theirs"), NOW),
        ops.HistoryItem(3, "x", Json.of("and theirs"), NOW),
    )
    with pytest.raises(ConflictError, match="another item 1"):
        ask(engine, ops.RestoreHistory(state, given))
    assert ask(engine, ops.RestoreHistory(state, given, ops.KEEP)) == ops.Restored(0, 2, 0)
    assert ask(engine, ops.RestoreHistory(state, given, ops.OVERWRITE)).written == 2
    assert [(item.seq, item.value) for item in history.read()] == [(1, "theirs"), (3, "and theirs")]
    assert ask(engine, ops.CheckNamespace()) == ()


def test_an_id_that_was_given_again_is_no_conflict_where_the_old_item_goes(engine: Engine) -> None:
    state = ops.HistoryState("h", 1, 0, NOW - 9, NOW - 9)
    old, new = (ops.HistoryItem(seq, "id", Json.of(seq), NOW - 9) for seq in (1, 2))
    ask(engine, ops.RestoreHistory(state, (old,)))
    later = state._replace(last_seq=2, updated_at=NOW - 8)
    with pytest.raises(ConflictError, match="its id elsewhere"):
        ask(engine, ops.RestoreHistory(later, (new,)))
    restored = ask(engine, ops.RestoreHistory(later, (new,), until=9))
    assert restored == ops.Restored(1, 0, 1)
    assert ask(engine, ops.ReadHistory("h")).items == (new,)
    assert ask(engine, ops.CheckNamespace()) == ()


def test_restored_records_are_found_by_word_and_by_vector_at_once(engine: Engine) -> None:
    memory = Memory("n", engine=engine)
    collection = memory.records("c")
    for i in range(5):
        collection.put([Record(f"coffee {i}", f"new{i}", embedding=[0, 1])])
    assert len(collection.search(vector=[1, 0], limit=9)) == 5  # the engine remembers revision 5
    two = ops.CollectionState("c", 2)
    old = record("old", 2, [1, 0])
    assert ask(engine, ops.RestoreRecords(two, (old,))) == ops.Restored(1, 0, 0)
    assert collection.search(vector=[1, 0])[0].record.id == "old"
    assert [found.record.id for found in collection.search(text="tea")] == ["old"]
    turned = record("old", 3, [0, -1], "milk")
    ask(engine, ops.RestoreRecords(two, (turned,), ops.OVERWRITE))
    assert collection.search(vector=[0, -1])[0].record.id == "old"
    assert collection.search(text="tea") == []
    assert ask(engine, ops.RestoreRecords(two, (turned,))) == ops.Restored(0, 0, 0)
    assert ask(engine, ops.DumpRecords("c", after="new4")).records == (turned,)
    with pytest.raises(ConflictError, match="'new0' was put later"):
        ask(engine, ops.RestoreRecords(two, (record("new0", 1, [1, 0]),)))
    with pytest.raises(InvalidRequestError, match="dimension"):
        ask(engine, ops.RestoreRecords(ops.CollectionState("c", 3)))
    span = ops.Span(after="new0", revision=5)
    assert ask(engine, ops.RestoreRecords(two, (turned,), span=span)).removed == 4
    assert collection.count() == 2
    assert len(collection.search(vector=[0, 1], limit=9)) == 2
    assert ask(engine, ops.CheckNamespace()) == ()
    assert ask(engine, ops.CheckRecords("c")) == ops.RecordCheck((), None)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("UPDATE botwire_keys SET version = 99", "key 'again' has a version"),
        ("UPDATE botwire_keys SET value_json = NULL", "key 'again' holds no value"),
        ("UPDATE botwire_histories SET size = 7", "history 'emptied' has a wrong count of items"),
        ("UPDATE botwire_histories SET last_seq = 0", "history 'history x' has items or"),
        ("DELETE FROM botwire_histories", "history 'history x' does not exist"),
        ("DELETE FROM botwire_records", "collection 'records x' has a wrong count of records"),
        ("UPDATE botwire_collections SET dimension = 3", "embeddings of a dimension other"),
        ("UPDATE botwire_collections SET words = 3", "wrong count of words"),
        ("UPDATE botwire_collections SET revision = 99", "has a revision"),
        ("DELETE FROM botwire_collections", "collection 'records x' does not exist"),
        ("UPDATE botwire_records SET version = 0", "record 'x' has a version"),
        ("DELETE FROM botwire_records", "record 'x' does not exist"),
        ("UPDATE botwire_namespaces SET revision = 3", "change 6 is beyond"),
        (
            "UPDATE botwire_items SET value_json = '12'",
            "history 'history x' has a wrong count of bytes",
        ),
        (
            "UPDATE botwire_records SET tags = '[]'",
            "collection 'records x' has a wrong count of bytes",
        ),
        ("UPDATE botwire_keys SET value_json = '123'", "the namespace counts"),
    ],
)
def test_a_check_finds_what_is_wrong(engine: Engine, tmp_path: Path, harm: str, says: str) -> None:
    fill(engine, "n")
    assert ask(engine, ops.CheckNamespace()) == ()
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as database, database:
        database.execute(harm)
    assert any(says in problem for problem in ask(engine, ops.CheckNamespace()))


def test_a_check_finds_lost_words_and_lost_namespaces(engine: Engine, tmp_path: Path) -> None:
    fill(engine, "n")
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as database, database:
        database.execute("UPDATE botwire_words SET word = x'00' WHERE word = x'78'")
        database.execute("DELETE FROM botwire_namespaces")
    (problem,) = ask(engine, ops.CheckRecords("records x")).problems
    assert "'x' is indexed by the wrong words" in problem
    (problem,) = ask(engine, ops.CheckStore())
    assert problem == "namespace 'n' does not exist but still has rows"


def test_what_a_namespace_and_a_store_hold_is_counted(engine: Engine) -> None:
    fill(engine, "n")
    stat = ask(engine, ops.StatNamespace())
    assert stat[2:7] == (2, 1, 3, 1, 1)
    assert stat.bytes > 40
    assert ask(engine, ops.StatNamespace(), "none") == (0, None, 0, 0, 0, 0, 0, 0)
    assert ask(engine, ops.StatStore()).bytes > 4096
