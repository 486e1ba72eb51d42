"""LlamaIndex's `Memory`, with its memory blocks, on BotWire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
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
from pydantic import Field

import botwire
from botwire import AsyncHistory, AsyncMemory, ConfigurationError
from botwire_llamaindex.async_store import BotWireAsyncChatStore
from botwire_llamaindex.convert import from_items, to_items
from botwire_llamaindex.window import calls_text

_SETTINGS = (
    "audio_token_size_estimate",
    "chat_history_token_ratio",
    "document_token_size_estimate",
    "image_token_size_estimate",
    "session_id",
    "token_flush_size",
    "token_limit",
    "video_token_size_estimate",
)


class BotWireMemory(Memory):
    """A `Memory` whose messages are kept on BotWire.

    What differs from the stock one: the system message stays when it is archived; arguments of tool
    calls count; concurrent puts do not archive too much; a dump refers to the conversation and does
    not hold it, so a workflow's `Context` keeps its memory between runs and across processes.

    Memory blocks are awaited only, so `get` and `put` run them on an event loop as the stock ones
    do; the other blocking methods need none.
    """

    sql_store: BotWireAsyncChatStore = Field(default_factory=BotWireAsyncChatStore, exclude=True)
    session_id: str = DEFAULT_CHAT_STORE_KEY

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

        Raises:
            ConfigurationError: An argument is not valid.
        """
        if chat_store is None:
            chat_store = BotWireAsyncChatStore(namespace, client=client, url=url, api_key=api_key)
        elif not isinstance(chat_store, BotWireAsyncChatStore):
            raise ConfigurationError(
                f"chat_store is a BotWireAsyncChatStore, not {type(chat_store).__name__}"
            )
        elif (namespace, client, url, api_key) != (None, None, None, None):
            raise ConfigurationError("a chat_store knows its place: give it, or namespace and url")
        memory = cls(
            session_id=session_id or DEFAULT_CHAT_STORE_KEY,
            sql_store=chat_store,
            token_limit=token_limit,
            token_flush_size=-1 if token_flush_size is None else token_flush_size,
            memory_blocks=memory_blocks or [],
            tokenizer_fn=tokenizer_fn or get_tokenizer(),
            chat_history_token_ratio=chat_history_token_ratio,
            memory_blocks_template=memory_blocks_template,
            insert_method=insert_method,
            image_token_size_estimate=image_token_size_estimate,
            audio_token_size_estimate=audio_token_size_estimate,
            video_token_size_estimate=video_token_size_estimate,
        )
        if chat_history:
            memory.set(chat_history)
        return memory

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Returns what finds this conversation again, in any process: no message, no key.

        Raises:
            ConfigurationError: There are memory blocks, which are objects of this process: such a
                memory is passed to each run.
        """
        if self.memory_blocks:
            raise ConfigurationError(
                "a memory with blocks cannot be kept in a context: pass memory= to each run"
            )
        return {
            "class_name": self.class_name(),
            **{name: getattr(self, name) for name in _SETTINGS},
            "insert_method": self.insert_method.value,
            "memory_blocks_template": self.memory_blocks_template.template_str,
            "chat_store": self.sql_store.connection.reference(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> BotWireMemory:
        """Makes the memory that `to_dict` described; a key comes from the environment."""
        reference = data["chat_store"]
        return cls(
            **{name: data[name] for name in _SETTINGS},
            insert_method=InsertMethod(data["insert_method"]),
            memory_blocks_template=RichPromptTemplate(data["memory_blocks_template"]),
            sql_store=BotWireAsyncChatStore(reference["namespace"], url=reference.get("url")),
        )

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
        messages = await super().aget(input, **block_kwargs)
        system = await self._archived_system_message()
        if system is None:
            return messages
        if messages and messages[0].role == MessageRole.SYSTEM:  # made of memory blocks
            messages[0].blocks = [*messages[0].blocks, *system.blocks]
            return messages
        return [system, *messages]

    async def _archived_system_message(self) -> ChatMessage | None:
        history = self._async_history()
        if not (await history.info()).archived:
            return None
        first = from_items(await history.read(limit=1, archived=True))
        return first[0][1] if first and first[0][1].role == MessageRole.SYSTEM else None

    def _async_history(self) -> AsyncHistory:
        return self.sql_store.connection.async_memory.history(self.session_id)

    def _history(self) -> botwire.History:
        return self.sql_store.connection.memory.history(self.session_id)

    def _estimate_token_count(self, message_or_blocks: Any) -> int:
        parts = message_or_blocks if isinstance(message_or_blocks, list) else [message_or_blocks]
        calls = [
            text for part in parts if isinstance(part, ChatMessage) for text in calls_text(part)
        ]
        count = super()._estimate_token_count(message_or_blocks)
        return count + sum(len(self.tokenizer_fn(text)) for text in calls)

    def get_all(self, status: MessageStatus | None = None) -> list[ChatMessage]:
        """Returns all messages, or only the active or archived ones."""
        items = self._history().read(archived=status is not MessageStatus.ACTIVE)
        if status is MessageStatus.ARCHIVED:
            items = items[: self._history().info().archived]
        return [message for _, message in from_items(items)]

    def set(self, messages: list[ChatMessage]) -> None:
        """Puts messages in the place of all there are, archived ones too, in one step."""
        self._history().replace(to_items(messages))

    def reset(self) -> None:
        """Forgets the conversation, archived messages too."""
        self._history().clear()
