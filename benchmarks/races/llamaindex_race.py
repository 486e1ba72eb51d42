"""LlamaIndex: messages of one conversation, through its chat stores and ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from llama_index.core.storage.kvstore import SimpleKVStore

from benchmarks.races.frame import Contender, Place
from botwire_llamaindex import BotWireAsyncChatStore, BotWireChatStore, BotWireKVStore

CHAT = "chat"


class _ChatStore(Contender):
    """Adds messages through a blocking chat store."""

    framework = "LlamaIndex"
    what = "a message"
    store: Any

    def write(self, token: str) -> None:
        self.store.add_message(CHAT, ChatMessage(role="user", content=token))

    def tokens(self) -> Iterable[str]:
        return [str(message.content) for message in self.store.get_messages(CHAT)]


class OurChatStore(_ChatStore):
    """Ours, on a file."""

    title = "BotWireChatStore"
    distribution = "botwire-llamaindex"
    ours = True

    def __init__(self, place: Place) -> None:
        self.store = BotWireChatStore("race", url=f"sqlite:///{place.folder / 'ours.db'}")


class StockChatStore(_ChatStore):
    """LlamaIndex's default, saved to a file after each message, as its documentation shows."""

    title = "SimpleChatStore, persisted"
    distribution = "llama-index-core"

    def __init__(self, place: Place) -> None:
        self.path = str(place.folder / "stock.json")
        self.store = SimpleChatStore.from_persist_path(self.path)

    def write(self, token: str) -> None:
        super().write(token)
        self.store.persist(self.path)


class _AsyncChatStore(Contender):
    """Adds messages through an asynchronous chat store."""

    framework = "LlamaIndex"
    what = "a message"
    store: Any

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def prepare(self) -> None:
        self.tokens()  # creates the table

    def write(self, token: str) -> None:
        message = ChatMessage(role="user", content=token)
        self.runner.run(self.store.add_message(CHAT, message))

    def tokens(self) -> Iterable[str]:
        return [str(each.content) for each in self.runner.run(self.store.get_messages(CHAT))]


class OurAsyncChatStore(_AsyncChatStore):
    """Ours, on a file."""

    title = "BotWireAsyncChatStore"
    distribution = "botwire-llamaindex"
    ours = True

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.store = BotWireAsyncChatStore("race", url=f"sqlite:///{place.folder / 'ours.db'}")


class StockAsyncChatStore(_AsyncChatStore):
    """LlamaIndex's own, on a file."""

    title = "SQLAlchemyChatStore"
    distribution = "llama-index-core"

    def __init__(self, place: Place) -> None:
        super().__init__()
        uri = f"sqlite+aiosqlite:///{place.folder / 'stock.db'}"
        self.store = SQLAlchemyChatStore("chats", async_database_uri=uri)


class _KVStore(Contender):
    """Puts documents, each under a key of its own."""

    framework = "LlamaIndex"
    what = "a document"
    store: Any

    def write(self, token: str) -> None:
        self.store.put(token, {"text": token})

    def tokens(self) -> Iterable[str]:
        return [*self.store.get_all()]


class OurKVStore(_KVStore):
    """Ours, on a file."""

    title = "BotWireKVStore"
    distribution = "botwire-llamaindex"
    ours = True

    def __init__(self, place: Place) -> None:
        self.store = BotWireKVStore("race", url=f"sqlite:///{place.folder / 'ours.db'}")


class StockKVStore(_KVStore):
    """The one under LlamaIndex's document and index stores, saved after each document."""

    title = "SimpleKVStore, persisted"
    distribution = "llama-index-core"

    def __init__(self, place: Place) -> None:
        self.path = place.folder / "stock.json"
        found = self.path.exists()
        self.store = SimpleKVStore.from_persist_path(str(self.path)) if found else SimpleKVStore()

    def write(self, token: str) -> None:
        super().write(token)
        self.store.persist(str(self.path))


CONTENDERS = (
    *(OurChatStore, StockChatStore),
    *(OurAsyncChatStore, StockAsyncChatStore),
    *(OurKVStore, StockKVStore),
)
