"""A conversation expires a while after its last message, by the store's clock."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer, FactExtractionMemoryBlock, Memory
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.chat_store.base_db import MessageStatus

import botwire
from botwire import ConfigurationError
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatMemoryBuffer,
    BotWireChatStore,
    BotWireMemory,
    BotWireMemoryBlock,
    PersistentChatMemory,
    import_chat_store,
)
from botwire_llamaindex.facts import facts_key
from tests.clients import later
from tests.zygote import Zygote

pytestmark = pytest.mark.anyio

WRITER = """
import sys
from llama_index.core.base.llms.types import ChatMessage
from botwire_llamaindex import BotWireChatStore
url, namespace = sys.argv[1:]
store = BotWireChatStore(namespace, url=url, ttl=60)
store.add_message("k", ChatMessage(role="user", content="before"))
"""


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


async def test_a_conversation_expires_for_every_process(
    zygote: Zygote, tmp_path: Path, namespace: str
) -> None:
    path = tmp_path / "memory.db"
    with zygote.start(WRITER, f"sqlite:///{path}", namespace) as process:
        assert process.wait() == 0, process.stderr
    with later(path, namespace, 50) as client:
        store = BotWireChatStore(client=client, ttl=60)
        assert [one.content for one in store.get_messages("k")] == ["before"]
        await store.async_add_message("k", user("again"))  # renews the expiry
        BotWireChatStore(client=client).add_message("k", user("untimed"))  # leaves it
        assert store.delete_last_message("k") == user("untimed")
    with later(path, namespace, 100) as client:
        buffer = BotWireChatMemoryBuffer(client=client, chat_store_key="k")
        assert len(buffer.get()) == 2
    with later(path, namespace, 120) as client:
        blocking, awaited = BotWireChatStore(client=client), BotWireAsyncChatStore(client=client)
        assert blocking.get_keys() == await awaited.get_keys() == []
        assert blocking.get_messages("k") == await awaited.get_messages("k", status=None) == []
        assert blocking.delete_messages("k") is None
        buffer = BotWireChatMemoryBuffer(client=client, chat_store_key="k")
        assert buffer.get() == []
        buffer.put(user("after"))  # starts it again
        assert [one.content for one in await buffer.aget()] == ["after"]
    with later(path, namespace, 1_000_000) as client:
        assert len(BotWireChatStore(client=client).get_messages("k")) == 1


async def test_a_window_that_was_read_expires_too(tmp_path: Path, namespace: str) -> None:
    with later(tmp_path / "memory.db", namespace, 0) as client:
        memory = BotWireChatMemoryBuffer(client=client, ttl=60)
        memory.put_messages([user("1"), user("2")])
        assert len(memory.get()) == 2
        with later(tmp_path / "memory.db", namespace, 60) as other:
            BotWireChatStore(client=other).add_messages("chat_history", [user("3"), user("4")])
        assert [one.content for one in memory.get()] == ["3", "4"]


async def test_every_write_renews_it(place_url: str, namespace: str) -> None:
    client = botwire.Memory(namespace, url=place_url)
    chats = BotWireChatStore(client=client, ttl=60)
    awaited = BotWireAsyncChatStore(client=client, ttl=60)
    writes: list[Callable[[str], Any]] = [
        lambda key: chats.add_message(key, user("a")),
        lambda key: chats.add_message(key, user("a"), idx=0),
        lambda key: chats.add_messages(key, [user("a")]),
        lambda key: chats.set_messages(key, [user("a")]),
        lambda key: chats.async_add_message(key, user("a")),
        lambda key: chats.async_add_message(key, user("a"), idx=0),
        lambda key: chats.async_add_messages(key, [user("a")]),
        lambda key: chats.aset_messages(key, [user("a")]),
        lambda key: awaited.add_message(key, user("a")),
        lambda key: awaited.add_messages(key, [user("a")]),
        lambda key: awaited.set_messages(key, [user("a")]),
        lambda key: awaited.set_messages(key, [user("a")], status=MessageStatus.ARCHIVED),
    ]
    for i, write in enumerate(writes):
        client.history(f"{i}").append("first")  # one without an expiry gets one
        done = write(f"{i}")
        if inspect.isawaitable(done):
            await done
        _lives(client, f"{i}", 60)


def _lives(client: botwire.Memory, name: str, seconds: float) -> None:
    info = client.history(name).info()
    assert info.expires_at is not None
    assert info.updated_at is not None
    assert (info.expires_at - info.updated_at).total_seconds() == seconds


@pytest.mark.parametrize("make", [BotWireChatMemoryBuffer, PersistentChatMemory, BotWireMemory])
async def test_a_memory_takes_a_ttl(place_url: str, namespace: str, make: Any) -> None:
    client = botwire.Memory(namespace, url=place_url)
    memory = make(client=client, ttl=60)
    memory.put(user("a"))
    _lives(client, "chat_history", 60)
    memory = make.from_defaults([user("b")] if make is not BotWireMemory else "s",
                                client=client, ttl=90)  # fmt: skip
    await memory.aput(user("c"))
    _lives(client, "s" if make is BotWireMemory else "chat_history", 90)
    memory.set([user("d")])
    _lives(client, "s" if make is BotWireMemory else "chat_history", 90)


async def test_stock_memories_take_a_store_with_a_ttl(place_url: str, namespace: str) -> None:
    client = botwire.Memory(namespace, url=place_url)
    store = BotWireChatStore(client=client, ttl=60)
    ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="a").put(user("a"))
    _lives(client, "a", 60)
    stock = Memory.from_defaults("b", chat_store=BotWireAsyncChatStore(client=client, ttl=60))
    await stock.aput(user("a"))
    _lives(client, "b", 60)


async def test_a_dump_keeps_the_ttl(place_url: str, namespace: str) -> None:
    place: dict[str, Any] = {"namespace": namespace, "url": place_url}
    for cls in (BotWireChatStore, BotWireAsyncChatStore):
        store = cls(**place, ttl=60)
        for again in (
            cls.from_dict(json.loads(store.to_json())),
            cls.model_validate(store.model_dump()),
            copy.deepcopy(store),
            pickle.loads(pickle.dumps(store)),
            cls.from_uri(place_url, namespace, ttl=60),
        ):
            assert again.ttl == 60
        assert cls.from_dict(cls(**place).to_dict()).ttl is None
    buffer = BotWireChatMemoryBuffer(**place, ttl=60)
    assert BotWireChatMemoryBuffer.from_dict(buffer.to_dict()).chat_store.ttl == 60
    memory = BotWireMemory(**place, ttl=60)
    assert BotWireMemory.from_dict(json.loads(json.dumps(memory.to_dict()))).sql_store.ttl == 60


def test_a_ttl_that_cannot_be_is_refused(place_url: str, namespace: str) -> None:
    for ttl in (0, -1, "60", float("nan")):
        with pytest.raises(ConfigurationError, match="ttl"):
            BotWireChatStore(namespace, url=place_url, ttl=ttl)  # type: ignore[arg-type]
    store = BotWireChatStore(namespace, url=place_url)
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireChatMemoryBuffer(chat_store=store, ttl=60)


def test_imported_conversations_expire(place_url: str, namespace: str) -> None:
    client = botwire.Memory(namespace, url=place_url)
    source = SimpleChatStore()
    source.add_message("k", user("a"))
    import_chat_store(source, BotWireChatStore(client=client, ttl=60))
    _lives(client, "k", 60)


async def test_a_conversation_without_messages_is_no_key(place_url: str, namespace: str) -> None:
    client = botwire.Memory(namespace, url=place_url)
    blocking, awaited = BotWireChatStore(client=client), BotWireAsyncChatStore(client=client)
    client.history("titled").set_metadata({"title": "Untitled"})
    assert blocking.get_keys() == await blocking.aget_keys() == await awaited.get_keys() == []
    blocking.add_message("titled", user("a"))
    assert await awaited.archive_oldest_messages("titled", 1) == [user("a")]
    assert blocking.get_keys() == await awaited.get_keys() == ["titled"]
    client.history("also").set_metadata({"title": "Untitled"})
    assert blocking.delete_all() == 1
    assert client.list_histories() == []


async def test_what_is_recalled_lives_as_long_as_its_conversation(
    tmp_path: Path, namespace: str
) -> None:
    path = tmp_path / "memory.db"
    recall = BotWireMemoryBlock(per="user")

    def memory(client: botwire.Memory, session: str = "s") -> BotWireMemory:
        return BotWireMemory.from_defaults(
            session, client=client, ttl=60, memory_blocks=[recall], token_limit=400
        )

    def recalled(client: botwire.Memory) -> int:
        return client.records(recall.collection).count()

    with later(path, namespace, 0) as client:
        for session in ("s", "other"):
            for number in range(20):
                await memory(client, session).aput(user(f"tea number {number} " + "word " * 40))
        before = recalled(client)
        assert before > 20
    with later(path, namespace, 50) as client:
        memory(client).put(user("short"))  # the block gets nothing, but everything lives on
    with later(path, namespace, 90) as client:
        assert 0 < recalled(client) < before  # the other conversation has expired
        assert "tea number 1 " in str(await memory(client).aget(input="tea number 1"))
    with later(path, namespace, 120) as client:
        assert recalled(client) == 0
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireMemoryBlock(ttl=0)
    with later(path, namespace, 200) as client:
        lone = BotWireMemoryBlock(client=client, ttl=5)
        await lone.aput([user("alone")], session_id="x")
        assert recalled(client) == 1
    with later(path, namespace, 206) as client:
        assert recalled(client) == 0


async def test_facts_live_as_long_as_their_conversation(tmp_path: Path, namespace: str) -> None:
    path = tmp_path / "memory.db"

    def memory(client: botwire.Memory) -> BotWireMemory:
        block = FactExtractionMemoryBlock(name="facts", llm=MockLLM())
        return BotWireMemory.from_defaults("s", client=client, ttl=60, memory_blocks=[block])

    with later(path, namespace, 0) as client:
        client.set(facts_key("s"), {"facts": ["Ada likes tea"]})
        await memory(client).aput(user("one"))
    with later(path, namespace, 50) as client:
        await memory(client).aput(user("two"))
    with later(path, namespace, 100) as client:
        assert "Ada likes tea" in str(await memory(client).aget())
    with later(path, namespace, 120) as client:
        again = memory(client)
        await again.aput(user("three"))
        assert [one.content for one in await again.aget()] == ["three"]
        assert client.get(facts_key("s")) is None
