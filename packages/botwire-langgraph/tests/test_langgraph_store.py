"""The store: exact windows, filters that never raise, expiry, few requests."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from botwire import ConfigurationError, InvalidRequestError, Memory
from botwire.engines.sqlite import SQLiteEngine
from botwire.operations import Batch
from botwire_langgraph import BotWireStore, plan
from tests.stores import MINUTE, Clock
from tests.zygote import Zygote

WORDS = ("tea", "coffee", "train", "green")


def embed(texts: list[str]) -> list[list[float]]:
    """Embeds texts by their words: texts that share words are near."""
    return [[float(text.lower().count(word)) for word in WORDS] + [0.1] for text in texts]


@pytest.fixture
def store(place_url: str, namespace: str) -> BotWireStore:
    """An empty store."""
    return BotWireStore(namespace, url=place_url)


def keys(found: Any) -> list[str]:
    return [item.key for item in found]


def test_an_item_outlives_its_process(
    zygote: Zygote, store: BotWireStore, place_url: str, namespace: str
) -> None:
    store.put(("users", "ada"), "food", {"likes": ["tea", 1, 1.5, None, True]})
    program = (
        "import sys; from botwire_langgraph import BotWireStore\n"
        "found = BotWireStore(sys.argv[1], url=sys.argv[2]).get(('users', 'ada'), 'food')\n"
        "print(found.value)"
    )
    printed = zygote.read(program, namespace, place_url)
    assert printed.strip() == "{'likes': ['tea', 1, 1.5, None, True]}"


async def test_copies_go_on_working(store: BotWireStore) -> None:
    store.put(("a",), "k", {"n": 1})
    for again in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        for item in (again.get(("a",), "k"), await again.aget(("a",), "k")):
            assert item is not None
            assert item.value == {"n": 1}


def test_created_at_stays_over_updates(store: BotWireStore) -> None:
    store.put(("n",), "k", {"v": 1})
    first = store.get(("n",), "k")
    store.put(("n",), "k", {"v": 2})
    second = store.get(("n",), "k")
    assert first is not None
    assert second is not None
    assert second.value == {"v": 2}
    assert second.created_at == first.created_at
    assert second.updated_at >= first.updated_at
    store.delete(("n",), "k")
    assert store.get(("n",), "k") is None


ODD: dict[str, dict[str, Any]] = {
    "number": {"v": 5},
    "text": {"v": "five"},
    "null": {"v": None},
    "list": {"v": [5]},
    "object": {"v": {"v": 5, "w": {"x": [5], "z": 0}}},
    "true": {"v": True},
    "missing": {"other": 5},
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"v": 5}, ["number"]),
        ({"v": {"$eq": "five"}}, ["text"]),
        ({"v": {"$ne": 5}}, ["list", "null", "object", "text", "true"]),
        ({"v": {"$gt": 4}}, ["number"]),
        ({"v": {"$gte": 5}}, ["number"]),
        ({"v": {"$lt": 5}}, []),
        ({"v": {"$lte": 5.0}}, ["number"]),
        ({"v": {"$gt": "e"}}, ["text"]),
        ({"v": {"$in": (5, "five")}}, ["number", "text"]),
        ({"v": {"$exists": False}}, ["missing"]),
        ({"v": None}, ["missing", "null"]),
        ({"v.v": 5}, ["object"]),
        ({"v": {"v": 5}}, ["object"]),
        ({"v": {"v": {"$gte": 5}}}, ["object"]),
        ({"v": {"w": {"x": [5]}}}, ["object"]),
        ({"v": {"w": {"x": [5], "y": 5}}}, []),
        ({"v": {"v": 5}, "v.v": {"$lt": 5}}, []),
        ({"nowhere.at.all": {"$gt": 1}}, []),
        ({"$or": [{"v": 5}, {"other": 5}]}, ["missing", "number"]),
        ({"$odd": 1}, []),
        ({"": 1}, []),
    ],
    ids=str,
)
def test_a_filter_of_odd_fields_does_not_raise(
    store: BotWireStore, condition: dict[str, Any], expected: list[str]
) -> None:
    store.batch([PutOp(("n",), key, value) for key, value in ODD.items()])
    assert sorted(keys(store.search(("n",), filter=condition))) == expected


VALUES = (None, True, False, 1, 0, 1.0, 2, "1", "", [1], {"x": 1})


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("nested", [False, True])
def test_values_are_equal_as_in_langgraphs_own_stores(
    store: BotWireStore, value: Any, nested: bool
) -> None:
    stock = InMemoryStore()
    stored = [{"a": one} for one in VALUES] + [{"b": 1}]
    for one in (store, stock):
        for number, found in enumerate(stored):
            one.put(("n",), str(number), {"in": found} if nested else found)
    for condition in ({"a": value}, {"a": {"$eq": value}}):
        wanted: dict[str, Any] = {"in": condition} if nested else condition
        found, expected = (
            {item.key for item in one.search(("n",), filter=wanted, limit=100)}
            for one in (store, stock)
        )
        assert found == expected


def test_an_unknown_operator_says_so(store: BotWireStore) -> None:
    with pytest.raises(ConfigurationError, match="near"):
        store.search(("n",), filter={"v": {"$near": 1}})


def test_a_wrong_argument_is_named(store: BotWireStore) -> None:
    wrong: Any = "x"
    for call, says in (
        (lambda: store.search(("n",), filter=wrong), "filter must be a dict of fields, not str"),
        (lambda: store.put(("n",), "k", {}, ttl=wrong), "ttl must be a number of minutes, not str"),
        (lambda: store.put(("n",), "k", {}, ttl=0), "ttl.* above 0"),
        (lambda: store.put(("n",), "k", {}, index=wrong), "index must be False or a list of paths"),
        (lambda: store.list_namespaces(max_depth=wrong), "max_depth must be an int, not str"),
        (lambda: store.put(("n",), "k", {}, index=[5]), r"index\[0\] must be a string or a list"),
        (lambda: store.batch(5), "ops must be a list of operations, not int"),  # type: ignore[arg-type]
        (lambda: store.batch([GetOp(("n",), None)]), "key must be a string, not None"),  # type: ignore[arg-type]
        (lambda: store.batch([GetOp(None, None)]), "a namespace must be a tuple of labels"),  # type: ignore[arg-type]
        (lambda: store.batch([SearchOp(("n",), query=5)]), "query must be a string, not int"),  # type: ignore[arg-type]
        (lambda: store.batch([ListNamespacesOp(("x",))]), r"match_conditions\[0\] must be"),  # type: ignore[arg-type]
        (lambda: BotWireStore("n", index=wrong), "index must be a dict"),
        (lambda: BotWireStore("n", collection=5), "a collection name must be a string"),  # type: ignore[arg-type]
        (lambda: BotWireStore("n", ttl=wrong), "ttl must be a dict"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()
    assert store.search(("n",)) == []


async def test_a_wrong_call_fails_alone(store: BotWireStore) -> None:
    results = await asyncio.gather(
        store.aput(("n",), "k", {"v": 1}),
        store.asearch(("n",), filter={"v": {"$near": 1}}),
        store.aput(("n" * 2000,), "k", {"v": 1}),
        return_exceptions=True,
    )
    assert results[0] is None
    assert [type(one) for one in results[1:]] == [ConfigurationError] * 2
    assert keys(await store.asearch(("n",))) == ["k"]


async def test_a_text_that_cannot_be_embedded_fails_alone(place_url: str, namespace: str) -> None:
    def picky(texts: list[str]) -> list[list[float]]:
        if "too long" in texts:
            raise OverflowError("more tokens than the model takes")
        return embed(texts)

    store = BotWireStore(namespace, url=place_url, index={"embed": picky, "fields": ["text"]})
    await store.aput(("n",), "before", {"text": "tea"})
    results = await asyncio.gather(
        store.aput(("n",), "k", {"text": "tea"}),
        store.aput(("n",), "bad", {"text": "too long"}),
        store.aget(("n",), "before"),
        store.asearch(("n",), query="too long"),
        return_exceptions=True,
    )
    assert [type(one) for one in results] == [type(None), OverflowError, Item, OverflowError]
    assert sorted(keys(await store.asearch(("n",)))) == ["before", "k"]


def test_limit_and_offset_are_exact_after_the_filter(store: BotWireStore) -> None:
    puts = [
        PutOp(("n", str(i % 3)), f"{i:03}", {"even": i % 2 == 0, "t": "tea"}) for i in range(60)
    ]
    store.batch(puts)
    for query in (None, "tea"):
        pages = [
            store.search(("n",), query=query, filter={"even": True}, limit=7, offset=offset)
            for offset in range(0, 35, 7)
        ]
        assert [len(page) for page in pages] == [7, 7, 7, 7, 2]
        assert len({item.key for page in pages for item in page}) == 30
    assert store.search(("n",), limit=0) == []
    assert len(store.search((), limit=1_000)) == 60
    with pytest.raises(ConfigurationError, match="limit"):
        store.search((), limit=-1)


def test_namespaces_with_wildcards(store: BotWireStore) -> None:
    for namespace in [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "x/y%", "c"), ("ab",), ("*",)]:
        store.put(namespace, "k", {})
    assert store.list_namespaces(prefix=("a",), max_depth=2) == [("a", "b"), ("a", "x/y%")]
    assert store.list_namespaces(prefix=("a", "*", "c")) == [("a", "b", "c"), ("a", "x/y%", "c")]
    assert store.list_namespaces(suffix=("*", "e")) == [("a", "b", "d", "e")]
    assert store.list_namespaces(limit=2, offset=1) == [("a", "b", "c"), ("a", "b", "d", "e")]
    assert len(store.search(("a",))) == 3  # and nothing of ("ab",)
    assert len(store.search(("*",))) == 1
    store.delete(("ab",), "k")
    assert ("ab",) not in store.list_namespaces()


@pytest.mark.parametrize("labels", [("a.b",), ("",), (1,), ("a\x00",)], ids=repr)
def test_a_bad_namespace_is_refused_also_in_a_batch(store: BotWireStore, labels: Any) -> None:
    for operation in (GetOp(labels, "k"), PutOp(labels, "k", {}), SearchOp(labels)):
        with pytest.raises(InvalidNamespaceError) as refused:
            store.batch([operation])
        assert isinstance(refused.value, ConfigurationError)


def test_what_json_cannot_hold_is_refused_when_written(store: BotWireStore) -> None:
    with pytest.raises(TypeError, match="value"):
        store.put(("n",), "k", {"v": {1, 2}})
    assert store.get(("n",), "k") is None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock, tmp_path: Path, namespace: str) -> Iterator[Memory]:
    """A store of this engine, with its clock."""
    with contextlib.closing(SQLiteEngine(tmp_path / "timed.db", clock=clock)) as engine:
        yield Memory(namespace, engine=engine)


def test_nothing_expired_is_returned(timed: Memory, clock: Clock) -> None:
    store = BotWireStore(client=timed)
    store.put(("n",), "short", {"t": "tea"}, ttl=1)
    store.put(("n",), "long", {"t": "tea"}, ttl=None)
    first = store.get(("n",), "short", refresh_ttl=False)
    clock.wait(2 * MINUTE)
    assert store.get(("n",), "short") is None
    assert keys(store.search(("n",))) == keys(store.search(("n",), query="tea")) == ["long"]
    store.delete(("n",), "long")
    assert store.list_namespaces() == []
    store.put(("n",), "short", {"t": "new"})
    again = store.get(("n",), "short")
    assert first is not None
    assert again is not None
    assert again.created_at > first.created_at  # a new item, because the old one had expired


def test_reading_refreshes_unless_told_otherwise(timed: Memory, clock: Clock) -> None:
    store = BotWireStore(client=timed, index={"embed": embed, "fields": ["key", "more[*]"]})
    for key in ("read", "searched", "not"):
        store.put(("n",), key, {"key": key, "more": ["tea", "train"]}, ttl=2)
    clock.wait(1.5 * MINUTE)
    store.get(("n",), "read")
    store.search(("n",), filter={"key": "searched"})
    store.get(("n",), "not", refresh_ttl=False)
    clock.wait(1.5 * MINUTE)
    assert set(keys(store.search(("n",)))) == {"read", "searched"}
    assert set(keys(store.search(("n",), query="train"))) == {"read", "searched"}
    clock.wait(2.5 * MINUTE)
    assert timed.records("langgraph-store").count() == 0


def test_a_refresh_does_not_end_what_was_made_to_stay(timed: Memory, clock: Clock) -> None:
    store = BotWireStore(client=timed)
    store.put(("n",), "k", {"v": 1}, ttl=1)
    # Reads and writes of a batch: the read sees the old item, and refreshes after the write.
    results = store.batch([GetOp(("n",), "k"), PutOp(("n",), "k", {"v": 2}, ttl=None)])
    assert results[0].value == {"v": 1}  # type: ignore[union-attr]
    clock.wait(10 * MINUTE)
    kept = store.get(("n",), "k")
    assert kept is not None
    assert kept.value == {"v": 2}


async def test_the_default_ttl_and_the_sweep(timed: Memory, clock: Clock) -> None:
    store = BotWireStore(client=timed, ttl={"default_ttl": 1, "refresh_on_read": False})
    store.put(("n",), "k", {})
    await store.aput(("n",), "awaited", {})
    store.put(("n",), "kept", {}, ttl=None)
    assert (store.get(("n",), "k"), await store.aget(("n",), "awaited")) != (None, None)
    records = timed.records("langgraph-store")
    assert records.count() == 3
    clock.wait(2 * MINUTE)
    assert (store.sweep_ttl(), await store.asweep_ttl()) == (0, 0)
    assert keys(store.search(("n",))) == ["kept"]
    assert records.count() == 1


@pytest.mark.parametrize("name", ["fields", "text_fields"])  # LangGraph's stores differ
def test_the_fields_to_embed_have_either_name(place_url: str, namespace: str, name: str) -> None:
    index: Any = {"embed": embed, name: ["title"]}
    store = BotWireStore(namespace, url=place_url, index=index)
    store.put(("n",), "k", {"title": "tea", "text": "train coffee"})
    (found,) = store.search(("n",), query="tea")
    assert found.score == pytest.approx(1)


def test_meaning_with_filter_fields_and_several_embeddings(place_url: str, namespace: str) -> None:
    store = BotWireStore(
        namespace, url=place_url, index={"dims": 5, "embed": embed, "fields": ["notes[*]", "t"]}
    )
    store.put(("n",), "both", {"notes": ["tea", "train", "coffee"], "lang": "en"})
    store.put(("n",), "tea", {"t": "green tea", "lang": "de"})
    store.put(("n",), "train", {"t": "train", "lang": "en"})
    store.put(("n",), "hidden", {"t": "tea"}, index=False)
    store.put(("n",), "other", {"title": "tea tea", "t": "train"}, index=["title"])
    found = store.search(("n",), query="tea")
    assert set(keys(found[:2])) == {"both", "other"}
    assert len(found) == 4  # each item once, the one without an index never
    assert keys(store.search(("n",), query="tea", filter={"lang": "de"})) == ["tea"]
    assert keys(store.search(("n",), query="coffee", limit=1)) == ["both"]
    windows = [store.search(("n",), query="tea", limit=1, offset=i) for i in range(5)]
    assert [keys(window) for window in windows[:4]] == [[item.key] for item in found]
    assert windows[4] == []
    # A new value has its own embeddings only.
    store.put(("n",), "both", {"notes": ["train"]})
    records = store.connection.memory.records("langgraph-store")
    assert records.count() == 5
    best = store.search(("n",), query="coffee", limit=1)[0]
    assert best.score is not None
    assert best.score < 0.9
    store.delete(("n",), "both")
    assert "both" not in keys(store.search(("n",), query="tea"))


def test_text_and_hybrid_search(place_url: str, namespace: str) -> None:
    text = BotWireStore(namespace, url=place_url)
    text.put(("n",), "a", {"t": "The Zanzibar archive"})
    text.put(("n",), "b", {"t": "nothing of it"})
    assert keys(text.search(("n",), query="zanzibar")) == ["a"]
    hybrid = BotWireStore(
        namespace, url=place_url, index={"embed": embed}, search="hybrid", collection="other"
    )
    hybrid.put(("n",), "words", {"t": "zanzibar tea"})
    hybrid.put(("n",), "meaning", {"t": "tea"})
    assert keys(hybrid.search(("n",), query="zanzibar tea")) == ["words", "meaning"]


@pytest.mark.anyio
async def test_the_awaited_half_is_the_same_store(store: BotWireStore) -> None:
    await store.aput(("n",), "k", {"v": 1})
    assert await store.aget(("n",), "k") == store.get(("n",), "k")
    assert await store.asearch(("n",)) == store.search(("n",))
    assert await store.alist_namespaces() == [("n",)]
    await store.adelete(("n",), "k")
    assert store.get(("n",), "k") is None


class Counting:
    """An engine that counts what it passes on."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.batches = 0

    async def apply(self, batch: Any) -> Any:
        self.batches += 1
        return await self.engine.apply(batch)


@pytest.mark.anyio
async def test_concurrent_calls_become_few_requests(store: BotWireStore) -> None:
    memory = store.connection.async_memory
    memory.engine = counting = Counting(memory.engine)  # type: ignore[assignment]
    await asyncio.gather(*[store.aput(("n",), f"{i}", {"i": i}) for i in range(100)])
    found = await asyncio.gather(*[store.aget(("n",), f"{i}") for i in range(100)])
    assert [item.value["i"] for item in found if item is not None] == list(range(100))
    assert counting.batches <= 4


def test_threads_that_read_at_once_share_a_request(server_url: str, namespace: str) -> None:
    """Tools that are called side by side run in threads."""
    store = BotWireStore(namespace, url=server_url)
    store.put(("n",), "k", {"v": 1})
    gathering: Any = store.connection.memory.engine
    entered, go_on = threading.Event(), threading.Event()
    apply, calls = gathering.engine.apply, []

    class Slow:
        def apply(self, batch: Batch) -> Any:
            calls.append(len(batch.operations))
            entered.set()
            assert go_on.wait(60)
            return apply(batch)

    gathering.engine = Slow()
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(store.get, ("n",), "k")
        assert entered.wait(60)
        others = [pool.submit(store.get, ("n",), "k", refresh_ttl=False) for _ in range(19)]
        while gathering.waiting < 19:
            wait(others, 0.01)
        go_on.set()
        assert all(found.result() is not None for found in (first, *others))
    assert calls == [1, 19]


@pytest.mark.anyio
async def test_one_bad_call_fails_alone(place_url: str, namespace: str) -> None:
    store = BotWireStore(namespace, url=place_url, index={"embed": lambda ts: [[1.0] for _ in ts]})
    await store.aput(("n",), "first", {})

    def sized(texts: list[str]) -> list[list[float]]:
        return [[1.0, 2.0] if "bad" in text else [1.0] for text in texts]

    store = BotWireStore(namespace, url=place_url, index={"embed": sized})
    outcomes = await asyncio.gather(
        store.aput(("n",), "good", {"t": "good"}),
        store.aput(("n",), "bad", {"t": "bad"}),
        store.aget(("n",), "first"),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], InvalidRequestError)
    assert outcomes[2].key == "first"  # type: ignore[union-attr]
    with pytest.raises(InvalidNamespaceError):
        await store.aput(("a.b",), "k", {})


def test_one_batch_is_one_request(store: BotWireStore) -> None:
    store.put(("n",), "k", {"v": 1})
    operations = [
        GetOp(("n",), "k"),
        SearchOp(("n",)),
        ListNamespacesOp((MatchCondition("prefix", ("n",)),)),
        PutOp(("n",), "new", {}),
        PutOp(("n",), "k", None),
    ]
    settings = plan.StoreSettings("langgraph-store", "text", ["$"], None)
    program = plan.StorePlan(settings, operations, lambda: 1).run({}, {})
    batches = [next(program)]
    memory = store.connection.memory
    with pytest.raises(StopIteration) as stop:
        batches.append(program.send(memory.engine.apply(Batch(memory.namespace, batches[0]))))
    item, found, listed, *puts = stop.value.value
    assert (item.key, keys(found), listed, puts) == ("k", ["k"], [("n",)], [None, None])
    assert keys(store.search(("n",))) == ["new"]
    assert len(batches) == 1


def test_a_wrong_search_is_refused_at_once(namespace: str) -> None:
    with pytest.raises(ConfigurationError, match="index"):
        BotWireStore(namespace, search="hybrid")
    with pytest.raises(ConfigurationError, match="search"):
        BotWireStore(namespace, search="magic")  # type: ignore[arg-type]
