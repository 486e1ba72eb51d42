"""What nodes and tasks returned comes from the cache, in any process, or they run again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.cache.base import BaseCache, FullKey
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy
from pydantic import BaseModel

from botwire import ConfigurationError, Memory, TransportError
from botwire.engines.sqlite import SQLiteEngine
from botwire_langgraph import BotWireCache
from tests.stores import Clock
from tests.zygote import Zygote

KEY: FullKey = (("graph", "node"), "key")
ODD: list[tuple[Any, ...]] = [
    (), ("",), ("", ""), ("a",), ("a", "b"), ("a,b",), ("a/b",), ("a", "b", "c"), ("a:b",),
    ("%2F",), ("*",), ("a*",), ("~",), ("é", "\ud83d", "😀"), ("x" * 2000,), ("x" * 2001,),
    ("a",) * 5, ("a",) * 50, ("a,a,a,a,a",),
]  # fmt: skip


class Plan(BaseModel):
    """A class of the user's."""

    steps: list[str]


@dataclass
class Trip:
    """Another."""

    to: str


class State(TypedDict):
    """Names classes of the program's own."""

    plan: Plan
    trips: list[Trip]


@pytest.fixture
def cache(place_url: str, namespace: str) -> BotWireCache[Any]:
    """An empty cache."""
    return BotWireCache(namespace, url=place_url)


class Both:
    """A cache of which every other call is awaited, so that one half reads what the other wrote."""

    def __init__(self, cache: BaseCache[Any]) -> None:
        self.cache = cache
        self._awaits = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self._awaits = not self._awaits
        if self._awaits:
            return lambda *given: asyncio.run(getattr(self.cache, f"a{name}")(*given))
        return cast("Callable[..., Any]", getattr(self.cache, name))


def test_values_come_back_until_their_namespace_is_cleared(cache: BotWireCache[Any]) -> None:
    both, theirs = Both(cache), InMemoryCache[Any]()
    keys = [(namespace, key) for namespace in ODD for key in ("k", "", "k/*", "k" * 2000)]
    pairs = {key: ({"of": key[1], "at": number}, None) for number, key in enumerate(keys)}
    for one in (both, theirs):
        one.set(pairs)
        one.set({})
    assert both.get(keys) == {key: value for key, (value, _) in pairs.items()} == theirs.get(keys)
    assert both.get(keys) == both.get(keys * 2)
    assert both.get([]) == both.get([(("graph",), "never")]) == {}
    both.set({KEY: ("replaced", None)})
    both.set({KEY: ("new", None)})
    assert both.get([KEY]) == {KEY: "new"}
    cleared: list[Any] = []
    for namespace in (*ODD, ("never",)):
        cleared.append(namespace)
        for one in (both, theirs):
            one.clear([namespace])
            one.clear([])
        left = {key for key in keys if key[0] not in cleared}
        assert set(both.get(keys)) == left == set(theirs.get(keys))
    both.set(pairs)
    cache.connection.memory.set("other", 1)
    both.clear()
    assert cache.connection.memory.list_keys() == ["other"]


def test_values_keep_their_types(cache: BotWireCache[Any]) -> None:
    both = Both(cache)
    values = [
        None, 42, 1.5, float("inf"), True, "text", b"\x00", [1, None], {"a": {1: "b"}},
        {"b", "a", "c"}, deque([["channel", {"x": 1}]]),
        [AIMessage("hi", id="1"), HumanMessage("?")],
    ]  # fmt: skip
    keys = [(("n",), str(number)) for number in range(len(values))]
    both.set({key: (value, None) for key, value in zip(keys, values, strict=True)})
    found = [both.get([key])[key] for key in keys for _ in range(2)][::2]
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]
    large = {"bytes": b"x" * 300_000, "list": list(range(1000))}
    for _ in range(2):
        both.set({KEY: (large, None)})
        assert both.get([KEY]) == {KEY: large}


def test_a_ttl_is_kept_by_the_stores_clock(tmp_path: Path, namespace: str) -> None:
    clock = Clock()
    with contextlib.closing(SQLiteEngine(tmp_path / "timed.db", clock=clock)) as engine:
        cache = BotWireCache[Any](client=Memory(namespace, engine=engine))
        short, long, gone = [(("n",), name) for name in ("short", "long", "gone")]
        cache.set({short: (1, 60), long: (2, None), gone: (3, None)})
        cache.set({gone: (4, 0)})
        assert cache.get([short, long, gone]) == {short: 1, long: 2}
        clock.wait(59)
        assert cache.get([short]) == {short: 1}
        cache.set({long: (3, 120)})
        clock.wait(2)
        assert cache.get([short, long]) == {long: 3}
        cache.set({long: (4, -1)})
        assert cache.get([short, long]) == {}


def test_a_damaged_value_is_missing(
    cache: BotWireCache[Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = (("graph", "node"), "good")
    cache.set({KEY: ([1, 2, 3], None), good: ({"a": 1}, None)})
    memory = cache.connection.memory
    (key,) = [name for name in memory.list_keys() if name.endswith("/key")]
    whole = memory.get(key)
    damaged = [
        b"", b"msgpack", b"msgpack\x00", whole[:-1], whole + b"\x01", b"pickle\x00\x80",
        b"\xff\x00a", {"json": True}, None, "text",
    ]  # fmt: skip
    for number, value in enumerate(damaged, 1):
        memory.set(key, value)
        assert Both(cache).get([KEY, good]) == {good: {"a": 1}} == cache.get([KEY, good])
        assert caplog.text.count("cannot be used") == 2 * number
    cache.set({KEY: ([4], None)})
    assert cache.get([KEY]) == {KEY: [4]}


def test_a_class_that_is_not_allowed_or_has_changed_is_missing(
    cache: BotWireCache[Any], place_url: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    namespace = cache.connection.namespace
    monkeypatch.setattr("botwire_langgraph.serializer._warned", set())  # once a process
    cache.set({KEY: ([Trip("Rome")], None)})
    assert cache.get([KEY]) == {}
    assert "allowed_types=[Trip]" in caplog.text
    encrypted = EncryptedSerializer(Plain(), JsonPlusSerializer(allowed_msgpack_modules=[Trip]))
    allowing = BotWireCache[Any](namespace, url=place_url, allowed_types=[Trip])
    secret = BotWireCache[Any](namespace, url=place_url, serde=encrypted, prefix="secret/")
    secret.set({KEY: ([Trip("Rome")], None)})
    for one in (allowing, secret):
        assert one.get([KEY]) == {KEY: [Trip("Rome")]}
        with monkeypatch.context() as patch:
            # LangGraph would return a dict.
            patch.setitem(globals(), "Trip", make_dataclass("Trip", ["where"]))
            assert one.get([KEY]) == {}
            patch.delitem(globals(), "Trip")
            assert one.get([KEY]) == {}


class Plain:
    """A cipher that hides nothing."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Returns the text."""
        return "plain", plaintext

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Returns the text."""
        return ciphertext


def graph(cache: Any, ran: list[str]) -> Any:
    """Returns a graph whose node returns objects of the user's."""

    def fill(state: State) -> Any:
        ran.append("fill")
        return {"plan": Plan(steps=["a"]), "trips": [Trip("Rome")]}

    builder = StateGraph(State).add_node("fill", fill, cache_policy=CachePolicy(ttl=60))
    return builder.add_edge(START, "fill").compile(cache=cache)


def test_a_node_runs_once_and_its_own_types_come_back(
    cache: BotWireCache[Any], place_url: str
) -> None:
    ran: list[str] = []
    given = {"trips": []}
    done = {"plan": Plan(steps=["a"]), "trips": [Trip("Rome")]}
    assert graph(cache, ran).invoke(given) == done
    again = BotWireCache[Any](cache.connection.namespace, url=place_url)  # has read no class yet
    assert graph(again, ran).invoke(given) == done
    another = BotWireCache[Any](cache.connection.namespace, url=place_url)
    assert asyncio.run(graph(another, ran).ainvoke(given)) == done
    assert ran == ["fill"]
    graph(again, ran).clear_cache()
    asyncio.run(graph(another, ran).ainvoke(given))
    assert ran == ["fill"] * 2
    (entry,) = cache.connection.memory.iter_entries()
    assert entry.author.framework == "langgraph"
    assert entry.expires_at is not None


def test_tasks_that_run_at_once_find_their_types(cache: BotWireCache[Any], place_url: str) -> None:
    ran: list[str] = []

    @task(cache_policy=CachePolicy())
    def book(to: str) -> Trip:
        ran.append(to)
        return Trip(to)

    @task(cache_policy=CachePolicy())
    async def abook(to: str) -> Trip:
        ran.append(to)
        return Trip(to)

    def trips(cache: Any) -> Any:
        @entrypoint(cache=cache)
        def run(to: Sequence[str]) -> list[str]:
            return [one.result().to for one in [book(one) for one in to]]

        return run.invoke(["Rome", "Bern"])

    def atrips(cache: Any) -> Any:
        @entrypoint(cache=cache)
        async def run(to: Sequence[str]) -> list[str]:
            return [one.to for one in await asyncio.gather(*[abook(one) for one in to])]

        return asyncio.run(run.ainvoke(["Oslo", "Lima"]))

    for _ in range(2):
        new = BotWireCache[Any](cache.connection.namespace, url=place_url)
        assert (trips(new), atrips(new)) == (["Rome", "Bern"], ["Oslo", "Lima"])
    assert sorted(ran) == ["Bern", "Lima", "Oslo", "Rome"]
    book.clear_cache(cache)
    trips(cache)
    atrips(cache)
    assert sorted(ran) == ["Bern", "Bern", "Lima", "Oslo", "Rome", "Rome"]


async def test_an_agent_takes_a_cache(cache: BotWireCache[Any]) -> None:
    agent = create_agent(FakeListChatModel(responses=["Hello."]), tools=[], cache=cache)
    said = (await agent.ainvoke({"messages": ["hi"]}))["messages"]
    assert [one.text for one in said] == ["hi", "Hello."]


RUN = """
import asyncio, json, sys
from typing import TypedDict
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy
from botwire_langgraph import BotWireCache

class State(TypedDict):
    x: int
    y: int

def work(state):
    print("ran", flush=True)
    return {"y": state["x"] * 2}

builder = StateGraph(State).add_node("work", work, cache_policy=CachePolicy())
app = builder.add_edge(START, "work").compile(cache=BotWireCache(sys.argv[1], url=sys.argv[2]))
how = asyncio.run(app.ainvoke({"x": 3})) if sys.argv[3] == "async" else app.invoke({"x": 3})
print(json.dumps(how))
"""


@pytest.mark.parametrize("order", [("sync", "async"), ("async", "sync")])
def test_processes_share_a_cache(
    zygote: Zygote, place_url: str, namespace: str, order: Sequence[str]
) -> None:
    said = [zygote.read(RUN, namespace, place_url, how).splitlines() for how in order]
    assert said[0][:-1] == ["ran"]
    assert said[1][:-1] == []
    assert json.loads(said[0][-1]) == json.loads(said[1][-1]) == {"x": 3, "y": 6}


def test_what_cannot_be_cached_is_returned_all_the_same(
    server_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BotWireCache[Any](namespace, url=server_url)
    large = "x" * 17_000_000
    for value in (lambda: 1, large):

        @task(cache_policy=CachePolicy())
        def make(number: int, value: Any = value) -> Any:
            return value

        @entrypoint(cache=cache)
        def run(number: int, make: Any = make, value: Any = value) -> bool:
            return make(number).result() is value

        @entrypoint(cache=cache)
        async def arun(number: int, make: Any = make, value: Any = value) -> bool:
            return await make(number) is value

        caplog.clear()
        assert run.invoke(1)
        assert asyncio.run(arun.ainvoke(2))
        assert caplog.text.count("is not cached") == 2
    assert cache.connection.memory.list_keys() == []
    kept, lost = (("n",), "kept"), (("n",), "lost")
    with caplog.at_level(logging.WARNING):
        cache.set({kept: (1, None), lost: (large, None)})
    assert cache.get([kept, lost]) == {kept: 1}


def test_a_server_that_is_down_is_an_error_that_names_it(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    app = graph(BotWireCache(client=Memory("n", url=url, timeout=0.5)), [])
    with pytest.raises(TransportError, match=url):
        app.invoke({"trips": []})


def test_a_wrong_argument_is_named(cache: BotWireCache[Any], namespace: str) -> None:
    wrong: Any = 5
    for call, says in (
        (lambda: cache.get("ab"), "keys must be a list of pairs of a namespace and a key"),
        (lambda: cache.get(["ab"]), r"keys\[0\] must be a pair of a namespace and a key, not 'ab'"),
        (lambda: cache.get([("ab", "k")]), r"keys\[0\]\[0\] must be a tuple of strings, not str"),
        (lambda: cache.get([((wrong,), "k")]), "must be a string, not int: 5"),
        (lambda: cache.get([(("n",), wrong)]), "must be a string, not int: 5"),
        (lambda: cache.set([(KEY, (1, None))]), "pairs must be a dict, not list"),
        (lambda: cache.set({KEY: wrong}), "must be a pair of a value and a ttl, not 5"),
        (lambda: cache.set({KEY: (1, "60")}), "ttl must be a number of seconds"),
        (lambda: cache.clear(("a", "b")), r"namespaces\[0\] must be a tuple of strings, not str"),
        (lambda: cache.clear("ab"), "namespaces must be a list of tuples of strings"),
        (lambda: BotWireCache(namespace, prefix=""), "prefix must not be empty"),
        (lambda: BotWireCache(namespace, prefix=wrong), "a prefix must be a string"),
        (lambda: BotWireCache(namespace, serde=wrong), "serde must be a serializer of LangGraph"),
        (lambda: BotWireCache(namespace, allowed_types=[wrong]), "must be a class, not int: 5"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()  # type: ignore[no-untyped-call]
    assert cache.connection.memory.list_keys() == []
