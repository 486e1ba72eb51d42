"""LangChain's own suites for stores and caches."""

from __future__ import annotations

import enum
from typing import Any, cast

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_tests.integration_tests import (
    AsyncCacheTestSuite,
    BaseStoreAsyncTests,
    BaseStoreSyncTests,
    SyncCacheTestSuite,
)

from botwire import ConfigurationError, Memory
from botwire_langchain import BotWireByteStore, BotWireCache


class ByteStore:
    """An empty store, wherever memory lives."""

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        """Values that are no text."""
        return (b"foo", b"\x00\xffbar", b"")

    @pytest.fixture
    def kv_store(self, place_url: str, namespace: str) -> BotWireByteStore:
        """An empty store."""
        return BotWireByteStore(namespace, url=place_url)


class TestByteStoreSync(ByteStore, BaseStoreSyncTests[bytes]):
    """The blocking half."""


class TestByteStoreAsync(ByteStore, BaseStoreAsyncTests[bytes]):
    """The awaited half."""


class Cache:
    """An empty cache, wherever memory lives."""

    @pytest.fixture
    def cache(self, place_url: str, namespace: str) -> BotWireCache:
        """An empty cache."""
        return BotWireCache(namespace, url=place_url)


class TestCacheSync(Cache, SyncCacheTestSuite):
    """The blocking half."""


class TestCacheAsync(Cache, AsyncCacheTestSuite):
    """The awaited half."""


def test_a_store_and_a_cache_keep_to_themselves(place_url: str, namespace: str) -> None:
    memory = Memory(namespace, url=place_url)
    memory.set("mine", 1)
    store, cache = BotWireByteStore(client=memory), BotWireCache(client=memory)
    store.mset([("a*", b"1"), ("ab", b"2")])
    message = AIMessage("hi", usage_metadata={"input_tokens": 1, "output_tokens": 1,
                                              "total_tokens": 2})  # fmt: skip
    cache.update("p", "m", [ChatGeneration(message=message)])
    assert cache.lookup("p", "m") == [ChatGeneration(message=message)]
    assert cache.lookup("pm", "") is None
    assert list(store.yield_keys(prefix="a*")) == ["a*"]
    assert list(store.yield_keys()) == ["a*", "ab"]
    cache.clear()
    store.mdelete(["a*", "ab", "never"])
    assert memory.list_keys() == ["mine"]


def test_a_byte_store_takes_bytes(place_url: str, namespace: str) -> None:
    store = BotWireByteStore(namespace, url=place_url)
    with pytest.raises(ConfigurationError, match="takes bytes"):
        store.mset([("a", b"1"), ("b", "text")])  # type: ignore[list-item]
    wrong: Any = 5
    for call, says in (
        (lambda: store.mget([wrong]), "a key must be a string, not int: 5"),
        (lambda: store.mget("ab"), "keys must be a list of strings, not a single string"),
        (lambda: store.mset([("a", b"1"), (wrong, b"2")]), "a key must be a string, not int: 5"),
        (lambda: store.mset({"a": b"1"}), "must be a pair of a key and bytes, not 'a'"),  # type: ignore[arg-type]
        (lambda: store.mdelete([wrong]), "a key must be a string, not int: 5"),
        (lambda: list(store.yield_keys(prefix=wrong)), "a prefix must be a string"),
        (lambda: BotWireByteStore(namespace, prefix=wrong), "a prefix must be a string"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()
    assert list(store.yield_keys()) == []


def test_a_cache_names_a_wrong_argument(place_url: str, namespace: str) -> None:
    cache, wrong = BotWireCache(namespace, url=place_url), cast("Any", 5)
    for call, says in (
        (lambda: cache.lookup(wrong, "model"), "prompt must be a string, not int: 5"),
        (lambda: cache.lookup("hi", wrong), "llm_string must be a string, not int: 5"),
        (lambda: cache.update("hi", "model", wrong), "return_val must be a list of generations"),
        (lambda: cache.update("hi", "model", ["text"]), r"return_val\[0\] must be a Generation"),  # type: ignore[list-item]
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()


async def test_many_embeddings_are_more_than_a_server_takes_at_once(
    server_url: str, namespace: str
) -> None:
    store = BotWireByteStore(namespace, url=server_url)
    values = {str(number): bytes([number]) * 1_000_000 for number in range(20)}
    store.mset([*values.items()][:15])
    await store.amset([*values.items()])
    assert store.mget([*values]) == [*values.values()]


async def test_many_keys_are_deleted_in_several_requests(server_url: str, namespace: str) -> None:
    store = BotWireByteStore(namespace, url=server_url)
    cache = BotWireCache(namespace, url=server_url)
    memory = cache.connection.memory
    names = [f"{number:05}" for number in range(10_001)]  # one more than a server takes at once
    memory.set("other", 1)
    for asynchronous in (False, True):
        store.mset([(name, b"") for name in names])
        for start in range(0, len(names), 5_000):
            memory.set_many({cache.prefix + name: [] for name in names[start : start + 5_000]})
        if asynchronous:
            await store.amdelete(names)
            await cache.aclear()
        else:
            store.mdelete(names)
            cache.clear()
        assert memory.list_keys() == ["other"]


@pytest.mark.parametrize("cls", [BotWireByteStore, BotWireCache])
def test_a_ttl_that_cannot_be_is_refused(place_url: str, namespace: str, cls: type) -> None:
    for ttl in (0, "60"):
        with pytest.raises(ConfigurationError, match="ttl"):
            cls(namespace, url=place_url, ttl=ttl)


def test_an_answer_that_cannot_be_read_is_asked_for_again(
    place_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BotWireCache(namespace, url=place_url)
    cache.update("p", "m", [ChatGeneration(message=AIMessage("hi"))])
    (key,) = cache.connection.memory.list_keys()
    cache.connection.memory.set(key, [{"message": {"type": "from the future"}, "info": None}])
    assert cache.lookup("p", "m") is None
    assert "cannot be read" in caplog.text


class OddModel(GenericFakeChatModel):
    """A model that says more about its answer than JSON can hold."""

    def _generate(self, *args: Any, **options: Any) -> ChatResult:
        result = super()._generate(*args, **options)
        result.generations[0].generation_info = {"finish_reason": Finish.STOP}
        return result


class Finish(enum.Enum):
    STOP = 1


async def test_an_answer_that_cannot_be_stored_is_returned_all_the_same(
    place_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BotWireCache(namespace, url=place_url)
    answers = iter([AIMessage("first"), AIMessage("second")])
    model = OddModel(messages=answers, cache=cache)
    assert model.invoke("hi").content == "first"
    assert (await model.ainvoke("hi")).content == "second"
    assert caplog.text.count("finish_reason") == 2
    assert cache.connection.memory.list_keys() == []
