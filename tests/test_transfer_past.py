"""What is imported or copied becomes a change like others where a namespace keeps its past."""

from __future__ import annotations

import contextlib
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botwire import BotWireError, ConflictError, Memory, Record, transfer
from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.engines.sqlite import SQLiteEngine
from tests.stores import Clock
from tests.test_model import operations

MONTH = timedelta(days=30)


@pytest.fixture(params=["embedded", "own_postgres_url", "own_server_url"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the target is: not where other tests watch, as replacing a namespace forgets it."""
    if request.param == "embedded":
        return f"sqlite:///{tmp_path / 'memory.db'}"
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def source(tmp_path: Path, namespace: str) -> Memory:
    """A memory to import: few changes, so its versions are low."""
    memory = Memory(namespace, url=f"sqlite:///{tmp_path / 'source.db'}")
    memory.set_many({"a": 1, "b": 2})
    chat = memory.history("chat")
    chat.extend(["hello", "bye"], ids=["1", "2"])
    chat.set_metadata({"title": "theirs"})
    memory.records("notes").put([Record("green tea", id="1"), Record("water", id="2")])
    return memory


@pytest.fixture
def target(target_url: str, namespace: str) -> Memory:
    """A memory that keeps its past, and had more changes than the source."""
    memory = Memory(namespace, url=target_url)
    memory.keep_past(MONTH)
    for i in range(5):
        memory.set("mine", i)
    memory.set("a", "mine")
    chat = memory.history("chat")
    chat.extend(["mine"])
    chat.set_metadata({"title": "mine"})
    chat.fork("fork")
    memory.records("notes").put([Record("black tea", id="1"), Record("milk", id="3")])
    return memory


def exported(memory: Memory) -> bytes:
    file = io.BytesIO()
    transfer.export(memory.engine, file, namespaces=[memory.namespace])
    return file.getvalue()


def load(memory: Memory, text: bytes, **options: Any) -> transfer.Tally:
    return transfer.load(memory.engine, io.BytesIO(text), **options)


def shown(memory: Memory) -> Any:
    """Returns what a memory holds, without versions and times."""
    chat, notes = memory.history("chat"), memory.records("notes")
    return (
        dict(memory.get_many(memory.list_keys())),
        [(item.seq, item.value) for item in chat.read()],
        chat.metadata(),
        memory.history("fork").tail(9),
        sorted((record.id, record.text) for record in notes.list()),
        sorted(match.record.id for match in notes.search(text="tea")),
    )


def test_an_import_can_be_read_before_and_after_it_and_undone(
    source: Memory, target: Memory
) -> None:
    text, before, mine = exported(source), target.revision(), shown(target)
    with pytest.raises(ConflictError):
        load(target, text)
    assert (target.revision(), shown(target)) == (before, mine)
    assert load(target, text, conflict="overwrite").kept == 0
    after, imported = target.revision(), shown(target)
    assert imported == (
        {"a": 1, "b": 2, "mine": 4},
        [(1, "hello"), (2, "bye")],
        {"title": "theirs"},
        ["mine"],
        [("1", "green tea"), ("2", "water"), ("3", "milk")],
        ["1"],
    )
    # What is imported keeps its versions, so importing it again writes nothing.
    for key in ("a", "b"):
        assert target.entry(key) == source.entry(key)
    assert load(target, text).written == 0

    assert shown(target.at(before)) == mine
    assert shown(target.at(before - 1)) != mine
    now, then = target.versions("a")
    assert (now.value, then.value) == (1, "mine")
    assert (then.until, target.at(now.version).get("a")) == (now.version, 1)
    changed = {(change.shape, change.name) for change in target.changes(since=before)}
    assert changed == {("key", "a"), ("key", "b"), ("history", "chat"), ("record", "notes")}

    assert target.restore(before) > 0
    assert shown(target) == mine
    assert target.restore(after) > 0
    assert shown(target) == imported
    assert list(transfer.check(target.engine, namespaces=[target.namespace])) == []


def test_a_copy_that_catches_up_leaves_a_past(
    source: Memory, target_url: str, namespace: str
) -> None:
    target = Memory(namespace, url=target_url)
    other = Memory(f"{namespace}-forgotten", engine=target.engine)
    other.set_many({str(i): i for i in range(20)})
    transfer.forget(target.engine, other.namespace)  # new namespaces begin at its revision
    target.keep_past(MONTH)

    def copy(**options: Any) -> transfer.Tally:
        return transfer.copy(source.engine, target.engine, namespaces=[namespace], **options)

    copy()
    first, held = target.revision(), shown(target)
    source.set("a", "later")
    source.delete("b")
    source.history("chat").update("1", "hello again")
    source.history("chat").delete(2)
    source.records("notes").put([Record("oolong tea", id="2")])
    source.records("notes").delete(ids=["1"])
    copy()
    assert shown(target) == shown(source)
    assert shown(target.at(first)) == held
    target.set("here", 1)
    with pytest.raises(ConflictError, match="'here' was written later"):
        copy()
    assert copy(conflict="overwrite").removed == 1
    assert target.at(target.revision() - 1).get("here") == 1
    assert list(transfer.compare(source.engine, target.engine, namespaces=[namespace])) == []


def test_a_namespace_that_a_copy_replaces_goes_on_keeping_its_past(
    source: Memory, target: Memory
) -> None:
    namespaces = [source.namespace]
    with pytest.raises(ConflictError, match="not a copy"):
        transfer.copy(source.engine, target.engine, namespaces=namespaces)
    transfer.copy(source.engine, target.engine, namespaces=namespaces, conflict="overwrite")
    assert list(transfer.compare(source.engine, target.engine, namespaces=namespaces)) == []
    then = target.revision()
    assert target.past().keep == MONTH
    target.set("a", 2)
    assert target.at(then).get("a") == 1


def test_a_fork_does_not_see_what_is_imported_into_the_history_it_was_made_from(
    source: Memory, target_url: str, namespace: str
) -> None:
    target = Memory(namespace, url=target_url)
    target.history("chat").extend(["mine", "too"])
    for i in range(9):
        target.set("count", i)
    target.history("chat").fork("fork")
    load(target, exported(source), conflict="overwrite")
    assert target.history("chat").tail(9) == ["hello", "bye"]
    assert target.history("fork").tail(9) == ["mine", "too"]
    assert list(transfer.check(target.engine, namespaces=[namespace])) == []


WHAT_KEEPS = (ops.KeepPast, ops.ErasePast)
batches = st.lists(
    st.lists(operations.filter(lambda one: not isinstance(one, WHAT_KEEPS)), min_size=1, max_size=3)
    .map(tuple),
    max_size=5,
)  # fmt: skip


def look(engine: Engine, revision: int | None = None) -> list[Any]:
    """Returns all that can be read of the namespace ``n``, at present or at a revision."""
    at = None if revision is None else ops.Moment(revision)

    def read(*operations: Any) -> list[Any]:
        return list(engine.apply(ops.Batch("n", operations, at=at)))

    found = read(ops.ScanKeys(), ops.ListHistories(), ops.ListCollections())
    for stat in found[1].histories:
        found += read(ops.ReadHistory(stat.name, archived=True))
    for name in found[2].collections:
        found += read(ops.ListRecords(name), ops.SearchRecords(name, text="tea drank"))
    return found


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mine=batches, theirs=batches, conflict=st.sampled_from(["keep", "overwrite"]))
def test_whatever_is_imported_leaves_the_past_as_it_was(
    mine: list[Any], theirs: list[Any], conflict: str
) -> None:
    clock = Clock()
    source, target = (SQLiteEngine(":memory:", clock=clock) for _ in range(2))
    memory = Memory("n", engine=target)
    memory.keep_past(MONTH)
    moments = {}
    for batch in mine:
        clock.wait(1)
        with contextlib.suppress(BotWireError):
            target.apply(ops.Batch("n", batch))
        # A revision is as of its write: what expires later is there, though it is no longer now.
        moments.setdefault(memory.revision(), look(target))
    Memory("n", engine=source).set("first", 1)
    for batch in theirs:
        clock.wait(1)
        with contextlib.suppress(BotWireError):
            source.apply(ops.Batch("n", batch))
    clock.wait(1)
    load(memory, exported(Memory("n", engine=source)), conflict=conflict)
    moments.setdefault(memory.revision(), look(target))
    memory.set("later", 1)
    memory.history("a").append("later")
    for revision, seen in moments.items():
        assert look(target, revision) == seen
    assert list(transfer.check(target)) == []
    source.close()
    target.close()
