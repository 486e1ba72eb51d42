"""LlamaIndex's `Memory`, with its memory blocks, on BotWire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    VideoBlock,
)
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
from botwire import AsyncHistory, AsyncMemory, ConflictError, Item
from botwire_llamaindex.async_store import BotWireAsyncChatStore
from botwire_llamaindex.blocks import (
    CLAIM_SECONDS,
    claim_key,
    facts_key,
    facts_of,
    find_owner,
    forget_facts,
    merge_facts,
    own_blocks,
    recalling,
    remember_owner,
    take_facts,
)
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.kept import Kept
from botwire_llamaindex.place import FoundAgain, refuse_unknown, store_at
from botwire_llamaindex.tokens import count_tokens, find_tokenizer, name_tokenizer
from botwire_llamaindex.turns import Writing, add_messages, async_add_messages
from botwire_llamaindex.window import Entry, Queue, calls_text, with_answered_calls

_SETTINGS = sorted(
    name for name, field in Memory.model_fields.items() if field.annotation in (int, float, str)
)
_PAGE = 1000  # items read at a time: a queue is mostly shorter
_MEDIA = (ImageBlock, AudioBlock, VideoBlock, DocumentBlock)


class BotWireMemory(FoundAgain, Memory):
    """A `Memory` whose messages are kept on BotWire.

    What differs from the stock one: the system message stays when it is archived; arguments of tool
    calls count; concurrent puts do not archive too much; messages are archived after the memory
    blocks took them, so that a block that fails gets them again; what a `FactExtractionMemoryBlock`
    has found outlives the process; a dump refers to the conversation and does not hold it, so a
    workflow's `Context` keeps its memory between runs and across processes.

    Memory blocks are awaited only: with them, `get` and `put` run them on an event loop as the
    stock ones do. Without, the blocking methods need none.

    Args:
        namespace: Whose. Unset: the client's, else ``BOTWIRE_NAMESPACE``, else ``default``.
        token_limit: How many tokens `get` returns at most, memory blocks included.
        sql_store: A `BotWireAsyncChatStore`, in the place of all the others.
        client: A `botwire.Memory` or `AsyncMemory` to use.
        url: Where memory lives, as for `botwire.Memory`.
        api_key: For a server, as for `botwire.Memory`; never part of a dump.
        **fields: See `from_defaults`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    sql_store: BotWireAsyncChatStore = Field(default_factory=BotWireAsyncChatStore, exclude=True)
    session_id: str = DEFAULT_CHAT_STORE_KEY

    _facts_stored: bool = PrivateAttr(default=False)
    _kept: Kept = PrivateAttr(default_factory=Kept)

    def __init__(
        self,
        namespace: str | None = None,
        token_limit: int = DEFAULT_TOKEN_LIMIT,
        *,
        sql_store: AsyncDBChatStore | None = None,
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        **fields: Any,
    ) -> None:
        refuse_unknown(type(self), fields, type(self).model_fields)
        store = store_at(BotWireAsyncChatStore, sql_store, namespace, client, url, api_key)
        super().__init__(token_limit=token_limit, sql_store=store, **fields)
        self.memory_blocks = own_blocks(self.memory_blocks, store.connection, self.session_id)
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
        **kwargs: Any,
    ) -> BotWireMemory:
        """Makes a memory.

        Args:
            session_id: Which conversation. Unset, it is ``chat_history``, and not one of its own
                that nobody would find again.
            chat_history: Put in the place of what is stored, in one step. An empty list, which
                chat engines pass, replaces nothing: use `reset` to forget.
            token_limit: How many tokens `get` returns at most, memory blocks included.
            memory_blocks: What archived messages are given to, and what adds to them.
            tokenizer_fn: Splits a text into tokens.
            chat_history_token_ratio: How much of `token_limit` is for messages.
            token_flush_size: How many tokens to archive at least when there are too many; a tenth
                of `token_limit` if unset.
            memory_blocks_template: How the content of blocks is written.
            insert_method: Whether it goes to the system or to the user message.
            image_token_size_estimate: Tokens of an image.
            audio_token_size_estimate: Tokens of a sound.
            video_token_size_estimate: Tokens of a video.
            chat_store: A `BotWireAsyncChatStore`; not together with the four below.
            namespace: Whose. Unset: the client's, else ``BOTWIRE_NAMESPACE``, else ``default``.
            client: A `botwire.Memory` or `AsyncMemory` to use.
            url: Where memory lives, as for `botwire.Memory`.
            api_key: For a server, as for `botwire.Memory`.
            **kwargs: Other fields of the class. A table or a database of SQLAlchemy is none.

        Raises:
            ConfigurationError: An argument is not valid.
        """
        refuse_unknown(cls, kwargs, cls.model_fields)
        if token_flush_size is not None and token_flush_size > token_limit:
            token_flush_size = int(token_limit * 0.7)  # as the stock one
        memory = cls(
            namespace,
            token_limit,
            sql_store=chat_store,
            client=client,
            url=url,
            api_key=api_key,
            session_id=session_id or DEFAULT_CHAT_STORE_KEY,
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
        """Returns what finds this conversation again, in any process: no message, no key.

        Of memory blocks, which are objects of a process, it holds the names.
        """
        blocks = [block.name for block in self.memory_blocks]
        if blocks:
            remember_owner(self._conversation(), self)
        return {
            "class_name": self.class_name(),
            **{name: getattr(self, name) for name in _SETTINGS},
            "insert_method": self.insert_method.value,
            "chat_store": self.sql_store.connection.reference(),
            **name_tokenizer(self.tokenizer_fn),
            **({"memory_blocks": blocks} if blocks else {}),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> BotWireMemory:
        """Makes the memory that `to_dict` described.

        In the process that described it with its key and its tokenizer, in any other one with the
        key from the environment and LlamaIndex's own tokenizer. Memory blocks are those of the
        memory of the same conversation that was last made in this process.

        Raises:
            ConfigurationError: It has memory blocks, and none with these was made.
        """
        store = BotWireAsyncChatStore.from_dict(data["chat_store"])
        fields: dict[str, Any] = {name: data[name] for name in _SETTINGS}
        if names := data.get("memory_blocks"):
            owner = find_owner((store.namespace, store.url, data["session_id"]), names)
            fields["memory_blocks"] = owner.memory_blocks
            fields["memory_blocks_template"] = owner.memory_blocks_template
        return cls(
            **fields,
            insert_method=InsertMethod(data["insert_method"]),
            sql_store=store,
            tokenizer_fn=find_tokenizer(data),
        )

    def _scope(self) -> str:
        """Returns what memory blocks know this conversation by, wherever they keep what they know.

        Two namespaces may each have a session of one name, and share a vector store.
        """
        return f"{self.sql_store.namespace}/{self.session_id}"

    def _conversation(self) -> tuple[str | None, ...]:
        return (self.sql_store.namespace, self.sql_store.url, self.session_id)

    async def _get_memory_blocks_content(
        self,
        chat_history: list[ChatMessage],
        input: str | ChatMessage | None = None,  # noqa: A002 - named by LlamaIndex
        **block_kwargs: Any,
    ) -> dict[str, Any]:
        block_kwargs.setdefault("session_id", self._scope())
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

    # --- what a model is given ------------------------------------------------------------------

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002 - named by LlamaIndex
        **block_kwargs: Any,
    ) -> list[ChatMessage]:
        """Returns the active messages and what memory blocks add, after the system message.

        Args:
            input: What the user says next, for memory blocks.
            **block_kwargs: For memory blocks.
        """
        history = self._async_history()
        if self.memory_blocks:
            await self._recall_facts()
            messages = await super().aget(input, **block_kwargs)
            entries, oldest = None, next((one.seq for one in await history.read(limit=1)), 0)
        else:
            entries = (await self._aqueue()).kept()
            messages, oldest = _messages(entries), entries[0].seq if entries else 0
        if oldest != 1:  # others may have been before it
            first = await history.read(limit=1, archived=True)
            messages = _with_system(messages, first, oldest)
        return with_answered_calls(messages, entries)

    def get(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002 - named by LlamaIndex
        **block_kwargs: Any,
    ) -> list[ChatMessage]:
        """As `aget`."""
        if self.memory_blocks:
            return asyncio_run(self.aget(input, **block_kwargs))  # type: ignore[no-any-return]
        entries = self._queue().kept()
        messages, oldest = _messages(entries), entries[0].seq if entries else 0
        if oldest != 1:
            first = self._history().read(limit=1, archived=True)
            messages = _with_system(messages, first, oldest)
        return with_answered_calls(messages, entries)

    def get_all(self, status: MessageStatus | None = None) -> list[ChatMessage]:
        """Returns all messages, or only the active or archived ones."""
        history = self._history()
        limit = history.info().archived if status is MessageStatus.ARCHIVED else None
        items = history.read(limit=limit, archived=status is not MessageStatus.ACTIVE)
        return [message for _, message in from_items(items)]

    # --- what is put in and put away ------------------------------------------------------------

    async def aput(self, message: ChatMessage) -> None:
        """Adds a message, and archives the oldest ones if there are too many."""
        await self.aput_messages([message])

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Adds messages, all or none; then archives the oldest ones if there are too many.

        Raises:
            ConflictError: They are an answer, and since its question was added here, someone else
                added another one.
        """
        await async_add_messages(self.sql_store.connection, self.session_id, messages)
        await self._aput_away()

    async def _aput_away(self) -> None:
        """Archives the oldest messages if there are too many, once memory blocks took them."""
        history = self._async_history()
        up_to = (await self._aqueue()).archive_up_to()
        if up_to is None:
            return
        if not self.memory_blocks:
            await history.archive(up_to)
            return
        # The blocks are given each message once, whichever object, task or process puts. One that
        # finds another at it leaves the rest to the next put; should that one die, its claim ends.
        claim = claim_key(self.session_id)
        memory = self._async_memory()
        try:
            version = await memory.set(claim, None, ttl=CLAIM_SECONDS, if_version=0)
        except ConflictError:
            return
        try:
            up_to = (await self._aqueue()).archive_up_to()  # another may just have archived
            if up_to is not None:
                await self._give_to_blocks(up_to)
                await history.archive(up_to)
        finally:
            with contextlib.suppress(ConflictError):
                await memory.delete(claim, if_version=version)

    async def _give_to_blocks(self, up_to: int) -> None:
        """Gives messages that are about to be archived to the memory blocks."""
        items = await self._async_history().read()
        flushed = [message for seq, message in from_items(items) if seq <= up_to]
        await self._recall_facts()
        before = facts_of(self.memory_blocks)
        blocks = (
            block.aput(flushed, from_short_term_memory=True, session_id=self._scope())
            for block in self.memory_blocks
        )
        await asyncio.gather(*blocks)
        if (after := facts_of(self.memory_blocks)) != before:
            key = facts_key(self.session_id)
            await self._async_memory().update(key, merge_facts(before, after), default={})
            self._facts_stored = True

    async def _recall_facts(self) -> None:
        if facts_of(self.memory_blocks):
            stored = await self._async_memory().get(facts_key(self.session_id))
            if stored is not None:
                take_facts(self.memory_blocks, stored)
            elif self._facts_stored:  # forgotten by another process, not yet stored by this one
                forget_facts(self.memory_blocks)
            self._facts_stored = stored is not None

    def put(self, message: ChatMessage) -> None:
        """As `aput`."""
        self.put_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """As `aput_messages`."""
        add_messages(self.sql_store.connection, self.session_id, messages)
        if self.memory_blocks:
            asyncio_run(self._aput_away())
        elif (up_to := self._queue().archive_up_to()) is not None:
            self._history().archive(up_to)

    def set(self, messages: list[ChatMessage]) -> None:
        """Puts messages in the place of all there are, archived ones too, in one step."""
        writing = Writing(self.sql_store.connection, self.session_id, messages)
        writing.wrote(self._history().replace(writing.items))

    def reset(self) -> None:
        """Forgets the conversation, archived messages and facts learned from it too."""
        with self.sql_store.connection.memory.transaction() as transaction:
            transaction.history(self.session_id).clear()
            transaction.delete(facts_key(self.session_id))
        forget_facts(self.memory_blocks)
        for block in recalling(self.memory_blocks):
            block.reset()

    async def areset(self, status: MessageStatus | None = None) -> None:
        """As `reset`; or forgets only the active or the archived messages."""
        if status is not None:
            await super().areset(status)
            return
        async with self._async_memory().transaction() as transaction:
            transaction.history(self.session_id).clear()
            transaction.delete(facts_key(self.session_id))
        forget_facts(self.memory_blocks)
        for block in recalling(self.memory_blocks):
            await block.areset()

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
        """Returns which messages have been read, and what they were counted by."""
        estimates = (
            self.image_token_size_estimate,
            self.audio_token_size_estimate,
            self.video_token_size_estimate,
        )
        return self.sql_store.connection, self.session_id, self.tokenizer_fn, *estimates

    def _estimate_token_count(self, message_or_blocks: Any) -> int:
        """As the stock one, with what tools are called with."""
        if not isinstance(message_or_blocks, ChatMessage):
            return int(super()._estimate_token_count(message_or_blocks))
        message = message_or_blocks
        texts = [block.text for block in message.blocks if isinstance(block, TextBlock)]
        texts += calls_text(message)
        if message.additional_kwargs:
            texts.append(str(message.additional_kwargs))
        media: list[Any] = [block for block in message.blocks if isinstance(block, _MEDIA)]
        others = int(super()._estimate_token_count(media))
        return others + sum(count_tokens(self.tokenizer_fn, text) for text in texts)

    def _async_memory(self) -> AsyncMemory:
        return self.sql_store.connection.async_memory

    def _async_history(self) -> AsyncHistory:
        return self._async_memory().history(self.session_id)

    def _history(self) -> botwire.History:
        return self.sql_store.connection.memory.history(self.session_id)


def _messages(entries: list[Entry]) -> list[ChatMessage]:
    """Returns the messages, of which agents write into the last one."""
    messages = [entry.message for entry in entries]
    return [*messages[:-1], *(one.model_copy(deep=True) for one in messages[-1:])]


def _with_system(messages: list[ChatMessage], first: list[Item], oldest: int) -> list[ChatMessage]:
    """Adds the system message that the conversation began with, if it is not among them."""
    found = next(iter(from_items(first)), None)
    if found is None or found[0] == oldest or found[1].role != MessageRole.SYSTEM:
        return messages
    system = found[1]
    if messages and messages[0].role == MessageRole.SYSTEM:  # made of memory blocks
        both = messages[0].model_copy(update={"blocks": [*messages[0].blocks, *system.blocks]})
        return [both, *messages[1:]]
    return [system, *messages]
