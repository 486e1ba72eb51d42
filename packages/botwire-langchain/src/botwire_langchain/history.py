"""A conversation as LangChain's chat message history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Unpack

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from botwire import AsyncHistory, History, HistoryInfo, Item
from botwire.client.encoding import encode_each, encode_items
from botwire.connection import Connected, ConnectionOptions
from botwire.exact import Json
from botwire.names import check_history
from botwire.off_loop import off_loop
from botwire.operations import MAX_PAGE, check_count, read_ttl
from botwire_langchain.convert import from_items, item_ids, to_items
from botwire_langchain.pairing import pair


class BotWireChatMessageHistory(
    Connected, BaseChatMessageHistory, framework="langchain", shows="session_id"
):
    """The messages of one session, stored on BotWire.

    A batch of messages is appended in one step and stays contiguous, however many processes write
    to the session. Reading and writing take one request each.

    Pass it to `RunnableWithMessageHistory` with ``history_messages_key``. Without that, the
    runnable reads the history a second time, and drops the user's message if another process wrote
    in between (`langchain_core.runnables.history`, ``_exit_history``).

    Args:
        session_id: The conversation; also the name of the history.
        namespace: The namespace of the conversation. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        history_size: How many of the last messages to read; None: all. All are stored.
        ttl: Seconds after its last message when the session expires, by the store's clock; None
            leaves its expiry as it is. An expired session is empty for every reader, and the store
            deletes its messages. Its next message starts it afresh.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        session_id: str,
        *,
        namespace: str | None = None,
        history_size: int | None = None,
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if history_size is not None:
            check_count(history_size, "history_size", least=1)
        self.session_id = check_history(session_id)
        self.history_size = history_size
        self.ttl = read_ttl(ttl)
        super().__init__(namespace, **connection)

    @property
    def _history(self) -> History:
        return self.connection.memory.history(self.session_id, ttl=self.ttl)

    @property
    def _async_history(self) -> AsyncHistory:
        return self.connection.async_memory.history(self.session_id, ttl=self.ttl)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages in order, as `get_messages` returns them."""
        return self.get_messages()

    def get_messages(
        self, *, limit: int | None = None, before: str | None = None
    ) -> list[BaseMessage]:
        """Returns messages in order.

        Without arguments, it returns what a model may be shown: a tool call whose answer was never
        stored is followed by a message that says so, and a window never begins with an answer
        without its call. With arguments, it returns what is stored.

        Args:
            limit: How many of the last messages to read. Unset: `history_size`.
            before: Only messages before the one with this id, for paging backwards.
        """
        window = self._window(limit, before)
        if window.is_all:
            return pair(_messages(self._history), is_window=False)
        for item in self._history.newest_first(page_size=window.page_size):
            if window.add(item):
                break
        found = _messages(window.items())
        return pair(found, is_window=True) if limit is None and before is None else found

    async def aget_messages(
        self, *, limit: int | None = None, before: str | None = None
    ) -> list[BaseMessage]:
        """Like `get_messages`."""
        window = self._window(limit, before)
        if window.is_all:
            items = await self._async_history.read()
            return pair(await off_loop(_messages, items), is_window=False)
        async for item in self._async_history.newest_first(page_size=window.page_size):
            if window.add(item):
                break
        found = await off_loop(_messages, window.items())
        return pair(found, is_window=True) if limit is None and before is None else found

    def add_message(self, message: BaseMessage) -> None:
        """Appends a message."""
        self.add_messages([message])

    async def aadd_message(self, message: BaseMessage) -> None:
        """Like `add_message`."""
        await self.aadd_messages([message])

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Appends messages atomically: all or none, with no other writer's in between.

        Safe to retry: a message that has an id and is already stored, unchanged, is not stored
        again.

        Raises:
            NotJSONError: A message could not be read back; nothing is written.
        """
        if items := to_items(messages):
            self._history.extend(items, ids=item_ids(items))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Like `add_messages`."""
        items, ids = await off_loop(_encoded, messages)
        if items:
            await self._async_history.extend(items, ids=ids)

    def delete_messages(self, ids: Iterable[str]) -> int:
        """Deletes the messages with these ids and returns how many there were."""
        found = _seqs(self._history.read(), ids)
        return self._history.delete_many(found)

    async def adelete_messages(self, ids: Iterable[str]) -> int:
        """Like `delete_messages`."""
        found = _seqs(await self._async_history.read(), ids)
        return await self._async_history.delete_many(found)

    def clear(self) -> None:
        """Deletes the messages of this session."""
        self._history.clear()

    async def aclear(self) -> None:
        """Like `clear`."""
        await self._async_history.clear()

    def list_sessions(self, prefix: str = "") -> list[str]:
        """Returns the sessions of the namespace that hold messages and have not expired."""
        return _with_messages(self.connection.memory.list_histories(prefix))

    async def alist_sessions(self, prefix: str = "") -> list[str]:
        """Like `list_sessions`."""
        return _with_messages(await self.connection.async_memory.list_histories(prefix))

    def _window(self, limit: int | None, before: str | None) -> _Window:
        if limit is not None:
            check_count(limit, "limit")
        return _Window(self.history_size if limit is None else limit, before)


BotWireChatHistory = BotWireChatMessageHistory
"""The name that BotWire 0.2 used."""


class _Window:
    """Gathers the last messages from items that come newest first."""

    def __init__(self, limit: int | None, before: str | None) -> None:
        self._limit = limit
        self._before = before
        self._items: list[Item] = []

    @property
    def is_all(self) -> bool:
        """Whether all messages are wanted."""
        return self._limit is None and self._before is None

    @property
    def page_size(self) -> int:
        """How many items to read at a time."""
        return 200 if self._limit is None or self._before else max(1, min(self._limit, MAX_PAGE))

    def add(self, item: Item) -> bool:
        """Adds an item and returns whether that is enough."""
        if self._limit != 0:
            if self._before is None:
                self._items.append(item)
            elif _id(item) == self._before:
                self._before = None
        return self._limit is not None and len(self._items) >= self._limit

    def items(self) -> list[Item]:
        """Returns the items, oldest first."""
        return self._items[::-1]


def _messages(items: Iterable[Item]) -> list[BaseMessage]:
    return [message for _, message in from_items(items)]


def _encoded(messages: Sequence[BaseMessage]) -> tuple[tuple[Json, ...], list[str | None]]:
    """Returns the items of messages as JSON text, and their ids."""
    items = to_items(messages)
    return encode_items(items), item_ids(items)


def _with_messages(infos: Iterable[HistoryInfo]) -> list[str]:
    return [info.name for info in infos if info.count]


def _seqs(items: Iterable[Item], ids: Iterable[str]) -> list[int]:
    wanted = set(encode_each(ids, str, "ids"))
    return [item.seq for item in items if _id(item) in wanted]


def _id(item: Item) -> str | None:
    return item.value.get("id") if isinstance(item.value, dict) else None
