"""A conversation as LangChain's chat message history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from botwire import AsyncHistory, AsyncMemory, ConfigurationError, History, Item, Memory
from botwire.connection import Connection
from botwire.names import check_history
from botwire_langchain.convert import from_items, to_items


class BotWireChatMessageHistory(BaseChatMessageHistory):
    """The messages of one session, kept on BotWire.

    A batch of messages is appended in one step and stays contiguous, however many processes write
    to the session. Reading and writing are each one request.

    Pass it to `RunnableWithMessageHistory` with ``history_messages_key``: without that, the
    runnable reads the history a second time and drops the user's message if another process wrote
    in between (`langchain_core.runnables.history`, ``_exit_history``).

    Args:
        session_id: Which conversation; the name of the history.
        namespace: Whose. Unset: the client's, else ``BOTWIRE_NAMESPACE``, else ``default``.
        client: A `Memory` or `AsyncMemory` to use.
        url: Where memory lives, as for `Memory`.
        api_key: For a server, as for `Memory`.
        history_size: Read only the last so many messages; None reads all.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        session_id: str,
        *,
        namespace: str | None = None,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        history_size: int | None = None,
    ) -> None:
        if history_size is not None and history_size < 1:
            raise ConfigurationError(f"history_size is at least 1, not {history_size}")
        self.session_id = check_history(session_id)
        self.history_size = history_size
        self.connection = Connection(namespace, client=client, url=url, api_key=api_key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r}, {self.connection!r})"

    @property
    def _history(self) -> History:
        return self.connection.memory.history(self.session_id)

    @property
    def _async_history(self) -> AsyncHistory:
        return self.connection.async_memory.history(self.session_id)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages in their order."""
        return self.get_messages()

    async def aget_messages(
        self, *, limit: int | None = None, before: str | None = None
    ) -> list[BaseMessage]:
        """As `get_messages`."""
        limit = limit or self.history_size
        if limit is None and before is None:
            return _messages(await self._async_history.read())
        window = _Window(limit, before)
        async for item in self._async_history.newest_first():
            if window.add(item):
                break
        return window.messages()

    def get_messages(
        self, *, limit: int | None = None, before: str | None = None
    ) -> list[BaseMessage]:
        """Returns messages in their order.

        Args:
            limit: Only the last so many; only these are read. Unset: `history_size`.
            before: Only messages before the one with this id, for paging backwards.
        """
        limit = limit or self.history_size
        if limit is None and before is None:
            return _messages(self._history.read())
        window = _Window(limit, before)
        for item in self._history.newest_first():
            if window.add(item):
                break
        return window.messages()

    def add_message(self, message: BaseMessage) -> None:
        """Appends a message."""
        self.add_messages([message])

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Appends messages: all or none, and nobody else's in between.

        Raises:
            NotJSONError: One holds what would not come back; nothing is written.
        """
        self._history.extend(to_items(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As `add_messages`."""
        await self._async_history.extend(to_items(messages))

    def delete_messages(self, ids: Iterable[str]) -> int:
        """Deletes the messages with these ids and returns how many there were."""
        found = _seqs(self._history.read(), ids)
        return self._history.delete_many(found)

    async def adelete_messages(self, ids: Iterable[str]) -> int:
        """As `delete_messages`."""
        found = _seqs(await self._async_history.read(), ids)
        return await self._async_history.delete_many(found)

    def clear(self) -> None:
        """Deletes the messages of this session."""
        self._history.clear()

    async def aclear(self) -> None:
        """As `clear`."""
        await self._async_history.clear()

    def list_sessions(self, prefix: str = "") -> list[str]:
        """Returns the sessions of the namespace that hold messages."""
        return [info.name for info in self.connection.memory.list_histories(prefix)]

    async def alist_sessions(self, prefix: str = "") -> list[str]:
        """As `list_sessions`."""
        return [info.name for info in await self.connection.async_memory.list_histories(prefix)]


BotWireChatHistory = BotWireChatMessageHistory
"""The name that BotWire 0.2 used."""


class _Window:
    """The last messages, gathered from items that come newest first."""

    def __init__(self, limit: int | None, before: str | None) -> None:
        self._limit = limit
        self._before = before
        self._items: list[Item] = []

    def add(self, item: Item) -> bool:
        """Takes an item and says whether there are enough."""
        if self._before is None:
            self._items.append(item)
        elif _id(item) == self._before:
            self._before = None
        return self._limit is not None and len(self._items) >= self._limit

    def messages(self) -> list[BaseMessage]:
        return _messages(reversed(self._items))


def _messages(items: Iterable[Item]) -> list[BaseMessage]:
    return [message for _, message in from_items(items)]


def _seqs(items: Iterable[Item], ids: Iterable[str]) -> list[int]:
    wanted = set(ids)
    return [item.seq for item in items if _id(item) in wanted]


def _id(item: Item) -> str | None:
    return item.value.get("id") if isinstance(item.value, dict) else None
