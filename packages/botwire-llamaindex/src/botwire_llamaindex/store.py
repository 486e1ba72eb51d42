"""LlamaIndex's chat store, with one history per key."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store import BaseChatStore
from llama_index.core.storage.chat_store.loading import RECOGNIZED_CHAT_STORES

from botwire import AsyncHistory, History, Item
from botwire_llamaindex.convert import from_items, to_items
from botwire_llamaindex.place import PlacedStore, keys_of
from botwire_llamaindex.turns import Writing, add_messages, async_add_messages


class BotWireChatStore(PlacedStore, BaseChatStore):
    """The conversations of a namespace, stored on BotWire.

    Each key is a history of that name. An append takes one request, however long the history is,
    and a batch of messages is appended in one step. A dump holds the place, but no message or key.

    Args:
        namespace: Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds that a conversation lives after the last message was written, by the store's
            clock; None leaves its expiry as it is.
        **connection: See `ConnectionOptions`. A dump never contains the API key.

    Raises:
        ConfigurationError: An argument is not valid.
    """

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
        writing = Writing(self._connection, key, messages)
        writing.wrote(await self._async_history(key).replace(writing.items))

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Returns all messages; an empty list for an unknown key."""
        return _messages(self._history(key).read())

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """Like `get_messages`."""
        return _messages(await self._async_history(key).read())

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


# `ChatMemoryBuffer.from_dict` looks stores up here by name.
RECOGNIZED_CHAT_STORES[BotWireChatStore.class_name()] = BotWireChatStore  # type: ignore[assignment]


def _messages(items: list[Item]) -> list[ChatMessage]:
    return [message for _, message in from_items(items)]


def _from_position(items: list[Item], idx: int) -> list[Item]:
    """Returns the items from a message's position on, counting as `list.insert` does."""
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
    return messages[idx] if -len(messages) <= idx < len(messages) else None


def _taken(item: Item, was_there: bool) -> ChatMessage | None:
    messages = _messages([item])
    return messages[0] if was_there and messages else None
