"""Histories as sessions: metadata, lists by last change, updates in place and expiry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botwire import (
    ConfigurationError,
    ConflictError,
    History,
    Memory,
    NotFoundError,
    Record,
    transfer,
)
from botwire import operations as ops
from botwire.engines.sqlite import SQLiteEngine
from botwire.exact import Json
from tests.stores import HOUR, TimedStore

pytestmark = pytest.mark.anyio


# --- metadata -------------------------------------------------------------------------------


async def test_metadata_comes_back_as_it_was_set(memory: Any) -> None:
    chat = memory.history("chat")
    assert await chat.metadata() == {}
    assert (await chat.info()).metadata_version == 0
    document = {"title": "Tea \ud800", "n": 10**40, "tags": [None, 1.5], "a.b": {"$": "x"}}
    version = await chat.set_metadata(document)
    assert await chat.metadata() == document
    info = await chat.info()
    assert (info.metadata, info.metadata_version) == (document, version)
    await chat.append("hi")
    assert await chat.metadata() == document
    assert await chat.replace(["hello"]) == [2]
    assert await chat.metadata() == document


async def test_metadata_is_overwritten_only_as_expected(memory: Any) -> None:
    chat = memory.history("chat")
    first = await chat.set_metadata({"title": "one"}, if_version=0)
    with pytest.raises(ConflictError, match="metadata of history 'chat' has version"):
        await chat.set_metadata({"title": "two"}, if_version=0)
    assert await chat.set_metadata({"title": "two"}, if_version=first) > first
    with pytest.raises(ConflictError):
        await chat.set_metadata({"title": "three"}, if_version=first)
    assert await chat.metadata() == {"title": "two"}


async def test_metadata_that_no_listing_could_hold_is_refused(memory: Any) -> None:
    chat = memory.history("chat")
    with pytest.raises(ConfigurationError, match="16,384 bytes"):
        await chat.set_metadata({"text": "x" * 20_000})
    with pytest.raises(ConfigurationError, match="metadata must be an object"):
        await chat.set_metadata(["title"])
    assert await memory.list_histories() == []


async def test_a_history_with_metadata_alone_is_listed_until_it_is_cleared(memory: Any) -> None:
    await memory.history("new").set_metadata({"title": "Untitled"})
    (info,) = await memory.list_histories()
    assert (info.name, info.count, info.metadata) == ("new", 0, {"title": "Untitled"})
    assert info.created_at == info.updated_at
    assert await memory.history("new").clear() == 0
    assert await memory.list_histories() == []
    assert await memory.history("new").metadata() == {}
    await memory.history("new").set_metadata({"title": "again"}, if_version=0)
    await memory.history("new").set_metadata({})
    assert await memory.list_histories() == []


# --- lists ----------------------------------------------------------------------------------


async def _make(memory: Any, names: list[str]) -> None:
    for name in names:
        await memory.history(name).append(name)


async def test_histories_are_listed_by_last_change(memory: Any) -> None:
    await _make(memory, ["b", "a", "c"])
    await memory.history("b").append("again")
    names = [info.name for info in await memory.list_histories(order="updated", descending=True)]
    assert names == ["b", "c", "a"]
    names = [info.name for info in await memory.list_histories(order="updated")]
    assert names == ["a", "c", "b"]
    names = [info.name for info in await memory.list_histories(descending=True)]
    assert names == ["c", "b", "a"]


@pytest.mark.parametrize("order", ["name", "updated"])
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_a_list_are_the_list(memory: Any, order: str, descending: bool) -> None:
    await _make(memory, ["b", "d", "a", "\ud800", "c", "e/1", "e/2"])
    options: Any = {"order": order, "descending": descending}
    everything = await memory.list_histories(**options)
    assert len(everything) == 7
    pages, after = [], None
    while page := await memory.list_histories(**options, after=after, limit=2):
        assert len(page) <= 2
        pages += page
        after = page[-1]
    assert pages == everything
    found = await memory.list_histories("e/", **options)
    assert [info.name for info in found] == [i.name for i in everything if i.name[:2] == "e/"]


async def test_a_list_is_filtered_by_metadata_before_its_limit(memory: Any) -> None:
    for i in range(30):
        await memory.history(f"{i:02}").set_metadata({"user": f"u-{i % 3}", "n": i})
    options: Any = {"order": "updated", "descending": True}
    found = await memory.list_histories(where={"user": "u-1"}, limit=3, **options)
    assert [info.name for info in found] == ["28", "25", "22"]
    found = await memory.list_histories(where={"user": "u-1"}, after=found[-1], **options)
    assert [info.name for info in found] == ["19", "16", "13", "10", "07", "04", "01"]
    assert await memory.list_histories(where={"n": {"$gt": 100}}) == []
    assert len(await memory.list_histories(where={"n": {"$lt": float("inf")}})) == 30


async def test_a_cursor_that_does_not_fit_the_order_is_refused(memory: Any) -> None:
    with pytest.raises(ConfigurationError, match="HistoryInfo"):
        await memory.list_histories(order="updated", after="a")
    with pytest.raises(ConfigurationError, match="order must be one of name, updated"):
        await memory.list_histories(order="size")
    with pytest.raises(ConfigurationError, match="limit"):
        await memory.list_histories(limit=-1)
    assert await memory.list_histories(limit=0) == []


async def test_a_history_that_never_changed_is_no_cursor(memory: Any) -> None:
    nothing = await memory.history("nothing").info()
    with pytest.raises(ConfigurationError, match="never changed"):
        await memory.list_histories(order="updated", after=nothing)


# --- updates --------------------------------------------------------------------------------


async def test_an_item_is_updated_in_place(memory: Any) -> None:
    chat = memory.history("chat")
    await chat.extend(["a", "b", "c"], ids=["1", None, "3"])
    before = await chat.read()
    version = await chat.update(2, {"text": "B"})
    assert version > before[1].version
    assert await chat.update("3", None) > version
    after = await chat.read()
    assert [item.value for item in after] == ["a", {"text": "B"}, None]
    assert [(item.seq, item.id, item.created_at) for item in after] == [
        (item.seq, item.id, item.created_at) for item in before
    ]
    assert await chat.append("d") == 4
    assert await chat.append("c again", id="3") == 3


async def test_an_update_does_not_overwrite_a_later_one(memory: Any) -> None:
    chat = memory.history("chat")
    await chat.append("draft")
    (read,) = await chat.read()
    version = await chat.update(1, "mine", if_value_version=read.version)
    with pytest.raises(ConflictError, match="item 1 of history 'chat' has version"):
        await chat.update(1, "yours", read.version)
    assert await chat.update(1, "mine again", if_value_version=version) > version
    assert await chat.tail(1) == ["mine again"]


async def test_an_item_that_is_not_there_is_not_updated(memory: Any) -> None:
    chat = memory.history("chat")
    await chat.append("a", id="1")
    for missing in (2, 0, "2"):
        with pytest.raises(NotFoundError, match="history 'chat' has no item"):
            await chat.update(missing, "x")
    assert await chat.tail(9) == ["a"]


async def test_a_transaction_updates_and_describes_a_history(memory: Any) -> None:
    await memory.history("chat").append("a")
    async with _transaction(memory) as tx:
        log = tx.history("chat")
        log.update(1, "b")
        log.set_metadata({"title": "t"})
        log.expire(3600)
    info = await memory.history("chat").info()
    assert (await memory.history("chat").tail(1), info.metadata) == (["b"], {"title": "t"})
    assert info.expires_at is not None


@contextlib.asynccontextmanager
async def _transaction(memory: Any) -> Any:
    transaction = memory.transaction()
    if hasattr(transaction, "__aenter__"):
        async with transaction as tx:
            yield tx
    else:
        with transaction as tx:
            yield tx


# --- expiry ---------------------------------------------------------------------------------


async def test_the_expiry_of_a_history_is_set_and_removed(memory: Any) -> None:
    chat = memory.history("chat")
    assert await chat.expire(60) is False
    await chat.append("hi")
    assert await chat.expire(60) is True
    info = await chat.info()
    assert (info.expires_at - info.updated_at).total_seconds() == 60
    await chat.append("an append without ttl leaves it")
    assert (await chat.info()).expires_at == info.expires_at
    assert await chat.expire(None) is True
    assert (await chat.info()).expires_at is None
    for ttl in (0, -1, True, "60"):
        with pytest.raises(ConfigurationError, match="ttl"):
            await chat.expire(ttl)
        with pytest.raises(ConfigurationError, match="ttl"):
            memory.history("chat", ttl=ttl)


async def test_each_write_with_a_ttl_renews_it(memory: Any) -> None:
    chat = memory.history("chat", ttl=60)
    writes: list[Callable[[], Any]] = [
        lambda: chat.append("a"),
        lambda: chat.extend(["b"]),
        lambda: chat.update(1, "A"),
        lambda: chat.replace(["c"]),
    ]
    for write in writes:
        await write()
        info = await chat.info()
        assert (info.expires_at - info.updated_at).total_seconds() == 60


def _values(*values: Any) -> tuple[Json, ...]:
    return tuple(Json.of(value) for value in values)


def _expired(store: TimedStore, *, many: int = 3) -> None:
    values = _values(*range(many))
    ids = tuple(str(i) for i in range(many))
    store.apply(
        ops.ExtendHistory("chat", values, ids, ttl=3600),
        ops.SetHistoryMetadata("chat", Json.of({"title": "t"})),
        ops.ArchiveHistory("chat", 1),
    )
    store.clock.wait(HOUR)


def test_an_expired_history_is_empty(store: TimedStore) -> None:
    _expired(store)
    page, archived, stat, listed = store.apply(
        ops.ReadHistory("chat"),
        ops.ReadHistory("chat", archived=True, newest_first=True),
        ops.StatHistory("chat"),
        ops.ListHistories(),
    )
    assert (page.items, archived.items, listed.histories) == ((), (), ())
    assert (stat.count, stat.archived, stat.last_seq, stat.expires_at) == (0, 0, 3, None)
    assert stat.metadata == ops.NO_METADATA
    assert store.apply(ops.PopItem("chat"), ops.DeleteItems("chat", (2,))) == [None, 0]
    assert store.apply(ops.ExpireHistory("chat", 5), ops.ClearHistory("chat")) == [False, 0]
    with pytest.raises(NotFoundError):
        store.apply(ops.UpdateItem("chat", Json.of(1), seq=2))


@pytest.mark.parametrize("swept", [False, True])
def test_a_history_begins_again_after_it_expired(store: TimedStore, swept: bool) -> None:
    _expired(store)
    if swept:
        store.engine.sweep()
    # Ids are free again, and numbers go on.
    (seqs,) = store.apply(ops.ExtendHistory("chat", _values("x", "y"), ("1", None)))
    assert seqs == (4, 5)
    page, stat = store.apply(ops.ReadHistory("chat", archived=True), ops.StatHistory("chat"))
    assert [item.value.value for item in page.items] == ["x", "y"]
    assert (stat.count, stat.archived, stat.expires_at, stat.metadata.value) == (2, 0, None, {})
    assert list(transfer.check(store.engine)) == []
    store.engine.sweep()
    assert list(transfer.check(store.engine)) == []
    (page,) = store.apply(ops.ReadHistory("chat", archived=True))
    assert [item.seq for item in page.items] == [4, 5]
    (usage,) = store.apply(ops.ReadUsage())
    assert usage.bytes == 2 * 32 + len('"x"1"y"')


@pytest.mark.parametrize("write", ["replace", "metadata", "append"])
def test_the_first_write_after_an_expiry_keeps_nothing(store: TimedStore, write: str) -> None:
    _expired(store)
    operations: dict[str, ops.AnyOperation] = {
        "replace": ops.ReplaceHistory("chat", _values("x"), ("0",), ttl=60),
        "metadata": ops.SetHistoryMetadata("chat", Json.of({"a": 1}), if_version=0),
        "append": ops.ExtendHistory("chat", _values("x"), ttl=60),
    }
    store.apply(operations[write])
    page, stat = store.apply(ops.ReadHistory("chat", archived=True), ops.StatHistory("chat"))
    assert [item.value.value for item in page.items] == ([] if write == "metadata" else ["x"])
    assert stat.metadata.value == ({"a": 1} if write == "metadata" else {})
    assert (stat.expires_at is None) is (write == "metadata")
    assert list(transfer.check(store.engine)) == []


def test_the_sweep_removes_a_long_history_in_parts(store: TimedStore) -> None:
    _expired(store, many=2_500)
    store.apply(ops.ExtendHistory("other", _values("stays")))
    store.apply(ops.ExtendHistory("chat", _values("elsewhere")), namespace="m")
    store.engine.sweep()
    (usage,) = store.apply(ops.ReadUsage())
    assert usage.bytes == 32 + len('"stays"')
    assert list(transfer.check(store.engine)) == []
    (page,) = store.apply(ops.ReadHistory("chat"), namespace="m")
    assert len(page.items) == 1


def test_an_expiry_moves_with_its_history(store: TimedStore, tmp_path: Path) -> None:
    _expired(store)
    store.apply(
        ops.ExtendHistory("lives", _values("a", "b"), ttl=3600),
        ops.SetHistoryMetadata("lives", Json.of({"title": "t"})),
        ops.UpdateItem("lives", Json.of("B"), seq=2),
    )
    with contextlib.closing(SQLiteEngine(tmp_path / "copy.db", clock=store.clock)) as copied:
        transfer.copy(store.engine, copied)
        for operation in (
            ops.StatHistory("lives"),
            ops.ReadHistory("lives"),
            ops.ReadHistory("chat", archived=True),
            ops.ListHistories(order="updated"),
        ):
            batch = ops.Batch("n", (operation,))
            assert copied.apply(batch) == store.engine.apply(batch)
        assert list(transfer.check(copied)) == []


# --- forks ----------------------------------------------------------------------------------


async def test_a_fork_begins_with_the_same_items(memory: Any) -> None:
    chat = memory.history("chat")
    await chat.extend(["a", "b", "c", "d"], ids=["1", None, "3", None])
    await chat.set_metadata({"title": "t"})
    await chat.archive(1)
    assert (await chat.fork("fork", 3)).name == "fork"
    fork = memory.history("fork")
    assert await fork.read(archived=True) == (await chat.read(archived=True))[:3]
    assert (await fork.info())[1:4] == (2, 1, 3)
    assert await fork.metadata() == {}
    # Each continues separately; the id of a shared item is taken in both.
    assert await fork.append("other") == 4
    assert await chat.append("e") == 5
    assert await fork.append("again", id="3") == 3
    assert await fork.tail(9) == ["b", "c", "other"]
    assert await chat.tail(9) == ["b", "c", "d", "e"]
    assert [item.seq async for item in fork.newest_first(archived=True)] == [4, 3, 2, 1]


CHANGES: dict[str, Callable[[History], Any]] = {
    "update": lambda history: history.update(2, "changed"),
    "delete": lambda history: history.delete_many([1, 3]),
    "delete the first": lambda history: history.delete_many([1, 2]),
    "delete the last": lambda history: history.delete_many([5, 4]),
    "pop": lambda history: history.pop(),
    "archive": lambda history: history.archive(3),
    "replace": lambda history: history.replace(["x"], ids=["1"]),
    "clear": lambda history: history.clear(),
    "append": lambda history: history.append("x"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["base", "fork", "fork of the fork"])
def test_a_change_of_one_does_not_show_in_the_others(
    store: TimedStore, change: str, which: int
) -> None:
    memory = Memory("n", engine=store.engine)
    base = memory.history("base")
    base.extend(["a", "b", "c"], ids=["1", "2", None])
    fork = base.fork("fork")
    fork.extend(["d", "e"])
    again = fork.fork("again", up_to=4)
    base.extend(["D", "E"])
    again.append("f")
    histories = [base, fork, again]
    before = [history.read(archived=True) for history in histories]
    counts = [history.count() for history in histories]
    plain = memory.history("plain")
    plain.extend([i.value for i in before[which]], ids=[i.id for i in before[which]])

    CHANGES[change](histories[which])

    for i, history in enumerate(histories):
        if i != which:
            assert history.read(archived=True) == before[i]
            assert history.count() == counts[i]
    # The changed one now shares nothing.
    CHANGES[change](plain)
    found = [(item.seq, item.id, item.value) for item in histories[which].read()]
    assert found == [(item.seq, item.id, item.value) for item in plain.read()]
    assert histories[which].count() == len(found)
    assert list(transfer.check(store.engine)) == []


async def test_a_fork_goes_into_a_new_history_only(memory: Any) -> None:
    chat = memory.history("chat")
    with pytest.raises(NotFoundError, match="history 'chat' does not exist"):
        await chat.fork("fork")
    await chat.append("a")
    await memory.history("used").append("b")
    await memory.history("used").clear()
    with pytest.raises(ConflictError, match="history 'used' has been written to"):
        await chat.fork("used")
    with pytest.raises(ConfigurationError, match="cannot be forked into itself"):
        await chat.fork("chat")
    await chat.fork("beyond", up_to=99)
    assert await memory.history("beyond").append("next") == 2


def test_what_forks_no_longer_read_is_swept(store: TimedStore) -> None:
    values = _values(*range(1_500))
    store.apply(ops.ExtendHistory("base", values), ops.ForkHistory("base", "fork", 1_400))
    store.apply(ops.UpdateItem("base", Json.of("new"), seq=7), ops.ClearHistory("base"))
    store.engine.sweep()
    (page,) = store.apply(ops.ReadHistory("fork", after=1_395))
    assert [item.value.value for item in page.items] == list(range(1_395, 1_400))
    assert list(transfer.check(store.engine)) == []
    store.apply(ops.ClearHistory("fork"))
    store.engine.sweep()
    (usage,) = store.apply(ops.ReadUsage())
    assert usage.bytes == 0
    assert list(transfer.check(store.engine)) == []


def test_a_fork_outlives_a_history_that_expires(store: TimedStore) -> None:
    _expired(store)
    store.clock.wait(-HOUR // 2)
    store.apply(ops.ForkHistory("chat", "fork"))
    store.clock.wait(HOUR)
    for _ in range(2):
        page, stat = store.apply(ops.ReadHistory("fork", archived=True), ops.StatHistory("fork"))
        assert [item.value.value for item in page.items] == [0, 1, 2]
        assert (stat.count, stat.archived, stat.expires_at) == (2, 1, None)
        store.engine.sweep()
    store.apply(ops.ExtendHistory("chat", _values("x"), ("0",)))
    (page,) = store.apply(ops.ReadHistory("fork", archived=True))
    assert [item.id for item in page.items] == ["0", "1", "2"]
    assert list(transfer.check(store.engine)) == []


def test_a_fork_is_copied_with_all_its_items(store: TimedStore, tmp_path: Path) -> None:
    store.apply(ops.ExtendHistory("base", _values(*"abcd"), ("1", "2", None, None)))
    store.apply(ops.ForkHistory("base", "fork", 3), ops.ExtendHistory("fork", _values("D")))
    with contextlib.closing(SQLiteEngine(tmp_path / "copy.db", clock=store.clock)) as copied:
        for _ in range(2):
            transfer.copy(store.engine, copied)
            batch = ops.Batch("n", (ops.StatHistory("fork"), ops.ReadHistory("fork")))
            assert copied.apply(batch) == store.engine.apply(batch)
            assert list(transfer.check(copied)) == []
            store.apply(ops.UpdateItem("base", Json.of("B"), seq=2))
            store.apply(ops.DeleteItems("fork", (1,)))


# --- records --------------------------------------------------------------------------------


async def test_records_expire(memory: Any) -> None:
    notes = memory.records("notes")
    await notes.put([Record("tea", "t", embedding=[1.0, 0.0])], ttl=3600)
    (tea,) = await notes.get(["t"])
    assert (tea.expires_at - tea.updated_at).total_seconds() == 3600
    await notes.patch(["t"], {"seen": True})
    assert (await notes.get(["t"]))[0].expires_at == tea.expires_at
    await notes.put([Record("tea", "t")])
    assert (await notes.get(["t"]))[0].expires_at is None
    with pytest.raises(ConfigurationError, match="ttl"):
        await notes.put([Record("x")], ttl=-1)
    await memory.remember("for an hour", id="m", ttl=3600)
    assert (await memory.recall("hour"))[0].expires_at is not None


def test_an_expired_record_is_found_by_nothing(store: TimedStore, tmp_path: Path) -> None:
    memory = Memory("n", engine=store.engine)
    notes = memory.records("notes")
    notes.put([Record("tea here", "a", {"n": 1}, ["x"], "/a", [1.0, 0.0])], ttl=3600)
    notes.put([Record("tea there", "b", {"n": 1}, ["y"], "/b", [1.0, 0.0])])
    notes.search(vector=[1.0, 0.0])  # fills the cache
    store.clock.wait(HOUR)
    for _ in range(2):
        for options in (
            {"vector": [1.0, 0.0]},
            {"text": "tea"},
            {"vector": [1.0, 0.0], "text": "tea"},
        ):
            found = notes.search(**options)
            assert [match.record.id for match in found] == ["b"]
        assert notes.get(["a", "b"])[0] is None
        assert [record.id for record in notes.list()] == ["b"]
        assert notes.count() == notes.count(filter={"n": 1}) == 1
        assert (notes.scopes("/"), notes.tags()) == (["/b"], {"y": 1})
        assert notes.patch(["a"], {"n": 2}) == 0
        assert list(transfer.check(store.engine)) == []
        store.engine.sweep()
    with contextlib.closing(SQLiteEngine(tmp_path / "copy.db", clock=store.clock)) as copied:
        transfer.copy(store.engine, copied)
        copy = Memory("n", engine=copied).records("notes")
        assert [record.id for record in copy.list()] == ["b"]
    assert notes.delete(filter={"n": 1}) == 1
    assert list(transfer.check(store.engine)) == []


@pytest.mark.parametrize("swept", [False, True])
def test_a_collection_of_expired_records_is_empty(store: TimedStore, swept: bool) -> None:
    memory = Memory("n", engine=store.engine)
    notes = memory.records("notes")
    notes.put([Record(f"tea {i}", str(i), embedding=[1.0, 0.0]) for i in range(250)], ttl=60)
    store.clock.wait(HOUR)
    if swept:
        store.engine.sweep()
    assert memory.list_collections() == []
    assert notes.info().dimension is None
    assert notes.search(vector=[1.0, 2.0, 3.0]) == []
    notes.put([Record("new", "1", embedding=[1.0, 2.0, 3.0])], if_versions=[0])
    assert [match.record.id for match in notes.search(vector=[1.0, 2.0, 3.0])] == ["1"]
    assert notes.info().count == 1
    assert list(transfer.check(store.engine)) == []
    store.engine.sweep()
    assert list(transfer.check(store.engine)) == []
