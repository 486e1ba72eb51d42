"""The past: reading earlier states, listing changes, and restoring."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from botwire import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    Memory,
    NotFoundError,
    QuotaExceededError,
    Record,
    transfer,
)
from botwire import operations as ops
from botwire.engines.sqlite import SQLiteEngine
from botwire.exact import Json
from botwire.operations.terms import BatchTerms, Quota
from botwire.retention import Retention
from tests.stores import HOUR, TimedStore

pytestmark = pytest.mark.anyio

MONTH = timedelta(days=30)


# --- on every place -------------------------------------------------------------------------


async def test_a_memory_is_read_as_it_was(memory: Any) -> None:
    await memory.set("old", "kept from before")
    info = await memory.keep_past(MONTH)
    written = await memory.revision()
    assert (info.keep, info.since, info.revision) == (MONTH, written, written)
    await memory.set("k", {"n": 1})
    chat = memory.history("chat")
    await chat.extend(["hello", "how are you"], ids=["a", None])
    await chat.set_metadata({"title": "first"})
    notes = memory.records("notes")
    await notes.put(
        [
            Record("green tea", id="tea", tags=["drink"], embedding=[1, 0]),
            Record("black coffee", id="coffee", embedding=[0, 1]),
        ]
    )
    then = await memory.revision()

    await memory.set("k", {"n": 2})
    await memory.delete("old")
    await memory.set("new", b"bytes")
    await chat.update(1, "HELLO")
    await chat.delete(2)
    await chat.append("bye")
    await chat.archive(up_to=1)
    await chat.set_metadata({"title": "second"})
    await notes.put([Record("white milk", id="tea", embedding=[0, 2])])
    await notes.delete(ids=["coffee"])
    await memory.history("other").append(1)

    past = memory.at(then)
    assert await past.list_keys() == ["k", "old"]
    assert await past.get_many(["k", "new", "old"]) == {"k": {"n": 1}, "old": "kept from before"}
    assert (await past.entry("k")).version < (await memory.entry("k")).version
    assert await past.count() == 2
    old = past.history("chat")
    assert [(item.seq, item.id, item.value) for item in await old.read()] == [
        (1, "a", "hello"),
        (2, None, "how are you"),
    ]
    assert await old.tail(1) == ["how are you"]
    assert await old.count() == 2
    assert await old.metadata() == {"title": "first"}
    assert [info.name for info in await past.list_histories(order="updated")] == ["chat"]
    found = past.records("notes")
    assert [match.record.id for match in await found.search(text="teas")] == ["tea"]
    assert [match.record.id for match in await found.search(vector=[0, 1])] == ["coffee", "tea"]
    assert [match.record.text for match in await found.search(text="milk")] == []
    assert await found.count() == 2
    assert await found.tags() == {"drink": 1}
    assert await found.count(tags=["drink"]) == 1
    # The present is unchanged.
    assert await memory.list_keys() == ["k", "new"]
    assert await chat.read() == await memory.at(await memory.revision()).history("chat").read()


async def test_the_past_cannot_be_written(memory: Any) -> None:
    await memory.keep_past(MONTH)
    await memory.set("k", 1)
    past = memory.at(await memory.revision())
    calls = [
        lambda: past.set("k", 2),
        lambda: past.history("h").append(1),
        lambda: past.records().put([Record("x")]),
        lambda: past.history("h").pop(),
        lambda: past.restore(1),
        past.revision,
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match=r"cannot be changed|has no past"):
            await call()
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        past.transaction()
    assert await memory.get("k") == 1


async def test_moments_that_are_not_kept_are_refused(memory: Any) -> None:
    first = await memory.set("k", 0)
    with pytest.raises(InvalidRequestError, match="keeps no past"):
        await memory.at(first).get("k")
    second = await memory.set("k", 1)
    await memory.keep_past(MONTH)
    with pytest.raises(NotFoundError, match="before what this namespace keeps"):
        await memory.at(first).get("k")
    with pytest.raises(NotFoundError, match="before what this namespace keeps"):
        await memory.at(datetime(2020, 1, 1, tzinfo=UTC)).get("k")
    with pytest.raises(InvalidRequestError, match="in the future"):
        await memory.at(second + 1).get("k")
    assert await memory.at(second).get("k") == 1
    assert await memory.at(datetime.now(UTC) + timedelta(days=1)).get("k") == 1
    for bad in (True, "yesterday", 1.5, -1, 2**63):
        with pytest.raises(ConfigurationError):
            await memory.at(bad).get("k")
    for bad in (0, -1, "1 day", timedelta(0), True):
        with pytest.raises(ConfigurationError):
            await memory.keep_past(bad)


async def test_a_moment_may_be_a_time(memory: Any) -> None:
    await memory.keep_past(MONTH)
    await memory.set("k", "first")
    first = (await memory.entry("k")).updated_at
    await memory.set("k", "second")
    assert await memory.at(first).get("k") == "first"
    assert await memory.at(first.replace(tzinfo=None)).get("k") == "first"  # UTC
    assert await memory.at((await memory.entry("k")).updated_at).get("k") == "second"


async def test_the_versions_of_a_key(memory: Any) -> None:
    first = await memory.set("k", 1)
    await memory.keep_past(MONTH)
    ada = memory.by("ada")
    await ada.set("k", [2])
    await memory.delete("k")
    await memory.set("k", b"three")
    versions = await memory.versions("k")
    assert [version.value for version in versions] == [b"three", [2], 1]
    assert [version.version for version in versions] == [first + 3, first + 1, first]
    assert [version.until for version in versions] == [None, first + 2, first + 1]
    assert [version.author and version.author.agent for version in versions] == [None, "ada", None]
    assert await memory.versions("k", limit=2) == versions[:2]
    assert await memory.versions("none") == []
    await memory.keep_past(None)
    assert [version.value for version in await memory.versions("k")] == [b"three"]


async def test_the_versions_of_an_item(memory: Any) -> None:
    chat = memory.history("chat")
    await chat.extend(["one", "two"], ids=["a", None])
    assert [version.until for version in await chat.versions(2)] == [None]
    await memory.keep_past(MONTH)
    first = (await chat.read())[0].version
    second = await memory.by("ada").history("chat").update("a", [2])
    await chat.delete(1)
    deleted = await memory.revision()
    versions = await chat.versions("a")
    assert [(one.item.value, one.version, one.until) for one in versions] == [
        ([2], second, deleted),
        ("one", first, second),
    ]
    assert [one.item.author and one.item.author.agent for one in versions] == ["ada", None]
    assert await chat.versions(1) == versions
    assert await chat.versions(1, limit=1) == versions[:1]
    assert await chat.versions(9) == await memory.history("none").versions("a") == []

    await chat.fork("fork")
    fork = memory.history("fork")
    shared = await fork.versions(2)
    assert [(one.item.value, one.until) for one in shared] == [("two", None)]
    await fork.update(2, "TWO")
    assert [one.item.value for one in await fork.versions(2)] == ["TWO", "two"]
    assert [one.item.value for one in await chat.versions(2)] == ["two"]
    await memory.erase_past(history="chat")
    assert await chat.versions("a") == []


async def test_the_versions_of_a_record(memory: Any) -> None:
    notes = memory.records("notes")
    await memory.keep_past(MONTH)
    (first,) = await notes.put([Record("tea", id="1", tags=["drink"], embedding=[1, 0])])
    (second,) = await memory.by("ada").records("notes").put([Record("coffee", id="1")])
    await notes.patch(["1"], {"hot": True})
    third = await memory.revision()
    await notes.delete(ids=["1"])
    deleted = await memory.revision()
    await notes.put([Record("another", id="2")])
    versions = await notes.versions("1")
    assert [(one.record.text, one.version, one.until) for one in versions] == [
        ("coffee", third, deleted),
        ("coffee", second, third),
        ("tea", first, second),
    ]
    assert [one.record.metadata for one in versions] == [{"hot": True}, {}, {}]
    assert [list(one.record.embedding) for one in versions] == [[1, 0]] * 3
    assert [one.record.author and one.record.author.agent for one in versions] == [
        None, "ada", None,
    ]  # fmt: skip
    plain = await notes.versions("1", limit=2, embeddings=False)
    assert [(one.version, one.record.embedding) for one in plain] == [(third, None), (second, None)]
    assert await notes.versions("9") == await memory.records("none").versions("1") == []
    assert await memory.at(second).records("notes").get(["1"]) == [versions[1].record]
    await memory.keep_past(None)
    assert await notes.versions("1") == []
    assert [one.until for one in await notes.versions("2")] == [None]


async def test_the_changes_since_a_moment(memory: Any) -> None:
    await memory.set("before", 1)
    await memory.keep_past(MONTH)
    first = await memory.set("a", 1)
    time = (await memory.entry("a")).updated_at
    await memory.by("ada").history("h").append("x")
    changes = await memory.changes()
    assert [(c.revision, c.shape, c.action, c.name) for c in changes] == [
        (first, "key", "put", "a"),
        (first + 1, "history", "append", "h"),
    ]
    assert changes[0].changed_at == time
    assert changes[1].author.agent == "ada"
    assert await memory.changes(since=first) == changes[1:]
    assert [c.revision for c in await memory.changes(since=time) if c.revision > first] == [
        first + 1
    ]
    with pytest.raises(InvalidRequestError, match=rf"in the future: .* is at {first + 1}$"):
        await memory.changes(since=10**9)


async def test_what_was_is_restored(memory: Any) -> None:
    await memory.keep_past(MONTH)
    await memory.set_many({"a": 1, "b": 2})
    chat = memory.history("chat")
    await chat.extend(range(5), ids=["0", "1", "2", None, None])
    await chat.set_metadata({"title": "t"})
    notes = memory.records("notes")
    await notes.put([Record(f"tea {i}", id=str(i), embedding=[i, 1]) for i in range(3)])
    then = await memory.revision()
    before = [(item.seq, item.id, item.value) for item in await chat.read()]

    async def spoil() -> None:
        await memory.set("a", "wrong")
        await memory.delete("b")
        await memory.set("c", "new")
        await chat.delete(2)
        await chat.update(1, "wrong")
        await chat.append("new")
        await chat.archive(up_to=3)
        await chat.set_metadata({})
        await notes.put([Record("milk", id="0"), Record("water", id="9")])
        await notes.delete(ids=["1"])
        await memory.history("new").append(1)

    async def is_as_before() -> bool:
        found = await notes.search(text="tea", vector=[1, 1])
        return (
            await memory.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
            and [(item.seq, item.id, item.value) for item in await chat.read()] == before
            and await chat.metadata() == {"title": "t"}
            and sorted(match.record.text for match in found) == ["tea 0", "tea 1", "tea 2"]
            and [info.name for info in await memory.list_histories()] == ["chat"]
        )

    await spoil()
    assert await memory.restore(then, key="a") == 1
    assert await memory.restore(then, key="b") == 1
    assert await memory.restore(then, key="c") == 1
    assert await memory.restore(then, history="chat") == 3
    assert await memory.restore(then, history="new") == 1
    assert await memory.restore(then, records="notes") == 3
    assert await is_as_before()
    spoilt = await memory.revision()
    assert await memory.restore(then) == 0  # nothing differs, so nothing is written
    assert await memory.revision() == spoilt

    await spoil()
    worse = await memory.revision()
    assert await memory.restore(then) == 10
    assert await is_as_before()
    await memory.restore(worse)  # a restoration is a change like others
    assert await memory.get_many(["a", "b", "c"]) == {"a": "wrong", "c": "new"}
    assert await chat.append("after") == 8  # a number is never reused
    with pytest.raises(ConfigurationError, match="takes one of"):
        await memory.restore(then, key="a", history="chat")


async def test_a_change_is_undone(memory: Any) -> None:
    await memory.keep_past(MONTH)
    await memory.set_many({"a/1": 1, "a/2": 2, "b": 3})
    chat = memory.history("chat")
    await chat.extend(["x", "y"])
    notes = memory.records("notes")
    await notes.put([Record("tea", id="1"), Record("coffee", id="2")])

    await memory.delete("b")
    assert await memory.undo(await memory.revision()) == 1
    assert await memory.get("b") == 3
    await memory.clear()
    assert await memory.undo(await memory.revision()) == 3
    assert await memory.list_keys() == ["a/1", "a/2", "b"]
    await chat.clear()
    assert await memory.undo(await memory.revision()) == 2
    assert await chat.tail(9) == ["x", "y"]
    await chat.append("z")
    assert await memory.undo(await memory.revision()) == 1
    assert await chat.tail(9) == ["x", "y"]
    await notes.clear()
    cleared = await memory.revision()
    await notes.put([Record("milk", id="3")])
    assert await memory.undo(cleared) == 2
    assert sorted(record.text for record in await notes.list()) == ["coffee", "milk", "tea"]
    await memory.set("new", 1)
    assert await memory.undo(await memory.revision()) == 1
    assert await memory.get("new") is None

    await memory.set("b", 4)
    first = await memory.revision()
    await memory.set("b", 5)
    with pytest.raises(ConflictError, match="changed again in revision"):
        await memory.undo(first)
    assert await memory.get("b") == 5
    with pytest.raises(NotFoundError, match="change 1000000000 is not kept: see `botwire changes`"):
        await memory.undo(1_000_000_000)


async def test_a_change_of_much_is_undone_whole_or_not_at_all(memory: Any) -> None:
    await memory.keep_past(MONTH)
    notes = memory.records("notes")
    await notes.put([Record("tea", id=f"{i:03}") for i in range(250)])
    put = await memory.revision()
    await notes.put([Record("milk", id="249")])
    with pytest.raises(ConflictError, match="changed again in revision"):
        await memory.undo(put)
    assert await notes.count() == 250
    assert await memory.undo(put + 1) == 1
    assert await memory.undo(await memory.revision()) == 1
    await notes.delete(ids=["249"])
    with pytest.raises(ConflictError, match="changed again in revision"):
        await memory.undo(put)
    assert await notes.count() == 249
    await notes.delete(ids=[f"{i:03}" for i in range(249)])
    deleted = await memory.revision()
    await notes.put([Record("milk", id="248")])
    await notes.delete(ids=["248"])
    with pytest.raises(ConflictError, match="changed again in revision"):
        await memory.undo(deleted)
    assert await notes.count() == 0

    await memory.set_many({f"k{i:03}": i for i in range(150)})
    await memory.clear()
    cleared = await memory.revision()
    await memory.set("k149", "new")
    with pytest.raises(ConflictError, match="changed again in revision"):
        await memory.undo(cleared)
    assert await memory.list_keys() == ["k149"]


async def test_what_was_erased_is_not_restored(memory: Any) -> None:
    chat, notes = memory.history("chat"), memory.records("notes")
    await memory.keep_past(MONTH)
    await memory.set("other", 1)
    for number in (1, 2):
        await memory.set("k", number)
        await memory.set("gone", number)
        await chat.replace([number])
        await notes.put([Record(str(number), id="1")])
        if number == 1:
            then = await memory.revision()
    await memory.delete("gone")
    await memory.set("other", 2)
    everything = {"key": "k", "history": "chat", "records": "notes"}
    for shape, name in [*everything.items(), ("key", "gone")]:
        assert await memory.erase_past(**{shape: name}) > 0
    erased = await memory.revision()
    assert [change.action for change in await memory.changes(erased - 1)] == ["erase"]
    for shape, name in [*everything.items(), ("key", "gone")]:
        with pytest.raises(NotFoundError, match=f"past of .*'{name}' was erased in revision"):
            await memory.restore(then, **{shape: name})
    with pytest.raises(NotFoundError, match="past of key 'k' was erased in revision"):
        await memory.restore(then)
    with pytest.raises(InvalidRequestError, match="cannot be undone"):
        await memory.undo(erased)
    # Nothing was written, and what is kept can still be restored.
    assert await memory.revision() == erased
    assert (await memory.get("k"), await chat.tail(9), await memory.get("other")) == (2, [2], 2)
    assert await memory.restore(then, key="other") == 1
    assert await memory.get("other") == 1
    await memory.set("k", 3)
    assert await memory.restore(erased, key="k") == 1
    assert await memory.get("k") == 2
    assert await memory.restore(erased) == 1
    assert await memory.get("other") == 2


async def test_the_past_is_erased(memory: Any) -> None:
    await memory.keep_past(MONTH)
    for value in ("secret", "plain"):
        await memory.set("k", value)
        await memory.set("other", value)
    chat = memory.history("chat")
    await chat.append("secret")
    await chat.update(1, "plain")
    notes = memory.records("notes")
    await notes.put([Record("secret", id="1")])
    await notes.put([Record("plain", id="1")])
    then = await memory.revision()
    assert await memory.erase_past(key="k") == 1
    assert [version.value for version in await memory.versions("k")] == ["plain"]
    assert len(await memory.versions("other")) == 2
    assert await memory.erase_past(history="chat") > 0
    assert await memory.erase_past(records="notes") > 0
    assert await memory.at(then - 1).get("k") == "plain"
    assert await memory.erase_past() == 1
    assert await memory.erase_past() == 0
    with pytest.raises(NotFoundError, match="before what this namespace keeps"):
        await memory.at(then - 1).get("k")
    past = memory.at(await memory.revision())
    assert await past.history("chat").tail(1) == ["plain"]
    assert [match.record.text for match in await past.records("notes").search(text="plain")] == [
        "plain"
    ]


async def test_a_fork_is_read_as_it_was(memory: Any) -> None:
    source = memory.history("source")
    await source.extend(range(4))
    await memory.keep_past(MONTH)
    await source.fork("fork")
    fork = memory.history("fork")
    forked = await memory.revision()
    await source.update(1, "changed")
    await fork.delete(4)
    trimmed = await memory.revision()
    await fork.append("own")
    await fork.update(2, "middle")
    changed = await memory.revision()
    await fork.clear()
    await source.clear()
    assert await memory.at(forked).history("fork").tail(9) == [0, 1, 2, 3]
    assert await memory.at(forked).history("source").tail(9) == [0, 1, 2, 3]
    assert await memory.at(trimmed).history("fork").tail(9) == [0, 1, 2]
    assert await memory.at(trimmed).history("source").tail(9) == ["changed", 1, 2, 3]
    assert await memory.at(changed).history("fork").tail(9) == [0, "middle", 2, "own"]
    assert await memory.restore(forked, history="fork") > 0
    assert await fork.tail(9) == [0, 1, 2, 3]


# --- with a clock of our own ----------------------------------------------------------------


def test_what_is_older_than_is_kept_is_forgotten(store: TimedStore) -> None:
    memory = store.memory
    memory.keep_past(timedelta(hours=10))
    memory.set("k", "a" * 1000)
    memory.history("h").append("x")
    memory.records().put([Record("tea", id="1")])
    store.clock.wait(HOUR)
    memory.set("k", "b")
    memory.history("h").update(1, "y")
    memory.records().put([Record("coffee", id="1")])
    held = store.apply(ops.ReadUsage())[0].bytes
    assert memory.at(2).get("k") == "a" * 1000
    store.clock.wait(10 * HOUR)
    store.engine.sweep()
    info = memory.past()
    assert info.since == 6
    with pytest.raises(NotFoundError, match="before what this namespace keeps"):
        memory.at(5).get("k")
    assert memory.at(6).get("k") == "b"
    assert [version.value for version in memory.versions("k")] == ["b"]
    assert held - store.apply(ops.ReadUsage())[0].bytes > 1000
    assert memory.changes() == []
    store.clock.wait(48 * HOUR)
    store.engine.sweep()
    with pytest.raises(NotFoundError, match="no longer kept"):
        memory.changes(since=1)
    assert list(transfer.check(store.engine)) == []


def test_what_expires_is_part_of_the_past(store: TimedStore) -> None:
    memory = store.memory
    memory.keep_past(MONTH)
    memory.set("k", 1, ttl=3600)
    memory.history("h", ttl=3600).append("x")
    memory.records().put([Record("tea", id="1")], ttl=3600)
    then = memory.revision()
    time = datetime.fromtimestamp(store.clock.time / 1_000_000, UTC)
    store.clock.wait(2 * HOUR)
    store.engine.sweep()
    assert memory.list_keys() == []
    past = memory.at(then)
    assert past.get("k") == 1
    assert past.history("h").tail(1) == ["x"]
    assert [match.record.id for match in past.records().search(text="tea")] == ["1"]
    later = memory.at(time + timedelta(minutes=90))
    assert later.list_keys() == []
    assert later.list_histories() == []
    assert later.records().count() == 0
    # Whatever has expired since is not restored.
    assert memory.restore(then) == 0
    assert memory.list_keys() == []
    assert list(transfer.check(store.engine)) == []


def test_nothing_is_kept_before_it_is_asked_for_and_nothing_after(store: TimedStore) -> None:
    memory = store.memory
    memory.set("k", 1)
    memory.set("k", 2)
    bytes_before = store.apply(ops.ReadUsage())[0].bytes
    memory.keep_past(MONTH)
    memory.set("k", 3)
    assert store.apply(ops.ReadUsage())[0].bytes > bytes_before
    memory.keep_past(None)
    with pytest.raises(InvalidRequestError, match="keeps no past: `botwire past --keep 30d`"):
        memory.at(3).get("k")
    store.clock.wait(HOUR)
    store.engine.sweep()
    assert store.apply(ops.ReadUsage())[0].bytes == bytes_before
    memory.keep_past(MONTH)
    assert memory.past().since == 3
    with pytest.raises(NotFoundError):
        memory.at(2).get("k")
    assert list(transfer.check(store.engine)) == []


def test_a_version_that_one_batch_wrote_and_replaced_is_listed(store: TimedStore) -> None:
    store.apply(ops.PutKey("k", b"1"), ops.PutKey("k", b"2"), ops.KeepPast(3600.0))
    store.apply(ops.PutKey("k", b"3"), ops.DeleteKey("k"), ops.PutKey("k", b"4"))
    versions = store.memory.versions("k")
    assert [(one.value, one.version, one.until) for one in versions] == [
        (b"4", 5, None), (b"3", 3, 4), (b"2", 2, 3),
    ]  # fmt: skip


def test_the_past_counts_in_the_quota(store: TimedStore) -> None:
    store.memory.keep_past(MONTH)
    terms = BatchTerms(Quota(bytes=3000))
    for i in range(2):
        store.apply(ops.PutKey("k", Json.of(str(i) * 1000)), terms=terms)
    with pytest.raises(QuotaExceededError):
        store.apply(ops.PutKey("k", Json.of("2" * 1000)), terms=terms)
    store.memory.erase_past()
    store.apply(ops.PutKey("k", Json.of("2" * 1000)), terms=terms)
    assert list(transfer.check(store.engine)) == []


def test_what_is_forgotten_is_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    secrets = ["sesame-key", "sesame-item", "sesame-record", "sesame-title"]
    with Memory("n", url=f"sqlite:///{path}") as memory:
        memory.keep_past(MONTH)
        memory.set("k", secrets[0])
        memory.history("h").append(secrets[1])
        memory.history("h").set_metadata({"title": secrets[3]})
        memory.records().put([Record(secrets[2], id="1")])
        memory.set("k", "plain")
        memory.history("h").update(1, "plain")
        memory.history("h").set_metadata({})
        memory.records().put([Record("plain", id="1")])

    def found() -> list[str]:
        data = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        return [secret for secret in secrets if secret.encode() in data]

    assert found() == secrets
    with contextlib.closing(SQLiteEngine(path)) as engine:
        transfer.forget(engine, "n")
    assert found() == []


def test_an_expiry_that_a_hold_removed_is_part_of_the_past(store: TimedStore) -> None:
    memory = store.memory
    memory.keep_past(MONTH)
    version = memory.set("k", 1, ttl=3600)
    memory.history("h", ttl=3600).append("x")
    memory.records().put([Record("tea", id="1")], ttl=3600)
    then = memory.revision()
    Retention(engine=store.engine).hold("case", "n")
    found = memory.entry("k")
    assert found is not None
    assert (found.expires_at, found.version) == (None, version)

    past = memory.at(then)
    entry, info = past.entry("k"), past.history("h").info()
    (record,) = past.records().list()
    assert entry is not None
    assert entry.expires_at == info.expires_at == record.expires_at is not None
    held, expiring = memory.versions("k")
    assert (held.expires_at, held.until) == (None, None)
    assert (expiring.version, expiring.until) == (version, held.version)
    assert expiring.expires_at == entry.expires_at

    Retention(engine=store.engine).remove("case", "n")
    assert memory.restore(then) == 3
    again = memory.entry("k")
    assert again is not None
    assert again.expires_at == memory.history("h").info().expires_at == entry.expires_at
    assert memory.records().list()[0].expires_at == entry.expires_at
    assert list(transfer.check(store.engine)) == []


def _write_until_killed(path: str, ready: Any) -> None:
    with Memory("n", url=f"sqlite:///{path}") as memory:
        for i in range(10**6):
            memory.set("k", i)
            memory.history("h").append(i)
            ready.value = i


def test_a_killed_process_leaves_the_past_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "memory.db")
    with Memory("n", url=f"sqlite:///{path}") as memory:
        memory.keep_past(MONTH)
    context = multiprocessing.get_context("spawn")
    ready = context.Value("i", 0)
    process = context.Process(target=_write_until_killed, args=(path, ready))
    process.start()
    while ready.value < 20:
        assert process.is_alive()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with Memory("n", url=f"sqlite:///{path}") as memory:
        changes = memory.changes()
        for change in changes[:: max(1, len(changes) // 20)]:
            past = memory.at(change.revision)
            value, items = past.get("k"), past.history("h").tail(2)
            assert items == [] or items[-1] in (value, value - 1)
        assert [version.value for version in memory.versions("k")][-1] == 0
        assert list(transfer.check(memory.engine)) == []
