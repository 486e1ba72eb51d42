"""Chat memory for LlamaIndex's agents and chat engines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.memory.chat_memory_buffer import (
    DEFAULT_TOKEN_LIMIT,
    DEFAULT_TOKEN_LIMIT_RATIO,
)
from llama_index.core.memory.types import DEFAULT_CHAT_STORE_KEY
from llama_index.core.storage.chat_store import BaseChatStore
from llama_index.core.utils import get_tokenizer
from pydantic import Field, PrivateAttr

from botwire import AsyncHistory, AsyncMemory, ConfigurationError, History, Item, Memory
from botwire.arguments import check_type
from botwire.connection import ConnectionOptions, check_named
from botwire.places import DEFAULT_TIMEOUT
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.kept import Kept
from botwire_llamaindex.place import (
    FoundAgain,
    check_dump,
    refuse_unknown,
    store_at,
)
from botwire_llamaindex.store import BotWireChatStore
from botwire_llamaindex.tokens import count_tokens, find_tokenizer, name_tokenizer
from botwire_llamaindex.window import Window

_PAGE = 200  # items read at a time


class BotWireChatMemoryBuffer(FoundAgain, ChatMemoryBuffer):
    """A `ChatMemoryBuffer` whose messages are stored on BotWire.

    `get` reads from the end, and only as much as fits `token_limit`. Messages put together are
    appended in one step. A dump refers to the conversation instead of holding it, so a workflow's
    `Context` keeps its memory between runs and across processes.

    Args:
        namespace: The namespace of the conversation. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        token_limit: Maximum number of tokens that `get` returns.
        chat_store: A `BotWireChatStore` to use instead of `namespace` and the arguments below.
        client: A `Memory` or `AsyncMemory` to use instead of `url` and `api_key`.
        url: Where memory lives, as for `Memory`.
        api_key: The server's API key, as for `Memory`; never part of a dump.
        timeout: Seconds that a call to a server may take, retries included.
        ttl: Seconds that the conversation lives after its last message was written, by the store's
            clock; None leaves its expiry as it is.
        **fields: `chat_store_key`, the conversation, and `tokenizer_fn`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    chat_store: BotWireChatStore = Field(default_factory=BotWireChatStore)

    _kept: Kept = PrivateAttr(default_factory=Kept)

    def __init__(
        self,
        namespace: str | None = None,
        token_limit: int = DEFAULT_TOKEN_LIMIT,
        *,
        chat_store: BaseChatStore | None = None,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        ttl: float | None = None,
        **fields: Any,
    ) -> None:
        refuse_unknown(type(self), fields, type(self).model_fields)
        options = ConnectionOptions(client=client, url=url, api_key=api_key, timeout=timeout)
        check_type(token_limit, int, "token_limit")
        key = fields.get("chat_store_key", DEFAULT_CHAT_STORE_KEY)
        own_key = None if key == DEFAULT_CHAT_STORE_KEY else key
        named = (own_key, chat_store, namespace, client, url)
        check_named(type(self), named, "chat_store_key", "one conversation")
        store = store_at(BotWireChatStore, chat_store, namespace, options, ttl)
        super().__init__(token_limit=token_limit, chat_store=store, **fields)
        count_tokens(self.tokenizer_fn, "")  # fails here, and not after a message was stored

    @classmethod
    def class_name(cls) -> str:
        """Returns the name of this class in dumps."""
        return "BotWireChatMemoryBuffer"

    @classmethod
    def from_defaults(
        cls,
        chat_history: list[ChatMessage] | None = None,
        llm: LLM | None = None,
        chat_store: BaseChatStore | None = None,
        chat_store_key: str = DEFAULT_CHAT_STORE_KEY,
        token_limit: int | None = None,
        tokenizer_fn: Callable[[str], list[Any]] | None = None,
        *,
        namespace: str | None = None,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        ttl: float | None = None,
        **kwargs: Any,
    ) -> BotWireChatMemoryBuffer:
        """Returns a new memory.

        Args:
            chat_history: Replaces what is stored, in one step. An empty list, which chat engines
                pass, replaces nothing: use `reset` to delete a conversation.
            llm: Sets the limit by its context window if `token_limit` is unset.
            chat_store: A `BotWireChatStore`; not together with the six below.
            chat_store_key: The conversation. Unset, a namespace, client, url or chat store is
                required.
            token_limit: Maximum number of tokens that `get` returns (3,000).
            tokenizer_fn: A function that splits a text into tokens.
            namespace: The namespace of the conversation. Defaults to the client's, then to
                ``BOTWIRE_NAMESPACE``, then to ``default``.
            client: A `Memory` or `AsyncMemory` to use instead of `url` and `api_key`.
            url: Where memory lives, as for `Memory`.
            api_key: The server's API key, as for `Memory`.
            timeout: Seconds that a call to a server may take, retries included.
            ttl: Seconds that the conversation lives after its last message was written.
            **kwargs: Other fields of the class.

        Raises:
            ConfigurationError: An argument is not valid.
        """
        refuse_unknown(cls, kwargs, cls.model_fields)
        if token_limit is None:
            token_limit = DEFAULT_TOKEN_LIMIT
            if llm is not None:
                token_limit = int(llm.metadata.context_window * DEFAULT_TOKEN_LIMIT_RATIO)
        memory = cls(
            namespace,
            token_limit,
            chat_store=chat_store,
            client=client,
            url=url,
            api_key=api_key,
            timeout=timeout,
            ttl=ttl,
            tokenizer_fn=tokenizer_fn or get_tokenizer(),
            chat_store_key=chat_store_key,
            **kwargs,
        )
        if chat_history:
            memory.set(chat_history)
        return memory

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Returns a reference to this conversation, without any message or key."""
        return {
            "class_name": self.class_name(),
            "token_limit": self.token_limit,
            "chat_store_key": self.chat_store_key,
            "chat_store": self.chat_store.to_dict(),
            **name_tokenizer(self.tokenizer_fn),
        }

    def to_string(self) -> str:
        """Returns the same as `to_dict`, as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> BotWireChatMemoryBuffer:
        """Returns the memory that `to_dict` refers to.

        In the process that made the reference, it has the same key and tokenizer. In another one,
        it has the key from the environment and LlamaIndex's own tokenizer.
        """
        check_dump(cls, data, "token_limit", "chat_store_key", "chat_store")
        return cls(
            token_limit=data["token_limit"],
            chat_store_key=data["chat_store_key"],
            chat_store=BotWireChatStore.from_dict(data["chat_store"]),
            tokenizer_fn=find_tokenizer(data),
        )

    def _history(self) -> History:
        return self.chat_store.connection.memory.history(self.chat_store_key)

    def _async_history(self) -> AsyncHistory:
        return self.chat_store.connection.async_memory.history(self.chat_store_key)

    def get(
        self,
        input: str | None = None,  # noqa: A002 - named by LlamaIndex
        initial_token_count: int = 0,
        **kwargs: Any,
    ) -> list[ChatMessage]:
        """Returns the last whole turns that fit, preceded by the system message if there is one.

        Args:
            input: Not used.
            initial_token_count: Tokens that are already used.
            **kwargs: Not used.
        """
        window = Window(self.token_limit, self.tokenizer_fn, initial_token_count)
        history = self._history()
        complete = self._kept.read(self._counted(), history, window, _PAGE)
        return window.messages(
            complete=complete, first=None if complete else _first(history.read(limit=1))
        )

    async def aget(
        self,
        input: str | None = None,  # noqa: A002 - named by LlamaIndex
        initial_token_count: int = 0,
        **kwargs: Any,
    ) -> list[ChatMessage]:
        """Like `get`."""
        window = Window(self.token_limit, self.tokenizer_fn, initial_token_count)
        history = self._async_history()
        complete = await self._kept.aread(self._counted(), history, window, _PAGE)
        return window.messages(
            complete=complete, first=None if complete else _first(await history.read(limit=1))
        )

    def _counted(self) -> tuple[object, ...]:
        """Returns what identifies the conversation and how its tokens are counted."""
        return self.chat_store.connection, self.chat_store_key, self.tokenizer_fn

    def reset(self) -> None:
        """Deletes the conversation."""
        self._history().clear()

    async def areset(self) -> None:
        """Like `reset`."""
        await self._async_history().clear()

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Appends messages atomically, with no other writer's in between."""
        self.chat_store.add_messages(self.chat_store_key, messages)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Like `put_messages`."""
        await self.chat_store.async_add_messages(self.chat_store_key, messages)


class PersistentChatMemory(BotWireChatMemoryBuffer):
    """A persistent conversation in one line: ``PersistentChatMemory("user-456")``."""

    @classmethod
    def class_name(cls) -> str:
        """Returns the name of this class in dumps."""
        return "PersistentChatMemory"

    def put(self, message: ChatMessage | str, content: str | None = None) -> None:
        """Adds a message: ``put(message)``, or ``put("user", "What is the weather?")``."""
        super().put(_message(message, content))

    async def aput(self, message: ChatMessage | str, content: str | None = None) -> None:
        """Like `put`."""
        await super().aput(_message(message, content))


def _first(items: Iterable[Item]) -> ChatMessage | None:
    return next((message for _, message in from_items(items)), None)


def _message(message: ChatMessage | str, content: str | None) -> ChatMessage:
    """Returns the arguments of `PersistentChatMemory.put` as a message."""
    if isinstance(message, ChatMessage) and content is None:
        return message
    roles = [role.value for role in MessageRole]
    if message not in roles or not isinstance(content, str):
        raise ConfigurationError(
            f"put takes a ChatMessage, or a role ({', '.join(roles)}) and a text, not "
            f"{message!r:.60} and {content!r:.60}"
        )
    return ChatMessage(role=message, content=content)
