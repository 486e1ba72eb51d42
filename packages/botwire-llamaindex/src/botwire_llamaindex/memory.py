"""LlamaIndex's `Memory`, with its memory blocks, on BotWire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.memory.memory import (
    DEFAULT_MEMORY_BLOCKS_TEMPLATE,
    DEFAULT_TOKEN_LIMIT,
    BaseMemoryBlock,
    InsertMethod,
)
from llama_index.core.memory.types import DEFAULT_CHAT_STORE_KEY
from llama_index.core.prompts import RichPromptTemplate
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from llama_index.core.utils import get_tokenizer
from pydantic import Field, PrivateAttr

import botwire
from botwire import AsyncHistory, AsyncMemory
from botwire.arguments import check_type
from botwire.client.encoding import encode_each
from botwire.connection import ConnectionOptions, check_named
from botwire.off_loop import off_loop
from botwire.places import DEFAULT_TIMEOUT
from botwire_llamaindex.async_store import BotWireAsyncChatStore, read_status
from botwire_llamaindex.blocks import (
    ConversationBlocks,
    Owned,
    find_owner,
    remember_owner,
)
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.kept import Kept
from botwire_llamaindex.pairing import with_answered_calls
from botwire_llamaindex.place import (
    FoundAgain,
    check_dump,
    refuse_unknown,
    store_at,
)
from botwire_llamaindex.texts import media_of, texts_of
from botwire_llamaindex.tokens import count_tokens, find_tokenizer, name_tokenizer
from botwire_llamaindex.turns import Writing, add_messages, async_add_messages
from botwire_llamaindex.window import Queue, messages_of, with_system

_SETTINGS = sorted(
    name for name, field in Memory.model_fields.items() if field.annotation in (int, float, str)
)
_PAGE = 1000  # items read at a time: a queue is mostly shorter


class BotWireMemory(FoundAgain, Memory):
    """A `Memory` whose messages are stored on BotWire.

    It differs from LlamaIndex's own: the system message is shown even after it is archived;
    arguments of tool calls count as tokens; concurrent puts do not archive too much; messages are
    archived only after the memory blocks accept them, so a block that fails gets them again; facts
    of a `FactExtractionMemoryBlock` outlive the process; a dump refers to the conversation instead
    of holding it, so a workflow's `Context` keeps its memory between runs and across processes.

    Memory blocks are asynchronous, so with them `get` and `put` need an event loop, as in
    LlamaIndex's own class. Without them, the blocking methods need none.

    Args:
        namespace: The namespace of the conversation. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        token_limit: Maximum number of tokens that `get` returns, memory blocks included.
        sql_store: A `BotWireAsyncChatStore`, instead of `namespace` and the arguments below.
        client: A `botwire.Memory` or `AsyncMemory`, instead of `url` and `api_key`.
        url: Where memory lives, as for `botwire.Memory`.
        api_key: The server's API key, as for `botwire.Memory`; never part of a dump.
        timeout: Seconds that a call to a server may take, retries included.
        ttl: Seconds that the conversation lives after its last message was written, by the store's
            clock; None leaves its expiry as it is.
        **fields: See `from_defaults`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    sql_store: BotWireAsyncChatStore = Field(default_factory=BotWireAsyncChatStore, exclude=True)
    session_id: str = DEFAULT_CHAT_STORE_KEY

    _kept: Kept = PrivateAttr(default_factory=Kept)
    _owned: Owned = PrivateAttr(default_factory=Owned)

    def __init__(
        self,
        namespace: str | None = None,
        token_limit: int = DEFAULT_TOKEN_LIMIT,
        *,
        sql_store: AsyncDBChatStore | None = None,
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        ttl: float | None = None,
        **fields: Any,
    ) -> None:
        refuse_unknown(type(self), fields, type(self).model_fields)
        options = ConnectionOptions(client=client, url=url, api_key=api_key, timeout=timeout)
        check_type(token_limit, int, "token_limit")
        blocks = fields.get("memory_blocks", ())
        encode_each(blocks, BaseMemoryBlock, "memory_blocks", "memory blocks")
        session_id = fields.get("session_id")
        named = (session_id, sql_store, namespace, client, url)
        check_named(type(self), named, "session_id", "one conversation")
        store = store_at(BotWireAsyncChatStore, sql_store, namespace, options, ttl)
        super().__init__(token_limit=token_limit, sql_store=store, **fields)
        count_tokens(self.tokenizer_fn, "")  # fails here, and not after a message was stored
        self._blocks().own()
        if self.memory_blocks:
            remember_owner(self._conversation(), self)

    @classmethod
    def class_name(cls) -> str:
        """Returns the name of this class in dumps."""
        return "BotWireMemory"

    @classmethod
    def from_defaults(  # type: ignore[override]  # as the stock one: it differs from the base
        cls,
        session_id: str | None = None,
        chat_history: list[ChatMessage] | None = None,
        token_limit: int = DEFAULT_TOKEN_LIMIT,
        memory_blocks: list[BaseMemoryBlock[Any]] | None = None,
        tokenizer_fn: Callable[[str], list[Any]] | None = None,
        chat_history_token_ratio: float = 0.7,
        token_flush_size: int | None = None,
        memory_blocks_template: RichPromptTemplate = DEFAULT_MEMORY_BLOCKS_TEMPLATE,
        insert_method: InsertMethod = InsertMethod.SYSTEM,
        image_token_size_estimate: int = 256,
        audio_token_size_estimate: int = 256,
        video_token_size_estimate: int = 256,
        chat_store: AsyncDBChatStore | None = None,
        *,
        namespace: str | None = None,
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        ttl: float | None = None,
        **kwargs: Any,
    ) -> BotWireMemory:
        """Returns a new memory.

        Args:
            session_id: The conversation. Defaults to ``chat_history``, because a random id could
                not be found again; then a namespace, client, url or chat store is required.
            chat_history: Replaces what is stored, in one step. An empty list, which chat engines
                pass, replaces nothing: use `reset` to delete a conversation.
            token_limit: Maximum number of tokens that `get` returns, memory blocks included.
            memory_blocks: Blocks that receive archived messages and add to what `get` returns.
            tokenizer_fn: A function that splits a text into tokens.
            chat_history_token_ratio: The share of `token_limit` for messages, 0 to 1.
            token_flush_size: Minimum number of tokens to archive when there are too many. Defaults
                to a tenth of `token_limit`.
            memory_blocks_template: The template for the content of blocks.
            insert_method: Whether that content goes into the system or the user message.
            image_token_size_estimate: Tokens per image.
            audio_token_size_estimate: Tokens per audio block.
            video_token_size_estimate: Tokens per video.
            chat_store: A `BotWireAsyncChatStore`; not together with the six below.
            namespace: The namespace of the conversation. Defaults to the client's, then to
                ``BOTWIRE_NAMESPACE``, then to ``default``.
            client: A `botwire.Memory` or `AsyncMemory`, instead of `url` and `api_key`.
            url: Where memory lives, as for `botwire.Memory`.
            api_key: The server's API key, as for `botwire.Memory`.
            timeout: Seconds that a call to a server may take, retries included.
            ttl: Seconds that the conversation lives after its last message was written.
            **kwargs: Other fields of the class, but no tables or databases of SQLAlchemy.

        Raises:
            ConfigurationError: An argument is not valid.
        """
        refuse_unknown(cls, kwargs, cls.model_fields)
        if token_flush_size is not None and (
            check_type(token_flush_size, int, "token_flush_size")
            > check_type(token_limit, int, "token_limit")
        ):
            token_flush_size = int(token_limit * 0.7)  # as the stock one
        memory = cls(
            namespace,
            token_limit,
            sql_store=chat_store,
            client=client,
            url=url,
            api_key=api_key,
            timeout=timeout,
            ttl=ttl,
            **({"session_id": session_id} if session_id else {}),
            token_flush_size=-1 if token_flush_size is None else token_flush_size,
            memory_blocks=memory_blocks or [],
            tokenizer_fn=tokenizer_fn or get_tokenizer(),
            chat_history_token_ratio=chat_history_token_ratio,
            memory_blocks_template=memory_blocks_template,
            insert_method=insert_method,
            image_token_size_estimate=image_token_size_estimate,
            audio_token_size_estimate=audio_token_size_estimate,
            video_token_size_estimate=video_token_size_estimate,
            **kwargs,
        )
        if chat_history:
            memory.set(chat_history)
        return memory

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Returns a reference to this conversation, without any message or key.

        Memory blocks are objects of this process, so the reference holds only their names.
        """
        blocks = [block.name for block in self.memory_blocks]
        if blocks:
            remember_owner(self._conversation(), self)
        return {
            "class_name": self.class_name(),
            **{name: getattr(self, name) for name in _SETTINGS},
            # LlamaIndex's own `Memory` must refuse this, or it would come back without messages.
            "insert_method": f"{self.class_name()}.{self.insert_method.value}",
            "chat_store": self.sql_store.to_dict(),
            **name_tokenizer(self.tokenizer_fn),
            **({"memory_blocks": blocks} if blocks else {}),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> BotWireMemory:
        """Returns the memory that `to_dict` refers to.

        In the process that made the reference, it has the same key and tokenizer. In another one,
        it has the key from the environment and LlamaIndex's own tokenizer. Its memory blocks are
        those of the last memory of this conversation that this process made.

        Raises:
            ConfigurationError: It has memory blocks, and this process made no memory with them.
        """
        check_dump(cls, data, "chat_store", "insert_method", *_SETTINGS)
        store = BotWireAsyncChatStore.from_dict(data["chat_store"])
        fields: dict[str, Any] = {name: data[name] for name in _SETTINGS}
        if names := data.get("memory_blocks"):
            owner = find_owner((store.namespace, store.url, data["session_id"]), names)
            fields["memory_blocks"] = owner.memory_blocks
            fields["memory_blocks_template"] = owner.memory_blocks_template
        return cls(
            **fields,
            insert_method=InsertMethod(data["insert_method"].rpartition(".")[2]),
            sql_store=store,
            tokenizer_fn=find_tokenizer(data),
        )

    def _conversation(self) -> tuple[str | None, ...]:
        return (self.sql_store.namespace, self.sql_store.url, self.session_id)

    async def _get_memory_blocks_content(
        self,
        chat_history: list[ChatMessage],
        input: str | ChatMessage | None = None,  # noqa: A002 - named by LlamaIndex
        **block_kwargs: Any,
    ) -> dict[str, Any]:
        block_kwargs.setdefault("session_id", self._blocks().scope)
        asked = chat_history
        if input is not None:
            said = ChatMessage(role="user", content=input) if isinstance(input, str) else input
            asked = [*chat_history, said]
        contents: dict[str, Any] = {}
        for block in sorted(self.memory_blocks, key=lambda block: -block.priority):
            content = await block.aget(asked, **block_kwargs)
            if content and not isinstance(content, (str, list)):
                raise TypeError(
                    f"memory block {block.name!r} returned a {type(content).__name__}, and not a "
                    "string or a list of content blocks"
                )
            if content:
                contents[block.name] = content
        return contents

    # --- reading --------------------------------------------------------------------------------

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002 - named by LlamaIndex
        **block_kwargs: Any,
    ) -> list[ChatMessage]:
        """Returns the active messages and what memory blocks add, after the system message.

        Args:
            input: The user's next message, for memory blocks.
            **block_kwargs: For memory blocks.
        """
        history = self._async_history()
        if self.memory_blocks:
            await self._blocks().recall()
            messages = await super().aget(input, **block_kwargs)
            oldest, may_call = next((one.seq for one in await history.read(limit=1)), 0), True
        else:
            entries = (await self._aqueue()).kept()
            messages, oldest = messages_of(entries), entries[0].seq if entries else 0
            may_call = any(entry.calls for entry in entries)
        if oldest != 1:  # other messages may have come before it
            first = await history.read(limit=1, archived=True)
            messages = with_system(messages, first, oldest)
        return with_answered_calls(messages, may_call=may_call)

    def get(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002 - named by LlamaIndex
        **block_kwargs: Any,
    ) -> list[ChatMessage]:
        """Like `aget`."""
        if self.memory_blocks:
            return asyncio_run(self.aget(input, **block_kwargs))  # type: ignore[no-any-return]
        entries = self._queue().kept()
        messages, oldest = messages_of(entries), entries[0].seq if entries else 0
        if oldest != 1:
            first = self._history().read(limit=1, archived=True)
            messages = with_system(messages, first, oldest)
        return with_answered_calls(messages, may_call=any(entry.calls for entry in entries))

    def get_all(self, status: MessageStatus | None = None) -> list[ChatMessage]:
        """Returns all messages, or only the active or archived ones."""
        status = read_status(status)
        history = self._history()
        limit = history.info().archived if status is MessageStatus.ARCHIVED else None
        items = history.read(limit=limit, archived=status is not MessageStatus.ACTIVE)
        return [message for _, message in from_items(items)]

    # --- adding and archiving -------------------------------------------------------------------

    async def aput(self, message: ChatMessage) -> None:
        """Adds a message, and archives the oldest ones if there are too many."""
        await self.aput_messages([message])

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Adds messages, all or none; then archives the oldest ones if there are too many.

        Raises:
            ConflictError: The messages are an answer, and another request has added a question
                since theirs was added.
        """
        store = self.sql_store
        await async_add_messages(store.connection, self.session_id, messages, ttl=store.ttl)
        await self._aput_away()

    async def _aput_away(self) -> None:
        """Archives the oldest messages if there are too many, after memory blocks accept them."""
        blocks = self._blocks()
        await blocks.renew()
        history = self._async_history()
        up_to = (await self._aqueue()).archive_up_to()
        if up_to is None:
            return
        if not self.memory_blocks:
            await history.archive(up_to)
            return
        async with blocks.claim() as is_ours:
            if not is_ours:
                return
            up_to = (await self._aqueue()).archive_up_to()  # another writer may have just archived
            if up_to is not None:
                found = await off_loop(from_items, await history.read())
                await blocks.give([message for seq, message in found if seq <= up_to])
                await history.archive(up_to)

    def put(self, message: ChatMessage) -> None:
        """Like `aput`."""
        self.put_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Like `aput_messages`."""
        store = self.sql_store
        add_messages(store.connection, self.session_id, messages, ttl=store.ttl)
        if self.memory_blocks:
            asyncio_run(self._aput_away())
        elif (up_to := self._queue().archive_up_to()) is not None:
            self._history().archive(up_to)

    def set(self, messages: list[ChatMessage]) -> None:
        """Replaces all messages, archived ones too, in one step."""
        writing = Writing(self.sql_store.connection, self.session_id, messages)
        writing.wrote(self._history().replace(writing.items))

    def reset(self) -> None:
        """Deletes the conversation with its archived messages and the facts learned from it."""
        blocks = self._blocks()
        with self.sql_store.connection.memory.transaction() as transaction:
            transaction.history(self.session_id).clear()
            transaction.delete(blocks.facts_key)
        blocks.reset()

    async def areset(self, status: MessageStatus | None = None) -> None:
        """Like `reset`; with a status, deletes only the active or only the archived messages."""
        if status is not None:
            await super().areset(status)
            return
        blocks = self._blocks()
        async with self._async_memory().transaction() as transaction:
            transaction.history(self.session_id).clear()
            transaction.delete(blocks.facts_key)
        await blocks.areset()

    def _queue(self) -> Queue:
        queue = self._empty_queue()
        self._kept.read(self._counted(), self._history(), queue, _PAGE)
        return queue

    async def _aqueue(self) -> Queue:
        queue = self._empty_queue()
        await self._kept.aread(self._counted(), self._async_history(), queue, _PAGE)
        return queue

    def _empty_queue(self) -> Queue:
        limit = self.token_limit * self.chat_history_token_ratio
        return Queue(limit, self.token_flush_size, self._estimate_token_count)

    def _counted(self) -> tuple[object, ...]:
        """Returns what identifies the conversation and how its tokens are counted."""
        estimates = (
            self.image_token_size_estimate,
            self.audio_token_size_estimate,
            self.video_token_size_estimate,
        )
        return self.sql_store.connection, self.session_id, self.tokenizer_fn, *estimates

    def _estimate_token_count(self, message_or_blocks: Any) -> int:
        """Like LlamaIndex's own method, but counts all that a model is sent.

        LlamaIndex's leaves out thinking, cited texts and the arguments of tool calls.
        """
        if not isinstance(message_or_blocks, ChatMessage):
            return int(super()._estimate_token_count(message_or_blocks))
        others = int(super()._estimate_token_count(media_of(message_or_blocks)))
        texts = texts_of(message_or_blocks)
        return others + sum(count_tokens(self.tokenizer_fn, text) for text in texts)

    def _blocks(self) -> ConversationBlocks:
        store = self.sql_store
        return ConversationBlocks(
            self.memory_blocks, self._owned, store.connection, self.session_id, store.ttl
        )

    def _async_memory(self) -> AsyncMemory:
        return self.sql_store.connection.async_memory

    def _async_history(self) -> AsyncHistory:
        return self._async_memory().history(self.session_id, ttl=self.sql_store.ttl)

    def _history(self) -> botwire.History:
        store = self.sql_store
        return store.connection.memory.history(self.session_id, ttl=store.ttl)
