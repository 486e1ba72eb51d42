"""Keys and histories: the same promises wherever memory lives, for both clients."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from botwire import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    Memory,
    NotJSONError,
    Record,
)
from botwire import operations as ops
from botwire.names import SYSTEM_NAMESPACE
from tests.clients import Awaited, open_client

pytestmark = pytest.mark.anyio

ODD_NAMES = [
    "/", "//", "a/b", "/a", "a/", ".", "..", "../victim", "%2F", "%", "%%", "?", "a?b", "#", "a#b",
    " ", "  a ", "a b", "\t", "\n", "k\n", "\x00", "a\x00b", "\x7f", "é", "e\u0301", "日本", "😀",
    "\ud800", "a\udfffb", "'", '"', "\\", "''; DROP TABLE botwire_keys; --", "*", "a*", "[a]", "{}",
    "user:42:prefs", "user@example.com", "+", "&x=y", ";", "|", "~", "NULL", "null", "__proto__",
    "x" * 1024, "é" * 512, "\ufeff", "\u202e", "\U0010ffff", "\uffff",
]  # fmt: skip


@pytest.fixture
def transaction() -> Any:
    """Begins a transaction of a client; all its methods can then be awaited."""
    return lambda memory: Awaited(memory.transaction())


# --- keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [42, 0, -1, True, False, None, 1.5, -0.0, 1e308, 10**40, "", "42", "[1]", '{"a": 1}', "null",
     "\ud800", "\x00", [], {}, [1, [2, {"a": None}]], {"": 0}, b"", b"\x00\xff", b"[1]"],
    ids=repr,
)  # fmt: skip
async def test_a_value_comes_back_as_it_went_in(memory: Any, value: Any) -> None:
    await memory.set("k", value)
    found = await memory.get("k", default="missing")
    assert (type(found), repr(found)) == (type(value), repr(value))


async def test_none_is_a_value_and_not_a_missing_key(memory: Any) -> None:
    await memory.set("k", None)
    assert await memory.exists("k")
    assert await memory.get("k", "missing") is None
    assert await memory.get("other", "missing") == "missing"
    assert not await memory.exists("other")


async def test_odd_names_are_kept_apart(memory: Any) -> None:
    for name in ODD_NAMES:
        await memory.set(name, f"<{name}>")
    for name in ODD_NAMES:
        assert await memory.get(name) == f"<{name}>"
    assert await memory.list_keys() == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        assert await memory.delete(name)
        assert not await memory.exists(name)
    assert await memory.count() == 0


async def test_odd_namespaces_are_kept_apart(memory: Any) -> None:
    suffix = uuid.uuid4().hex
    spaces = [name[:100] + suffix for name in ODD_NAMES] + [suffix]
    for name in spaces:
        await memory.with_namespace(name).set("k", name)
    for name in spaces:
        space = memory.with_namespace(name)
        assert await space.get("k") == name
        assert await space.list_keys() == ["k"]
        assert await space.clear() == 1


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, float("nan"), object, [b"x"], {1, 2}], ids=str)
async def test_what_json_cannot_hold_is_refused(memory: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="value"):
        await memory.set("k", value)
    with pytest.raises(NotJSONError, match=re.escape("values[1]")):
        await memory.history("h").extend([1, value])
    assert await memory.list_keys() == []
    assert await memory.history("h").count() == 0


@pytest.mark.parametrize("key", ["", "x" * 1025, None, 7, b"k"])
async def test_what_is_no_key_is_refused(memory: Any, key: Any) -> None:
    for call in (memory.get, memory.delete, memory.exists, memory.increment):
        with pytest.raises(ConfigurationError, match="key"):
            await call(key)
    with pytest.raises(ConfigurationError, match="key"):
        await memory.set(key, 1)
    with pytest.raises(ConfigurationError, match="history name"):
        memory.history(key)
    with pytest.raises(ConfigurationError, match="namespace"):
        memory.with_namespace(key)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "5", True, 1e30])
async def test_what_is_no_ttl_is_refused(memory: Any, ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        await memory.set("k", 1, ttl=ttl)


async def test_versions_grow_and_are_never_reused(memory: Any) -> None:
    first = await memory.set("k", 1)
    second = await memory.set("k", 2)
    assert await memory.delete("k")
    third = await memory.set("k", 3)
    assert 0 < first < second < third
    assert (await memory.entry("k")).version == third


async def test_a_lost_update_is_a_conflict(memory: Any) -> None:
    version = await memory.set("k", 1, if_version=0)
    await memory.set("k", 2, if_version=version)
    for stale in (0, version):
        with pytest.raises(ConflictError, match="version"):
            await memory.set("k", 3, if_version=stale)
        with pytest.raises(ConflictError):
            await memory.delete("k", if_version=stale)
    assert await memory.get("k") == 2
    with pytest.raises(ConflictError, match="does not exist"):
        await memory.set("other", 1, if_version=1)
    assert not await memory.exists("other")


async def test_an_entry_says_when(memory: Any) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    await memory.set("k", 1, ttl=3600)
    first = await memory.entry("k")
    await memory.set("k", 2)
    entry = await memory.entry("k")
    assert before < first.created_at == entry.created_at < before + timedelta(minutes=1)
    assert first.created_at <= entry.updated_at
    assert first.expires_at - first.updated_at == timedelta(hours=1)
    assert entry.expires_at is None
    assert entry.value == 2
    assert await memory.entry("other") is None


async def test_delete_says_whether_there_was_one(memory: Any) -> None:
    await memory.set("k", 1)
    assert await memory.delete("k") is True
    assert await memory.delete("k") is False


async def test_many_at_once(memory: Any) -> None:
    values = {f"k{i}": i for i in range(1200)}
    versions = await memory.set_many(values)
    assert sorted(versions) == sorted(values)
    assert len(set(versions.values())) == len(values)
    assert await memory.get_many([*values, "missing"]) == values
    with pytest.raises(NotJSONError, match="k2"):
        await memory.set_many({"k1": "new", "k2": object()})
    assert await memory.get("k1") == 1
    assert await memory.set_many({}) == {}
    assert await memory.get_many([]) == {}


async def test_list_is_complete_and_ordered(memory: Any) -> None:
    names = [f"{prefix}:{i:04}" for prefix in ("a", "b") for i in range(1250)]
    await memory.set_many(dict.fromkeys(names, 1))
    assert await memory.list_keys() == names
    assert await memory.keys() == await memory.list() == names
    assert [key async for key in memory] == names
    assert await memory.list_keys("b:") == await memory.list_keys("b:*") == names[1250:]
    assert await memory.list_keys("c") == []
    assert await memory.count() == 2500
    assert await memory.count("a") == 1250
    assert await memory.clear("b:*") == 1250
    assert await memory.list_keys() == names[:1250]
    assert await memory.clear() == 1250
    assert await memory.list_keys() == []


async def test_entries_are_read_in_both_orders(memory: Any) -> None:
    names = [f"a{i:03}" for i in range(250)]
    await memory.set_many({"0": 0, "b": 1, **dict.fromkeys(names, b"x")})
    found = [entry async for entry in memory.iter_entries("a")]
    assert [entry.key for entry in found] == names
    assert {entry.value for entry in found} == {b"x"}
    back = [entry.key async for entry in memory.iter_entries("a*", descending=True)]
    assert back == names[::-1]


async def test_update_and_increment(memory: Any) -> None:
    assert await memory.update("seen", lambda seen: [*seen, 1], default=[]) == [1]
    assert await memory.update("seen", lambda seen: [*seen, 2], default=[]) == [1, 2]
    assert await memory.increment("n") == 1
    assert await memory.increment("n", 10**30) == 10**30 + 1
    assert await memory.increment("n", -1) == await memory.get("n") == 10**30
    for value in ("1", 1.0, True, None, b"1"):
        await memory.set("other", value)
        with pytest.raises(InvalidRequestError, match="only an int"):
            await memory.increment("other")
        assert await memory.get("other") == value


async def test_increment_keeps_the_expiry(memory: Any) -> None:
    await memory.set("n", 1, ttl=100)
    expires_at = (await memory.entry("n")).expires_at
    await memory.increment("n")
    assert (await memory.entry("n")).expires_at == expires_at


# --- histories ------------------------------------------------------------------------------


async def test_items_come_back_in_order(memory: Any) -> None:
    history = memory.history("h")
    assert await history.append({"n": 1}) == 1
    assert await history.extend([2, None, "4"]) == [2, 3, 4]
    assert await history.tail(2) == [None, "4"]
    assert await history.tail(99) == [{"n": 1}, 2, None, "4"]
    assert await history.tail(0) == []
    items = await history.read()
    assert [(item.seq, item.id, item.value) for item in items] == [
        (1, None, {"n": 1}), (2, None, 2), (3, None, None), (4, None, "4"),
    ]  # fmt: skip
    assert all(item.created_at.tzinfo is UTC for item in items)
    assert [item.seq for item in await history.read(after=1, limit=2)] == [2, 3]
    assert [item.seq for item in await history.read_last(2)] == [3, 4]
    assert await history.read_last(99) == items
    assert await history.read_last(0) == []
    assert [item.seq async for item in history.newest_first()] == [4, 3, 2, 1]
    assert await history.count() == 4


async def test_odd_histories_are_kept_apart(memory: Any) -> None:
    for name in ODD_NAMES:
        await memory.history(name).append(name)
    for name in ODD_NAMES:
        assert await memory.history(name).tail(5) == [name]
    assert [info.name for info in await memory.list_histories()] == sorted(ODD_NAMES)


async def test_a_long_history_is_read_in_pages(memory: Any) -> None:
    history = memory.history("h")
    for start in range(0, 5000, 2500):
        await history.extend(range(start, start + 2500))
    assert [item.value for item in await history.read()] == list(range(5000))
    assert [item.value async for item in history.newest_first()] == list(range(4999, -1, -1))
    assert await history.tail(3000) == list(range(2000, 5000))


async def test_an_item_of_an_id_is_written_once(memory: Any) -> None:
    history = memory.history("h")
    assert await history.append("a", id="1") == 1
    assert await history.append("changed", id="1") == 1
    assert await history.extend(["a", "b", "c"], ids=["1", "2", None]) == [1, 2, 3]
    assert await history.tail(9) == ["a", "b", "c"]
    assert [item.id for item in await history.read()] == ["1", "2", None]
    assert await memory.history("other").append("a", id="1") == 1


async def test_ids_must_fit(memory: Any) -> None:
    history = memory.history("h")
    for values, ids in (
        ([1], []),
        ([1, 2], ["a", "a"]),
        ([1], [""]),
        ([1], [7]),
        ([1], ["x" * 513]),
    ):
        with pytest.raises(ConfigurationError, match="id"):
            await history.extend(values, ids=ids)
    with pytest.raises(ConfigurationError, match="list"):
        await history.extend("text")
    assert await history.count() == 0


async def test_a_stale_append_is_a_conflict(memory: Any) -> None:
    history = memory.history("h")
    assert await history.extend(["a"], ids=["1"], if_last=0) == [1]
    with pytest.raises(ConflictError, match="ends at 1, not at 0"):
        await history.extend(["b"], if_last=0)
    assert await history.extend(["a"], ids=["1"], if_last=0) == [1]  # a retry is no conflict
    assert await history.extend(["b"], if_last=1) == [2]
    with pytest.raises(ConflictError, match="ends at 2, not at 0"):
        await history.extend([], if_last=0)
    assert await history.extend([], if_last=2) == []
    assert await history.tail(9) == ["a", "b"]


async def test_sequence_numbers_are_never_reused(memory: Any) -> None:
    history = memory.history("h")
    await history.extend(["a", "b", "c"])
    assert await history.pop() == "c"
    assert await history.append("d") == 4
    assert await history.clear() == 3
    assert await history.append("e") == 5
    assert await history.replace(["f", "g"]) == [6, 7]
    assert await history.tail(9) == ["f", "g"]
    assert (await history.info()).last_seq == 7


async def test_replace_is_all_or_nothing(memory: Any) -> None:
    history = memory.history("h")
    await history.extend(["a", "b"], ids=["1", "2"])
    with pytest.raises(NotJSONError):
        await history.replace(["c", object()])
    with pytest.raises(ConflictError):
        await history.replace(["c"], if_last=1)
    assert await history.tail(9) == ["a", "b"]
    assert await history.replace(["c"], ids=["1"], if_last=2) == [3]
    assert await history.tail(9) == ["c"]
    assert await history.replace([]) == []
    assert await history.count() == 0


async def test_delete_and_pop(memory: Any) -> None:
    history = memory.history("h")
    await history.extend(list("abcde"))
    assert await history.delete(2) is True
    assert await history.delete(2) is False
    assert await history.delete_many([1, 3, 99]) == 2
    assert await history.tail(9) == ["d", "e"]
    assert await history.pop() == "e"
    assert await history.pop() == "d"
    assert await history.pop() is None
    assert await history.pop("empty") == "empty"
    assert await history.count() == 0


async def test_archived_items_are_out_of_the_way_and_still_there(memory: Any) -> None:
    history = memory.history("h")
    await history.extend(list("abcde"), ids=list("abcde"))
    assert await history.archive(up_to=3) == 3
    assert await history.archive(up_to=2) == 0
    assert await history.tail(9) == ["d", "e"]
    assert [item.value for item in await history.read()] == ["d", "e"]
    assert [item.value for item in await history.read(archived=True)] == list("abcde")
    assert [i.value async for i in history.newest_first(archived=True)] == list("edcba")
    info = await history.info()
    assert (info.count, info.archived, info.last_seq) == (2, 3, 5)
    assert await history.append("a", id="a") == 1
    assert await history.delete(1)
    info = await history.info()
    assert (info.count, info.archived, info.last_seq) == (2, 2, 5)
    assert await history.archive(up_to=99) == 2
    assert await history.append("f") == 6
    assert await history.tail(9) == ["f"]
    assert await history.clear() == 5
    assert await history.read(archived=True) == []


async def test_histories_are_listed_with_what_they_hold(memory: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        await memory.history(name).extend([1, 2])
    await memory.history("a/2").clear()
    infos = await memory.list_histories("a/")
    assert [(info.name, info.count) for info in infos] == [("a/1", 2)]
    assert infos[0].created_at <= infos[0].updated_at
    unknown = await memory.history("never").info()
    assert (unknown.count, unknown.last_seq, unknown.created_at) == (0, 0, None)


async def test_keys_and_histories_do_not_meet(memory: Any) -> None:
    await memory.set("x", "key")
    await memory.history("x").append("item")
    await memory.clear()
    assert await memory.history("x").tail(1) == ["item"]
    await memory.history("x").clear()
    assert await memory.list_histories() == []


# --- transactions ---------------------------------------------------------------------------


async def test_a_transaction_lands_together(memory: Any, transaction: Any) -> None:
    await memory.set("a", 1)
    async with transaction(memory) as tx:
        assert await tx.get("a") == 1
        await tx.set("a", 2)
        assert await tx.get("a") == 2
        await tx.delete("gone")
        assert await tx.get("gone", "default") == "default"
        await tx.increment("n", 5)
        history = tx.history("h")
        await history.append("first", id="1")
        await history.extend(["second"])
        assert await memory.get("a") == 1
        assert await memory.history("h").count() == 0
    assert await memory.get_many(["a", "n"]) == {"a": 2, "n": 5}
    assert await memory.history("h").tail(9) == ["first", "second"]
    version = (await memory.entry("a")).version
    assert tx.results == [version, False, 5, (1,), (2,)]


async def test_a_transaction_on_stale_reads_is_a_conflict(memory: Any, transaction: Any) -> None:
    await memory.set("a", 1)
    with pytest.raises(ConflictError):
        async with transaction(memory) as tx:
            await tx.set("b", await tx.get("a") + await tx.get("missing", 0))
            await memory.set("missing", 1)
            assert await tx.get("missing") == 1  # read again, but no longer what was read first
    assert await memory.list_keys() == ["a", "missing"]


async def test_a_transaction_spans_every_shape(memory: Any, transaction: Any) -> None:
    notes = memory.records("notes")
    await notes.put([Record("old", id="old"), Record("kept", id="kept", metadata={"a": 1})])
    async with transaction(memory) as tx:
        await tx.set("k", 1)
        await tx.history("h").append("item")
        await tx.records("notes").put([Record("new", id="new", embedding=[1, 0])])
        await tx.records("notes").patch(["kept"], {"b": 2})
        await tx.records("notes").delete(ids=["old"])
    assert [record.id for record in await notes.list()] == ["new", "kept"]
    (kept,) = await notes.get(["kept"])
    assert kept.metadata == {"a": 1, "b": 2}
    version = (await notes.get(["new"]))[0].version
    assert tx.results[2:] == [(version,), 1, 1]
    with pytest.raises(ConflictError, match="record 'new'"):
        async with transaction(memory) as tx:
            await tx.set("k", 2)
            await tx.history("h").clear()
            await tx.records("notes").put([Record("lost", id="new")], if_versions=[version - 1])
    with pytest.raises(InvalidRequestError, match="dimension"):
        async with transaction(memory) as tx:
            await tx.set("k", 2)
            await tx.records("notes").put([Record("other", embedding=[1, 0, 0])])
    with pytest.raises(ConfigurationError, match="all"):
        async with transaction(memory) as tx:
            await tx.set("k", 2)
            await tx.records("notes").delete()
    assert await memory.get("k") == 1
    assert await memory.history("h").tail(9) == ["item"]
    assert await notes.count() == 2


async def test_a_transaction_that_raises_writes_nothing(memory: Any, transaction: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction(memory) as tx:
            await tx.set("a", 1)
            raise ZeroDivisionError
    async with transaction(memory) as tx:
        await tx.check("a", 0)
    with pytest.raises(NotJSONError):
        async with transaction(memory) as tx:
            await tx.set("a", 1)
            await tx.history("h").append(object())
    assert await memory.list_keys() == []
    with pytest.raises(ConfigurationError, match="has ended"):
        await tx.set("a", 1)


async def test_a_transaction_is_applied_once(memory: Any, transaction: Any) -> None:
    async with transaction(memory) as tx, tx:
        await tx.increment("n")
    with pytest.raises(ConfigurationError, match="has ended"):
        async with tx:
            pass
    assert await memory.get("n") == 1


# --- watching -------------------------------------------------------------------------------


async def test_a_watch_sees_every_change_in_order(memory: Any) -> None:
    await memory.set("before", 1)
    start = (await memory.entry("before")).version
    await memory.set("a/1", 1)
    await memory.delete("a/1")
    await memory.increment("b")
    await memory.history("h").extend([1, 2])
    await memory.clear()
    changes = []
    async for change in memory.watch(after=start):
        changes.append((change.shape, change.action, change.name))
        if change.action == "clear":
            break
    assert changes == [
        ("key", "put", "a/1"),
        ("key", "delete", "a/1"),
        ("key", "put", "b"),
        ("history", "append", "h"),
        ("key", "clear", ""),
    ]
    assert await memory.revision() == start + 5
    seen = [change.name async for change in _until_clear(memory.watch("a/", after=start))]
    assert seen == ["a/1", "a/1", ""]


async def test_a_watch_sees_what_another_client_writes_meanwhile(
    memory: Any, url: str, namespace: str
) -> None:
    if url == "sqlite://":
        return  # this memory has no other clients
    other = open_client("awaited", namespace, url)
    start = await memory.set("mine", 1)
    stream = memory.watch(after=start)
    await other.set("theirs", 2)
    assert (await anext(stream)).name == "theirs"
    await other.aclose()


async def test_a_watch_of_changes_that_never_were_is_told(memory: Any) -> None:
    assert (await anext(memory.watch(after=99))).action == "reset"


@pytest.mark.parametrize("url", ["embedded", "postgres"], indirect=True)
async def test_a_watch_that_comes_too_late_is_told(memory: Any) -> None:
    for start in range(0, 12_000, 4_000):
        await memory.set_many({f"k{i}": i for i in range(start, start + 4_000)})
    assert (await anext(memory.watch(after=1))).action == "reset"
    assert (await anext(memory.watch("k", after=11_999))).revision == 12_000


async def _until_clear(changes: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for change in changes:
        yield change
        if change.action == "clear":
            return


async def test_sizes_usage_and_expiry_without_values(url: str, namespace: str) -> None:
    with Memory(namespace, url=url) as memory:
        memory.set("a", "x" * 50, ttl=3600)
        memory.set("b", b"\x00\xff")
        read = (ops.ListKeyStats(), ops.ListExpiring())
        page, expiring = memory.engine.apply(ops.Batch(namespace, read))
        assert [one[:3] for one in page.keys] == [("a", 52, False), ("b", 2, True)]
        assert [one[:2] for one in expiring] == [("key", "a")]
        for order in ("bytes", "writes"):
            listing = ops.ListUsage(order, 1000)
            (usage,) = memory.engine.apply(ops.Batch(SYSTEM_NAMESPACE, (listing,)))
            (mine,) = [one for one in usage.largest if one.name == namespace]
            assert (mine.writes, mine.revision) == (2, page.keys[1].version)
            assert usage.bytes >= mine.bytes > 0
