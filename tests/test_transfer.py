"""Memory moves exactly from any place to any other, while in use, and repeatedly."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botwire import (
    BotWireError,
    ConfigurationError,
    ConflictError,
    Memory,
    NotFoundError,
    Record,
    ServerError,
    transfer,
)
from botwire import operations as ops
from botwire.engines.opening import open_engine
from botwire.engines.protocol import Engine
from botwire.engines.sqlite import SQLiteEngine
from botwire.exact import Json
from botwire.operations.terms import BatchTerms
from botwire.places import find_place
from botwire.transfer.lines import Line, decode, encode
from tests.stores import Clock
from tests.test_model import operations

Open = Callable[[str], Engine]


@pytest.fixture
def open_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Open]:
    """Opens a place by its name; all are closed at the end."""
    opened: list[Engine] = []

    def open_named(place: str) -> Engine:
        if place == "embedded":
            url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'memory.db'}"
        else:
            names = {"postgres": "own_postgres_url", "http": "own_server_url"}
            url = str(request.getfixturevalue(names[place]))
        opened.append(open_engine(find_place(url)))
        return opened[-1]

    yield open_named
    for engine in opened:
        engine.close()


@pytest.fixture(params=["embedded", "http", "postgres"])
def store(request: pytest.FixtureRequest, open_place: Open) -> Engine:
    """A store of each kind."""
    return open_place(request.param)


def fill(engine: Engine, namespace: str) -> Memory:
    memory = Memory(namespace, engine=engine)
    memory.set("text", "a \ud800 surrogate, \u8336 and a newline\n")
    memory.set("bytes", b"\x00\xff")
    memory.set("gone", 1)
    memory.set("number", 10**40)
    memory.delete("gone")
    memory.set("expires", None, ttl=3600)
    history = memory.history("a/b \u00e9")
    ids = [f"id{i}" if i % 2 else None for i in range(7)]
    history.extend([{"i": i} for i in range(7)], ids=ids)
    history.delete(3)
    history.archive(up_to=2)
    emptied = memory.history("emptied")
    emptied.append(1)
    emptied.clear()
    memory.records("c").put(
        [
            Record("green tea", "r1", {"n": 1.5}, ["x", "y"], "/a/b", [0.5, -2.0]),
            Record("black \ud800", "r2"),
        ]
    )
    gone = memory.records("was full")
    gone.put([Record("x", embedding=[1.0])])
    gone.delete(all=True)
    return memory


def exported(engine: Engine, *namespaces: str) -> bytes:
    file = io.BytesIO()
    transfer.export(engine, file, namespaces=namespaces)
    return file.getvalue()


def everything(engine: Engine, namespace: str) -> list[str]:
    return [encode(line) for line in transfer.read_namespace(engine, namespace)][1:]


def load(engine: Engine, text: bytes, **options: Any) -> transfer.Tally:
    return transfer.load(engine, io.BytesIO(text), **options)


def test_an_export_read_back_elsewhere_is_the_same(
    store: Engine, open_place: Open, namespace: str
) -> None:
    memory = fill(store, namespace)
    text = exported(store, namespace)
    other = open_place("embedded")
    tally = load(other, text)
    assert tally.counts() == {
        "namespace": 1, "key": 4, "history": 2, "item": 6, "collection": 2, "record": 2,
    }  # fmt: skip
    assert list(transfer.compare(store, other, namespaces=[namespace])) == []
    copied = Memory(namespace, engine=other)
    assert copied.entry("expires") == memory.entry("expires")
    assert copied.history("emptied").append("next") == 2
    assert copied.set("text", "later") > max(
        json.loads(line)["version"] for line in text.splitlines() if b'"version"' in line
    )
    # And back into the store it came from, which has all of it.
    assert load(store, text).written == 0
    assert list(transfer.check(other)) == []


def test_an_import_over_the_network_and_into_postgres_is_the_same(
    store: Engine, open_place: Open, namespace: str
) -> None:
    source = open_place("embedded")
    fill(source, namespace)
    text = exported(source)
    first = load(store, text)
    assert first.written == first.key + first.item + first.record
    assert list(transfer.compare(source, store, namespaces=[namespace])) == []
    assert load(store, text).written == 0
    assert list(transfer.check(store, namespaces=[namespace])) == []
    found = Memory(namespace, engine=store).records("c").search(vector=[1, -4])
    assert [match.record.id for match in found] == ["r1"]


batches = st.lists(st.lists(operations, min_size=1, max_size=4).map(tuple), max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=batches, second=batches)
def test_any_memory_is_exported_imported_and_copied_exactly(
    first: list[Any], second: list[Any]
) -> None:
    source, loaded, copy = (SQLiteEngine(":memory:") for _ in range(3))
    for batches in (first, second):
        apply_all(source, "n", batches)
        transfer.copy(source, copy)  # the second time: what changed and was deleted since
        assert list(transfer.compare(source, copy)) == []
    load(loaded, exported(source))
    assert list(transfer.compare(source, loaded)) == []
    for engine in (source, loaded, copy):
        assert list(transfer.check(engine)) == []
        engine.close()


def apply_all(engine: Engine, namespace: str, batches: list[Any]) -> None:
    for batch in batches:
        with contextlib.suppress(BotWireError):
            engine.apply(ops.Batch(namespace, batch))


@pytest.mark.parametrize("place", ["http", "postgres"])
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=batches, second=batches)
def test_any_memory_is_copied_there_and_back_exactly(
    place: str, first: list[Any], second: list[Any], open_place: Open
) -> None:
    source, back = SQLiteEngine(":memory:"), SQLiteEngine(":memory:")
    there, namespace = open_place(place), uuid.uuid4().hex
    apply_all(source, namespace, [((ops.PutKey("first", Json.of(1))),), *first])
    transfer.copy(source, there)
    apply_all(source, namespace, second)
    transfer.copy(source, there)
    transfer.copy(there, back, namespaces=[namespace])
    assert list(transfer.compare(source, back)) == []
    assert list(transfer.check(there, namespaces=[namespace])) == []


# --- while others write -----------------------------------------------------------------------


class Meddling:
    """An engine that calls a function after each batch.

    Args:
        engine: What applies them.
        happen: What is called.
        answer: How many bytes an answer may hold; see `BatchTerms.answer`.
    """

    def __init__(
        self, engine: Engine, happen: Callable[[], None], answer: int | None = None
    ) -> None:
        self._engine = engine
        self._happen = happen
        self._terms = BatchTerms(answer=answer)

    def apply(self, batch: ops.Batch) -> ops.Results:
        results = self._engine.apply(batch.on_terms(self._terms))
        self._happen()
        return results

    def close(self) -> None:
        raise NotImplementedError


@settings(max_examples=30)
@given(
    first=batches,
    later=st.lists(st.lists(operations, min_size=1, max_size=2), max_size=20),
    answer=st.sampled_from([None, 1, 100]),
)
def test_what_is_read_while_others_write_is_as_of_one_moment(
    first: list[Any], later: list[Any], answer: int | None
) -> None:
    """Also if answers are small, so that rereading changes takes several."""
    store = SQLiteEngine(":memory:", clock=Clock())  # nothing expires
    moments: dict[int, list[str]] = {}

    def write(batch: Any) -> None:
        try:
            store.apply(ops.Batch("n", tuple(batch)))
        except BotWireError:
            return
        lines = list(transfer.read_namespace(store, "n"))
        moments[lines[0].entry.revision] = [encode(line) for line in lines]

    for batch in [(ops.PutKey("first", Json.of(1)),), *first]:
        write(batch)
    waiting = iter(later)
    meddling = Meddling(store, lambda: write(next(waiting, ())), answer)
    lines = list(transfer.read_namespace(meddling, "n"))
    assert [encode(line) for line in lines] == moments[lines[0].entry.revision]
    store.close()


@pytest.mark.parametrize("in_memory", [2**23, 100_000, 0])
def test_a_busy_history_is_read_with_every_item_up_to_a_moment(
    open_place: Open, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr("botwire.transfer.spooling._IN_MEMORY", in_memory)
    store = open_place("embedded")
    memory = Memory("n", engine=store)
    memory.history("h").extend(list(range(1500)))
    count = 1500

    def append() -> None:
        nonlocal count
        # In one transaction: a reader that sees one must see the other.
        with memory.transaction() as tx:
            tx.history("h").append(count)
            tx.set("count", count + 1)
        count += 1

    lines = list(transfer.read_namespace(Meddling(store, append), "n"))
    items = [line.entry.value.value for line in lines if isinstance(line.entry, ops.HistoryItem)]
    (written,) = [
        line.entry.value.value
        for line in lines
        if isinstance(line.entry, ops.KeyEntry) and not isinstance(line.entry.value, bytes)
    ]
    (state,) = [line.entry for line in lines if isinstance(line.entry, ops.HistoryState)]
    assert items == list(range(written))
    assert state.last_seq == written


@pytest.mark.parametrize("place", ["embedded", "http", "postgres"])
def test_a_collection_that_never_rests_is_read_with_every_record_as_of_a_moment(
    open_place: Open, place: str
) -> None:
    store = open_place(place)
    memory = Memory("n", engine=store)
    records = memory.records("r")
    records.put([Record(f"text {i}", id=f"old{i:03}") for i in range(300)])
    count = 0

    def write() -> None:
        nonlocal count
        # In one transaction: a reader that sees one must see all.
        with memory.transaction() as tx:
            tx.records("r").put([Record(f"change {count}", id=f"old{count % 300:03}")])
            tx.records("r").put([Record("new", id=f"new{count:05}")])
            tx.set("count", count)
        count += 1
        if count == 5:
            records.delete(ids=["old200"])
        elif count == 7:
            records.put([Record("again", id="old200")])
            records.delete(ids=["new00003"])

    lines = list(transfer.read_namespace(Meddling(store, write), "n"))
    (written,) = [line.entry.value for line in lines if isinstance(line.entry, ops.KeyEntry)]
    assert isinstance(written, Json)
    last = written.value
    found = {line.entry.id: line.entry for line in lines if isinstance(line.entry, ops.RecordEntry)}
    assert [*found] == sorted(found)
    assert last > 7
    assert {id for id in found if id.startswith("new")} == {
        f"new{i:05}" for i in range(last + 1) if i != 3
    }
    assert len(found) == 300 + last
    assert found["old200"].text == ("again" if last < 200 else "change 200")
    assert found[f"old{last % 300:03}"].text == f"change {last}"


def test_reading_takes_longer_than_the_log_of_changes_reaches(
    open_place: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botwire.engines.sql.accounts.KEPT_CHANGES", 10)
    monkeypatch.setattr("botwire.engines.sql.accounts._PRUNE_EVERY", 1)
    store = open_place("embedded")
    memory = Memory("n", engine=store)
    for name in ("busy", "calm"):
        memory.history(name).extend(list(range(5_000)))
    count = 5_000

    def append() -> None:
        nonlocal count
        for _ in range(4):
            memory.history("busy").append(count)
            count += 1

    lines = list(transfer.read_namespace(Meddling(store, append), "n"))
    items = [line.entry.seq for line in lines if line.parent == "busy"]
    assert items == list(range(1, len(items) + 1))
    assert len(items) > 5_040


def test_a_live_store_is_copied_and_caught_up_with(open_place: Open, namespace: str) -> None:
    source, target = open_place("embedded"), open_place("postgres")
    memory = fill(source, namespace)
    stop = threading.Event()

    def live() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            with memory.transaction() as tx:
                tx.history("live").append(i)
                tx.set(f"k{i % 50}", i)
            if i % 7 == 0:
                memory.delete(f"k{(i - 3) % 50}")

    writer = threading.Thread(target=live)
    writer.start()
    try:
        transfer.copy(source, target, namespaces=[namespace])
        copied = Memory(namespace, engine=target)
        last = copied.history("live").info().last_seq
        if last:  # the transaction is there whole
            assert copied.get(f"k{last % 50}") == last
    finally:
        stop.set()
        writer.join()
    memory.delete("text")
    transfer.copy(source, target, namespaces=[namespace])
    assert list(transfer.compare(source, target, namespaces=[namespace])) == []
    assert Memory(namespace, engine=target).get("text") is None
    assert list(transfer.check(target, namespaces=[namespace])) == []


# --- conflicts --------------------------------------------------------------------------------


def test_a_copy_does_not_overwrite_what_was_written_to_the_target(open_place: Open) -> None:
    source, target = open_place("embedded"), open_place("embedded")
    fill(source, "n")
    transfer.copy(source, target)
    mine = Memory("n", engine=target)
    mine.set("mine", 1)
    with pytest.raises(ConflictError, match="'mine' was written later"):
        transfer.copy(source, target)
    assert transfer.copy(source, target, conflict="keep").kept == 1
    assert mine.get("mine") == 1
    assert transfer.copy(source, target, conflict="overwrite").removed == 1
    assert list(transfer.compare(source, target)) == []


def test_a_namespace_that_is_no_copy_is_replaced_only_when_told(open_place: Open) -> None:
    source, target = open_place("embedded"), open_place("embedded")
    Memory("n", engine=target).set("other life", 1)
    fill(source, "n")
    for conflict in ("refuse", "keep"):
        with pytest.raises(ConflictError, match="is not a copy of this one"):
            transfer.copy(source, target, conflict=conflict)
    assert Memory("n", engine=target).list_keys() == ["other life"]
    transfer.copy(source, target, conflict="overwrite")
    assert list(transfer.compare(source, target)) == []


@pytest.mark.parametrize("keeps_past", [False, True])
def test_an_import_fills_a_history_that_has_expired(keeps_past: bool) -> None:
    clock = Clock()
    source, target = (SQLiteEngine(":memory:", clock=clock) for _ in range(2))
    mine = Memory("n", engine=target)
    if keeps_past:
        mine.keep_past(timedelta(days=30))
    mine.history("h", ttl=1).extend(["gone", "gone too"])
    clock.wait(2)
    Memory("n", engine=source).set("first", 1)  # so that its versions are later
    Memory("n", engine=source).history("h").append("imported")
    load(target, exported(source), conflict="keep")
    assert [item.value for item in mine.history("h").read()] == ["imported"]
    mine.history("h").append("later")
    assert [item.value for item in mine.history("h").read()] == ["imported", "later"]
    assert list(transfer.check(target)) == []


def test_an_old_export_brings_back_what_is_missing_and_refuses_the_rest(open_place: Open) -> None:
    store = open_place("embedded")
    memory = fill(store, "n")
    text = exported(store)
    memory.delete("bytes")
    assert load(store, text).written == 1
    assert memory.get("bytes") == b"\x00\xff"
    memory.set("text", "newer")
    with pytest.raises(ConflictError, match=r"in the lines up to \d+: key 'text' was set later"):
        load(store, text)
    assert load(store, text, conflict="keep").kept == 1
    assert memory.get("text") == "newer"
    load(store, text, conflict="overwrite")
    assert memory.get("text") != "newer"
    with pytest.raises(ConfigurationError, match="conflict must be one of"):
        load(store, text, conflict="whatever")


# --- files that are not whole -------------------------------------------------------------------


def many(engine: Engine) -> bytes:
    memory = Memory("n", engine=engine)
    memory.set_many({f"k{i:04}": i for i in range(1200)})
    return exported(engine)


@pytest.mark.parametrize(
    ("number", "becomes", "says"),
    [
        (1, b"{}", "line 1: not the first line of a BotWire export"),
        (1, b"\x00\xff", "line 1: not the first line"),
        (
            1,
            b'{"type":"header","format":"botwire-export","version":2}',
            "line 1: the export is of format 2",
        ),
        (900, b"not JSON", "line 900: not JSON"),
        (900, b'{"type":"key","key":"a","key":"b"}', "line 900: not JSON"),
        (900, b"[]", "line 900: not a JSON object with a type"),
        (900, b'{"type":"future","namespace":"n"}', "line 900: unknown type 'future'"),
        (900, b'{"type":"key","namespace":"n"}', "line 900: not a valid key: "),
        (900, b'{"type":"key"}', "line 900: a namespace must be a string"),
        (900, b'{"type":"namespace","namespace":"n"}', "line 900: not a valid namespace: 'rev"),
        (
            900,
            (
                b'{"type":"item","namespace":"n","history":"h","seq":1,"id":null,"value":1,"created_at":'
                b'"2026-01-01T00:00:00Z"}'
            ),
            "line 900: a line of type 'item' cannot follow the line before it",
        ),
        (1203, b'{"type":"end","key":7}', "line 1203: it counts"),
    ],
)
def test_a_broken_line_is_refused_with_its_number_and_its_batch(
    open_place: Open, number: int, becomes: bytes, says: str
) -> None:
    lines = many(open_place("embedded")).splitlines(keepends=True)
    lines[number - 1] = becomes + b"\n"
    target = open_place("embedded")
    with pytest.raises(ConfigurationError) as refused:
        load(target, b"".join(lines))
    assert str(refused.value).startswith(says)
    keys = Memory("n", engine=target).list_keys()
    assert len(keys) == {1: 0, 900: 500, 1203: 1000}[number]


@pytest.mark.parametrize("field", [b'"key":"k0500"', b'"version":501'])
def test_a_field_that_is_not_known_is_refused(open_place: Open, field: bytes) -> None:
    text = many(open_place("embedded")).replace(field, b'"later":1,' + field)
    with pytest.raises(ConfigurationError, match="line 503: not a valid key"):
        load(open_place("embedded"), text)


def test_an_export_that_was_cut_off_is_noticed_and_continued(open_place: Open) -> None:
    source, target = open_place("embedded"), open_place("embedded")
    text = many(source)
    lines = text.splitlines(keepends=True)
    with pytest.raises(ConfigurationError, match="truncated after line 700"):
        load(target, b"".join(lines[:700]))
    with pytest.raises(ConfigurationError, match="line 700: not JSON"):
        load(target, b"".join(lines[:700])[:-20])
    with pytest.raises(ConfigurationError, match="line 1: not the first"):
        load(target, b"")
    assert load(target, text).written == 1200 - 698
    assert list(transfer.compare(source, target)) == []


def test_a_line_may_stand_twice(open_place: Open) -> None:
    source, target = open_place("embedded"), open_place("embedded")
    fill(source, "n")
    first, *lines, _ = exported(source).splitlines(keepends=True)
    twice = [first, *(line for line in lines for _ in range(2)), *lines]
    with pytest.raises(ConfigurationError, match="truncated"):  # its last line does not match
        load(target, b"".join(twice))
    assert list(transfer.compare(source, target)) == []


IMPORT = """
import os, sys
from botwire import transfer
from botwire.engines.opening import open_engine
from botwire.places import find_place

def lines():
    for number, line in enumerate(open(sys.argv[2], "rb")):
        if number == 1111:
            print("in the middle", flush=True)
            os.kill(os.getpid(), 9)
        yield line

transfer.load(open_engine(find_place(sys.argv[1])), lines())
"""


@pytest.mark.parametrize("place", ["embedded", "http"])
def test_an_import_that_was_killed_is_simply_run_again(
    place: str, open_place: Open, tmp_path: Path, own_server_url: str, namespace: str
) -> None:
    source = open_place("embedded")
    Memory(namespace, engine=source).set_many({f"k{i:04}": i for i in range(1500)})
    file = tmp_path / "export.ndjson"
    file.write_bytes(exported(source))
    url = own_server_url if place == "http" else f"sqlite:///{tmp_path / 'target.db'}"
    killed = subprocess.run(
        [sys.executable, "-c", IMPORT, url, str(file)], stdout=subprocess.PIPE, check=False
    )
    assert (killed.returncode, killed.stdout) == (-9, b"in the middle\n")
    target = open_engine(find_place(url))
    assert 0 < Memory(namespace, engine=target).count() < 1500
    load(target, file.read_bytes())
    assert list(transfer.compare(source, target, namespaces=[namespace])) == []
    target.close()


# --- choosing and comparing ---------------------------------------------------------------------


def test_namespaces_are_chosen_by_patterns(open_place: Open) -> None:
    store = open_place("embedded")
    for name in ["user-1", "user-2", "us.r-3", "other\n4"]:
        Memory(name, engine=store).set("k", 1)
    chosen = transfer.list_namespaces
    assert list(chosen(store)) == ["other\n4", "us.r-3", "user-1", "user-2"]
    assert list(chosen(store, ["user-*", "other*"])) == ["other\n4", "user-1", "user-2"]
    assert list(chosen(store, ["us.r-*"])) == ["us.r-3"]
    with pytest.raises(NotFoundError, match="there is no namespace 'nobody'"):
        list(chosen(store, ["user-1", "nobody"]))
    target = open_place("embedded")
    tally = load(target, exported(store), namespaces=["user-*"])
    assert (tally.namespace, tally.written) == (4, 2)
    assert list(chosen(target)) == ["user-1", "user-2"]
    with pytest.raises(NotFoundError, match="the export has no namespace 'nobody'"):
        load(target, exported(store), namespaces=["user-1", "nobody"])


def test_a_comparison_names_each_difference(open_place: Open) -> None:
    first, second = open_place("embedded"), open_place("embedded")
    fill(first, "n")
    transfer.copy(first, second)
    assert list(transfer.compare(first, second)) == []
    memory = Memory("n", engine=second)
    memory.set("text", "other")
    memory.delete("bytes")
    memory.history("a/b \u00e9").append("more")
    memory.records("c").delete(ids=["r2"])
    Memory("alone", engine=second).set("k", 1)
    assert [str(difference) for difference in transfer.compare(first, second)] == [
        "'alone': namespace 'alone' is only in the second",
        "'alone': key 'k' is only in the second",
        "'n': key 'bytes' is only in the first",
        "'n': key 'text' is different",
        "'n': history 'a/b \u00e9' is different",
        "'n': item '8' of 'a/b \u00e9' is only in the second",
        "'n': record 'r2' of 'c' is only in the first",
    ]


def test_a_namespace_is_forgotten_wherever_memory_lives(store: Engine, namespace: str) -> None:
    fill(store, namespace)
    (receipt,) = transfer.forget(store, namespace)
    assert receipt.erased["items"] == 6
    assert receipt.rewritten == (type(store).__name__ != "PostgresEngine")
    assert list(transfer.list_namespaces(store, [namespace], missing_ok=True)) == []
    assert Memory(namespace, engine=store).list_keys() == []
    assert not any(transfer.forget(store, namespace)[0].erased.values())


def test_a_receipt_is_given_even_if_the_file_cannot_be_rewritten(open_place: Open) -> None:
    store = open_place("embedded")
    fill(store, "n")

    class Full(Meddling):
        def apply(self, batch: ops.Batch) -> ops.Results:
            if batch.maintains:
                raise ServerError("the disk is full", status=507)
            return super().apply(batch)

    (receipt,) = transfer.forget(Full(store, lambda: None), "n")
    assert receipt.erased["items"] == 6
    assert not receipt.rewritten
    assert "the disk is full" in receipt.detail


def test_a_backup_of_a_store_in_use_is_whole(open_place: Open, tmp_path: Path) -> None:
    store = open_place("embedded")
    memory = fill(store, "n")
    memory.set("large", "x" * 40_000_000)
    wrote = 0

    def write(done: int, total: int) -> None:
        nonlocal wrote
        wrote += 1
        memory.set(f"during {wrote}", 1)

    target = tmp_path / "backup.db"
    transfer.backup(store, target, write)
    assert wrote > 1
    copy = SQLiteEngine(target)
    assert list(transfer.check(copy)) == []
    assert Memory("n", engine=copy).list_keys("during") == []
    assert Memory("n", engine=copy).get("large") == memory.get("large")
    copy.close()
    with pytest.raises(ConfigurationError, match="already exists"):
        transfer.backup(store, target)
    with pytest.raises(ConfigurationError, match="cannot be"):
        transfer.backup(store, tmp_path / "none" / "backup.db")


def test_only_a_file_of_this_machine_is_backed_up(open_place: Open, tmp_path: Path) -> None:
    for place in ("http", "postgres"):
        with pytest.raises(ConfigurationError, match="botwire export"):
            transfer.backup(open_place(place), tmp_path / "backup.db")


def test_a_line_is_read_as_it_was_written() -> None:
    line = Line("n", ops.CollectionState("c", None))
    assert decode(encode(line)) == line
