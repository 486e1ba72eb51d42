"""LlamaIndex's chat store, with one history per key."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Self

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store import BaseChatStore, SimpleChatStore
from llama_index.core.storage.chat_store.loading import RECOGNIZED_CHAT_STORES
from pydantic import ValidationError

from botwire import AsyncHistory, ConfigurationError, ConflictError, History, Item
from botwire.arguments import check_type
from botwire.off_loop import off_loop
from botwire.splitting import in_batches, size_of
from botwire_llamaindex.convert import dumped, from_items, to_items
from botwire_llamaindex.files import read_file, write_file
from botwire_llamaindex.place import PlacedStore, keys_of
from botwire_llamaindex.turns import Writing, add_messages, async_add_messages

_FILE = "chat_store.json"  # LlamaIndex's default
_BATCH = 200  # messages per request


class BotWireChatStore(PlacedStore, BaseChatStore):
    """The conversations of a namespace, stored on BotWire.

    Each key is a history of that name. An append takes one request, however long the history is,
    and a batch of messages is appended in one step. A dump holds the place, but no message or key.

    Args:
        namespace: The namespace of the conversations. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds that a conversation lives after the last message was written, by the store's
            clock; None leaves its expiry as it is.
        **connection: See `ConnectionOptions`. A dump never contains the API key.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    # Type checkers would derive the arguments of a pydantic class from its fields.
    __init__ = PlacedStore.__init__

    @classmethod
    def class_name(cls) -> str:
        """Returns the name under which LlamaIndex stores and finds this class."""
        return "BotWireChatStore"

    def _history(self, key: str) -> History:
        return self._connection.memory.history(key, ttl=self.ttl)

    def _async_history(self, key: str) -> AsyncHistory:
        return self._connection.async_memory.history(key, ttl=self.ttl)

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Replaces all messages in one step."""
        writing = Writing(self._connection, key, messages)
        writing.wrote(self._history(key).replace(writing.items))

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Like `set_messages`."""
        writing = await Writing.of(self._connection, key, messages)
        writing.wrote(await self._async_history(key).replace(writing.items))

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Returns all messages; an empty list for an unknown key."""
        return _messages(self._history(key))  # frees what it has read as it goes on

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """Like `get_messages`."""
        return await off_loop(_messages, await self._async_history(key).read())

    def add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        """Adds a message at the end, or before the one at position `idx`.

        Raises:
            ConflictError: `idx` is given, and another writer has added a message meanwhile.
        """
        if idx is None:
            return self.add_messages(key, [message])
        last = self._history(key).info().last_seq
        later = _from_position(self._history(key).read(), idx)
        with self._connection.memory.transaction() as transaction:
            history = transaction.history(key, ttl=self.ttl)
            history.delete_many(item.seq for item in later)
            values, ids = _again(message, later)
            history.extend(values, ids=ids, if_last=last)
        return None

    async def async_add_message(
        self, key: str, message: ChatMessage, idx: int | None = None
    ) -> None:
        """Like `add_message`."""
        if idx is None:
            return await self.async_add_messages(key, [message])
        last = (await self._async_history(key).info()).last_seq
        later = _from_position(await self._async_history(key).read(), idx)
        async with self._connection.async_memory.transaction() as transaction:
            history = transaction.history(key, ttl=self.ttl)
            history.delete_many(item.seq for item in later)
            values, ids = _again(message, later)
            history.extend(values, ids=ids, if_last=last)
        return None

    def add_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Appends messages atomically: all or none, with no other writer's in between.

        Raises:
            ConflictError: The messages are an answer, and another request has added a question
                since theirs was added.
        """
        add_messages(self._connection, key, messages, ttl=self.ttl)

    async def async_add_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Like `add_messages`."""
        await async_add_messages(self._connection, key, messages, ttl=self.ttl)

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Deletes all messages and returns them, or None if there were none."""
        messages = self.get_messages(key)
        return messages if self._history(key).clear() else None

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """Like `delete_messages`."""
        messages = await self.aget_messages(key)
        count = await self._async_history(key).clear()
        return messages if count else None

    def delete_all(self) -> int:
        """Deletes every conversation of this namespace, archived messages too.

        Returns:
            Number of conversations deleted.
        """
        infos = self._connection.memory.list_histories()
        return sum(self._history(info.name).clear() > 0 for info in infos)

    async def adelete_all(self) -> int:
        """Like `delete_all`."""
        infos = await self._connection.async_memory.list_histories()
        return sum([await self._async_history(info.name).clear() > 0 for info in infos])

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Deletes the message at a position, from the end if negative, and returns it.

        Returns:
            The message; None if there is no such position.
        """
        found = _at(self._history(key).read(), idx)
        if found is None or not self._history(key).delete(found[0]):
            return None
        return found[1]

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Like `delete_message`."""
        history = self._async_history(key)
        found = _at(await history.read(), idx)
        if found is None or not await history.delete(found[0]):
            return None
        return found[1]

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Deletes the last message and returns it, or None if there was none."""
        history = self._history(key)
        for item in history.newest_first():
            return _taken(item, history.delete(item.seq))
        return None

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """Like `delete_last_message`."""
        history = self._async_history(key)
        async for item in history.newest_first():
            return _taken(item, await history.delete(item.seq))
        return None

    def get_keys(self) -> list[str]:
        """Returns the keys of this namespace that hold messages."""
        return keys_of(self._connection.memory.list_histories())

    async def aget_keys(self) -> list[str]:
        """Like `get_keys`."""
        return keys_of(await self._connection.async_memory.list_histories())

    def persist(self, persist_path: str = _FILE, fs: Any = None) -> None:
        """Writes a copy of all conversations to a file that `SimpleChatStore` reads.

        The store itself is persistent and needs no such call.

        Args:
            persist_path: The file; readable by its owner only if it is new and local.
            fs: An fsspec file system. Defaults to the local one.

        Raises:
            NotJSONError: JSON cannot hold a message; the file was not touched.
        """
        store = {
            key: [dumped(message, key) for message in self.get_messages(key)]
            for key in self.get_keys()
        }
        content = {"store": store, "class_name": SimpleChatStore.class_name()}
        write_file(persist_path, content, fs)

    @classmethod
    def from_persist_path(
        cls,
        persist_path: str = _FILE,
        namespace: str | None = None,
        fs: Any = None,
        **arguments: Any,
    ) -> Self:
        """Returns a store that holds, besides its own, the conversations of a file.

        Adds the messages that a conversation lacks at its end, so a file can be loaded again.

        Args:
            persist_path: A file that `persist` has written, also of `SimpleChatStore`; without such
                a file, nothing is added.
            namespace: The namespace.
            fs: An fsspec file system. Defaults to the local one.
            **arguments: The other arguments of the class.

        Raises:
            ConflictError: A conversation in the store continues differently. Earlier ones of the
                file were added.
            ConfigurationError: An argument is not valid.
        """
        store = cls.from_params(namespace, **arguments)
        for key, messages in _read(persist_path, fs).items():
            _add_missing(store, key, messages)
        return store


# `ChatMemoryBuffer.from_dict` looks stores up here by name.
RECOGNIZED_CHAT_STORES[BotWireChatStore.class_name()] = BotWireChatStore


def _read(path: str, fs: Any) -> dict[str, list[ChatMessage]]:
    """Returns the conversations of a file, none if it does not exist."""
    try:
        content = read_file(path, fs)
    except FileNotFoundError:
        return {}
    if isinstance(content, str):  # older releases of LlamaIndex encode the JSON twice
        content = json.loads(content)
    try:
        return SimpleChatStore.model_validate(content).store
    except ValidationError as error:
        raise ConfigurationError(
            f"{path} does not hold conversations as SimpleChatStore writes them: {error}"
        ) from error


def _add_missing(store: BotWireChatStore, key: str, messages: list[ChatMessage]) -> None:
    """Adds the messages of a file that the store's conversation lacks."""
    history = store.connection.memory.history(key, ttl=store.ttl)
    last = history.info().last_seq
    there = [dumped(message, key) for message in store.get_messages(key)]
    given = [dumped(message, key) for message in messages]
    shorter = min(len(there), len(given))
    if there[:shorter] != given[:shorter]:
        raise ConflictError(
            f"conversation {key!r:.80} has other messages in the store than in the file: open "
            "the store without loading the file, or load it into an empty namespace"
        )
    for batch in in_batches(to_items(messages[shorter:]), _BATCH, size_of):
        last = history.extend(batch, if_last=last)[-1]


def _messages(items: Iterable[Item]) -> list[ChatMessage]:
    return [message for _, message in from_items(items)]


def _from_position(items: list[Item], idx: int) -> list[Item]:
    """Returns the items from a message's position on, counting as `list.insert` does."""
    check_type(idx, int, "idx")
    readable = [i for i, item in enumerate(items) if from_items([item])]
    position = slice(idx, None).indices(len(readable))[0]
    return items[readable[position] :] if position < len(readable) else []


def _again(
    message: ChatMessage, later: list[Item]
) -> tuple[list[dict[str, Any]], list[str | None]]:
    """Returns the values and ids of a message and of the items that come after it."""
    values = [*to_items([message]), *(item.value for item in later)]
    return values, [None, *(item.id for item in later)]


def _at(items: list[Item], idx: int) -> tuple[int, ChatMessage] | None:
    messages = from_items(items)
    check_type(idx, int, "idx")
    return messages[idx] if -len(messages) <= idx < len(messages) else None


def _taken(item: Item, was_there: bool) -> ChatMessage | None:
    messages = _messages([item])
    return messages[0] if was_there and messages else None
