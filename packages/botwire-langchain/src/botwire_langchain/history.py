"""A conversation as LangChain's chat message history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Unpack

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from botwire import AsyncHistory, ConflictError, History, Item
from botwire.clock import now, to_datetime
from botwire.connection import Connection, ConnectionOptions, takes_connection
from botwire.names import check_history
from botwire.operations import MAX_PAGE, check_count, check_ttl
from botwire_langchain.convert import from_items, item_ids, to_items
from botwire_langchain.pairing import pair


class BotWireChatMessageHistory(BaseChatMessageHistory):
    """The messages of one session, stored on BotWire.

    A batch of messages is appended in one step and stays contiguous, however many processes write
    to the session. Reading and writing take one request each.

    Pass it to `RunnableWithMessageHistory` with ``history_messages_key``. Without that, the
    runnable reads the history a second time, and drops the user's message if another process wrote
    in between (`langchain_core.runnables.history`, ``_exit_history``).

    Args:
        session_id: The conversation; also the name of the history.
        namespace: Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        history_size: How many of the last messages to read; None: all. All are stored.
        ttl: Seconds after its last message when a session expires; None: never. An expired session
            reads as empty, its next message starts it afresh, and `delete_expired` frees its space.
            The store's times are compared with this machine's clock.
        **connection: Where memory lives: `client`, or `url`, `api_key` and `timeout`; see
            `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    @takes_connection
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
        if ttl is not None:
            check_ttl(ttl)
        self.session_id = check_history(session_id)
        self.history_size = history_size
        self.ttl = ttl
        self.connection = Connection(namespace, **connection)

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
            return pair(_messages(self._alive(self._history.read())), is_window=False)
        for item in self._history.newest_first(page_size=window.page_size):
            if window.add(item):
                break
        found = window.messages()
        return pair(found, is_window=True) if limit is None and before is None else found

    async def aget_messages(
        self, *, limit: int | None = None, before: str | None = None
    ) -> list[BaseMessage]:
        """Like `get_messages`."""
        window = self._window(limit, before)
        if window.is_all:
            found = _messages(self._alive(await self._async_history.read()))
            return pair(found, is_window=False)
        async for item in self._async_history.newest_first(page_size=window.page_size):
            if window.add(item):
                break
        found = window.messages()
        return pair(found, is_window=True) if limit is None and before is None else found

    def add_message(self, message: BaseMessage) -> None:
        """Appends a message."""
        self.add_messages([message])

    async def aadd_message(self, message: BaseMessage) -> None:
        """Like `add_message`."""
        await self.aadd_messages([message])

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Appends messages, all or none, with nobody else's in between.

        Safe to retry: a message that has an id and is already stored, unchanged, is not stored
        again.

        Raises:
            NotJSONError: A message could not be read back; nothing is written.
        """
        items = to_items(messages)
        if not items:
            return
        ids, history = item_ids(items), self._history
        if self.ttl is not None:
            last = history.info().last_seq
            newest = next(iter(history.newest_first(page_size=1)), None)
            if newest is not None and self._is_over(newest.created_at):
                # Another process that has started it afresh added something after `last`.
                with suppress(ConflictError):
                    history.replace(items, ids=ids, if_last=last)
                    return
        history.extend(items, ids=ids)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Like `add_messages`."""
        items = to_items(messages)
        if not items:
            return
        ids, history = item_ids(items), self._async_history
        if self.ttl is not None:
            last = (await history.info()).last_seq
            newest = await anext(history.newest_first(page_size=1), None)
            if newest is not None and self._is_over(newest.created_at):
                with suppress(ConflictError):
                    await history.replace(items, ids=ids, if_last=last)
                    return
        await history.extend(items, ids=ids)

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
        infos = self.connection.memory.list_histories(prefix)
        return [info.name for info in infos if not self._is_over(info.updated_at)]

    async def alist_sessions(self, prefix: str = "") -> list[str]:
        """Like `list_sessions`."""
        infos = await self.connection.async_memory.list_histories(prefix)
        return [info.name for info in infos if not self._is_over(info.updated_at)]

    def delete_expired(self, prefix: str = "") -> int:
        """Deletes every expired session of the namespace and returns how many.

        Args:
            prefix: Only sessions whose ids begin with it.
        """
        count, memory = 0, self.connection.memory
        for info in memory.list_histories(prefix):
            if self._is_over(info.updated_at):
                # Unless someone has started it afresh meanwhile.
                with suppress(ConflictError):
                    memory.history(info.name).replace([], if_last=info.last_seq)
                    count += 1
        return count

    async def adelete_expired(self, prefix: str = "") -> int:
        """Like `delete_expired`."""
        count, memory = 0, self.connection.async_memory
        for info in await memory.list_histories(prefix):
            if self._is_over(info.updated_at):
                with suppress(ConflictError):
                    await memory.history(info.name).replace([], if_last=info.last_seq)
                    count += 1
        return count

    def _window(self, limit: int | None, before: str | None) -> _Window:
        if limit is not None:
            check_count(limit, "limit")
        return _Window(self.history_size if limit is None else limit, before, self._is_over)

    def _alive(self, items: Sequence[Item]) -> Sequence[Item]:
        return [] if items and self._is_over(items[-1].created_at) else items

    def _is_over(self, last: datetime | None) -> bool:
        if self.ttl is None or last is None:
            return False
        return (to_datetime(now()) - last).total_seconds() >= self.ttl


BotWireChatHistory = BotWireChatMessageHistory
"""The name that BotWire 0.2 used."""


class _Window:
    """Gathers the last messages from items that come newest first."""

    def __init__(
        self, limit: int | None, before: str | None, is_over: Callable[[datetime | None], bool]
    ) -> None:
        self._limit = limit
        self._before = before
        self._is_over = is_over
        self._items: list[Item] = []
        self._is_first = True

    @property
    def is_all(self) -> bool:
        """Whether all messages are wanted."""
        return self._limit is None and self._before is None

    @property
    def page_size(self) -> int:
        """How many items to read at a time."""
        return 200 if self._limit is None or self._before else max(1, min(self._limit, MAX_PAGE))

    def add(self, item: Item) -> bool:
        """Adds an item and says whether that is enough."""
        if self._is_first and self._is_over(item.created_at):
            return True
        self._is_first = False
        if self._limit != 0:
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
