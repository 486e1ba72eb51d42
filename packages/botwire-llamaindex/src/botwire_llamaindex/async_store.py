"""The chat store of LlamaIndex's `Memory`, with active and archived messages."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from botwire import AsyncHistory, ConfigurationError, Item
from botwire.arguments import check_type
from botwire.off_loop import off_loop
from botwire.operations import PART, check_choice, check_count
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.place import PlacedStore, keys_of
from botwire_llamaindex.turns import Writing, async_add_messages

_ALL = 2**63 - 1  # a sequence number after every other


class BotWireAsyncChatStore(PlacedStore, AsyncDBChatStore):
    """The conversations of a namespace, for ``Memory.from_defaults(chat_store=…)``.

    Each key is a history of that name, the same one as in `BotWireChatStore`. Archived messages are
    the oldest ones; they are set aside and remain readable.

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
        """Returns the name of this class in dumps."""
        return "BotWireAsyncChatStore"

    def _history(self, key: str) -> AsyncHistory:
        return self._connection.async_memory.history(key, ttl=self.ttl)

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Returns messages in order.

        Args:
            key: The conversation.
            status: Active or archived messages; None: both.
            limit: Maximum number of messages, counted from the oldest.
            offset: Number of oldest messages to skip.
        """
        for name, count in (("limit", limit), ("offset", offset)):
            if count is not None:
                check_count(count, name)
        skip = offset or 0
        items = await self._read(key, status, None if limit is None else skip + limit)
        return [message for _, message in await off_loop(from_items, items[skip:])]

    async def _read(
        self, key: str, status: MessageStatus | None, limit: int | None = None
    ) -> list[Item]:
        history = self._history(key)
        status = read_status(status)
        if status is MessageStatus.ARCHIVED:
            archived = (await history.info()).archived
            limit = archived if limit is None else min(limit, archived)
        return await history.read(limit=limit, archived=status is not MessageStatus.ACTIVE)

    async def count_messages(
        self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE
    ) -> int:
        """Returns the number of messages without reading them."""
        status = read_status(status)
        info = await self._history(key).info()
        if status is None:
            return info.count + info.archived
        return info.count if status is MessageStatus.ACTIVE else info.archived

    async def add_message(
        self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Adds a message at the end."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Appends messages atomically: all or none, with no other writer's in between.

        Raises:
            ConfigurationError: `status` is not active: only the oldest messages are archived.
            ConflictError: The messages are an answer, and another request has added a question
                since theirs was added.
        """
        if read_status(status) is not MessageStatus.ACTIVE:
            raise ConfigurationError(
                "a message is added at the end, and only the oldest are archived: add it, then "
                "archive_oldest_messages"
            )
        await async_add_messages(self._connection, key, messages, ttl=self.ttl)

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Replaces all messages, archived ones too, in one step."""
        is_archived = read_status(status) is MessageStatus.ARCHIVED
        writing = await Writing.of(self._connection, key, messages)
        async with self._connection.async_memory.transaction() as transaction:
            history = transaction.history(key, ttl=self.ttl)
            history.replace(writing.items)
            if is_archived:
                history.archive(_ALL)
        writing.wrote(transaction.results[0])

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Deletes the active message at a position, from the end if negative, and returns it.

        Returns:
            The message; None if there is no such position.
        """
        check_type(idx, int, "idx")
        found = from_items(await self._read(key, MessageStatus.ACTIVE))
        if not -len(found) <= idx < len(found):
            return None
        seq, message = found[idx]
        return message if await self._history(key).delete(seq) else None

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Deletes the active or the archived messages, or all; thousands in several steps."""
        if status is None:
            await self._history(key).clear()
            return
        seqs = [item.seq for item in await self._read(key, status)]
        for start in range(0, len(seqs), PART):
            await self._history(key).delete_many(seqs[start : start + PART])

    async def delete_all(self) -> int:
        """Deletes every conversation of this namespace, archived messages too.

        Returns:
            Number of conversations deleted.
        """
        infos = await self._connection.async_memory.list_histories()
        return sum([await self._history(info.name).clear() > 0 for info in infos])

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Deletes the `n` messages that are now the oldest active ones.

        Returns:
            The messages that this call deleted, oldest first.
        """
        history = self._history(key)
        return [message for seq, message in await self._oldest(key, n) if await history.delete(seq)]

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archives the `n` messages that are now the oldest active ones.

        Returns:
            The messages that this call archived, oldest first.
        """
        oldest = await self._oldest(key, n)
        if oldest:
            await self._history(key).archive(oldest[-1][0])
        return [message for _, message in oldest]

    async def _oldest(self, key: str, n: int) -> list[tuple[int, ChatMessage]]:
        check_count(n, "n")
        found: list[tuple[int, ChatMessage]] = []
        after = 0
        while (missing := n - len(found)) > 0:
            items = await self._history(key).read(after=after, limit=missing)
            found += from_items(items)
            if len(items) < missing:
                break
            after = items[-1].seq  # continue, because some items could not be read
        return found

    async def get_keys(self) -> list[str]:
        """Returns the keys of this namespace that hold messages."""
        return keys_of(await self._connection.async_memory.list_histories())


def read_status(status: object) -> MessageStatus | None:
    """Returns a status, which may be given by its name.

    Raises:
        ConfigurationError: There is no such status.
    """
    if status is None or isinstance(status, MessageStatus):
        return status
    check_choice(status, [one.value for one in MessageStatus], "status")
    return MessageStatus(status)
