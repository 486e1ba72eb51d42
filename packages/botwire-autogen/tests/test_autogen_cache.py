"""A cached question is never asked again, not even by another process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from autogen_core import CacheStore, FunctionCall
from autogen_core.models import CreateResult, RequestUsage, UserMessage
from autogen_ext.models.cache import ChatCompletionCache
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire import ConfigurationError, NotJSONError
from botwire_autogen import BotWireCacheStore

QUESTION = [UserMessage(content="How warm is it?", source="user")]


def cached(place_url: str, namespace: str, *answers: Any) -> ChatCompletionCache:
    client = ReplayChatCompletionClient(list(answers))
    client.set_cached_bool_value(False)
    return ChatCompletionCache(client, BotWireCacheStore(namespace, url=place_url))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        "12 degrees",
        CreateResult(
            finish_reason="function_calls",
            content=[FunctionCall(id="1", name="look", arguments="{}")],
            usage=RequestUsage(1, 2),
            cached=False,
            thought="hm",
        ),
    ],
    ids=["text", "call"],
)
async def test_an_answer_is_kept(place_url: str, namespace: str, answer: Any) -> None:
    first = await cached(place_url, namespace, answer).create(QUESTION)
    assert not first.cached
    # This model has no answers: it would raise if asked.
    again = await cached(place_url, namespace).create(QUESTION)
    assert again == first.model_copy(update={"cached": True})
    with pytest.raises(ValueError, match="No more mock responses"):
        await cached(place_url, namespace + "-other").create(QUESTION)


@pytest.mark.anyio
async def test_a_stream_is_kept(place_url: str, namespace: str) -> None:
    first = [
        part async for part in cached(place_url, namespace, "12 degrees").create_stream(QUESTION)
    ]
    again = [part async for part in cached(place_url, namespace).create_stream(QUESTION)]
    assert again[:-1] == first[:-1]
    (last, then) = (first[-1], again[-1])
    assert isinstance(last, CreateResult)
    assert isinstance(then, CreateResult)
    assert (then.content, then.cached) == (last.content, True)


def test_values_come_back_and_none_is_a_value(place_url: str, namespace: str) -> None:
    store: BotWireCacheStore[Any] = BotWireCacheStore(namespace, url=place_url)
    for value in (None, 0, "", b"\xff", {"a": [1]}, ["x", 1.5]):
        store.set("k", value)
        assert store.get("k", "default") == value
    assert store.get("other", "default") == "default"
    assert store.get("other") is None
    with pytest.raises(NotJSONError):
        store.set("k", object())
    for ttl in (0, "60"):
        with pytest.raises(ConfigurationError, match="ttl"):
            BotWireCacheStore(namespace, url=place_url, ttl=ttl)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a prefix must be a string, not int: 5"):
        BotWireCacheStore(namespace, url=place_url, prefix=5)  # type: ignore[arg-type]
    for call in (store.get, lambda key: store.set(key, 1)):
        with pytest.raises(ConfigurationError, match="a key must be a string, not int: 5"):
            call(5)  # type: ignore[operator]


def test_a_component_comes_back_without_a_key(server_url: str, namespace: str) -> None:
    store: BotWireCacheStore[Any] = BotWireCacheStore(
        namespace, url=server_url, api_key="bw_secret", ttl=60
    )
    store.set("k", 1)
    dumped = store.dump_component().model_dump_json()
    assert "bw_secret" not in dumped + repr(store)
    again: CacheStore[Any] = CacheStore.load_component(json.loads(dumped))
    assert isinstance(again, BotWireCacheStore)
    assert again.get("k") == 1
    assert again.dump_component() == store.dump_component()
