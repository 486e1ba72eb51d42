"""What an agent is told at the beginning of each run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Literal, Self, TypeVar

from autogen_core import CancellationToken, Component
from autogen_core.memory import Memory, MemoryContent, MemoryQueryResult, UpdateContextResult
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import SystemMessage, UserMessage
from pydantic import BaseModel

import botwire
from botwire import AsyncHistory, AsyncMemory, BotWireError, ConfigurationError, Item
from botwire.connection import Connection
from botwire.names import check_history
from botwire_autogen.convert import from_items, json_safe, to_item, to_text
from botwire_autogen.ranking import best

logger = logging.getLogger("botwire.autogen")

T = TypeVar("T")

Retrieval = Literal["recent", "keyword"]

_HEADER = "Relevant memory content (in chronological order):"
_SEARCHED = 1000  # how many of the last memories a keyword search looks at


class BotWireMemoryConfig(BaseModel):
    """How a `BotWireMemory` is described in a component; it holds no secret."""

    namespace: str
    url: str | None = None
    name: str = "memories"
    k: int = 20
    retrieval: Retrieval = "recent"
    recall_timeout: float = 2.0
    strict: bool = False


class BotWireMemory(Memory, Component[BotWireMemoryConfig]):
    """An AutoGen memory on BotWire: pass it in ``AssistantAgent(memory=[…])``.

    Each run of an agent is told what it does not yet have in its context, in one system message.
    If the store does not answer in time, the run goes on without, and a warning is logged.

    Args:
        namespace: Whose memory.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server; never part of a component's dump.
        name: The history that holds the memories.
        k: How many memories a query returns at most.
        retrieval: ``recent`` returns the last ones, ``keyword`` those of the last thousand that
            share most words with the question.
        recall_timeout: Seconds that a run waits to be told.
        strict: Let a run fail that cannot be told, in the place of going on without.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    component_type = "memory"
    component_config_schema = BotWireMemoryConfig
    component_provider_override = "botwire_autogen.BotWireMemory"

    def __init__(
        self,
        namespace: str,
        *,
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        name: str = "memories",
        k: int = 20,
        retrieval: Retrieval = "recent",
        recall_timeout: float = 2.0,
        strict: bool = False,
    ) -> None:
        if k < 1:
            raise ConfigurationError(f"k is at least 1, not {k}")
        if retrieval not in ("recent", "keyword"):
            raise ConfigurationError(f"retrieval is 'recent' or 'keyword', not {retrieval!r}")
        if not recall_timeout > 0:
            raise ConfigurationError(f"recall_timeout is above 0 seconds, not {recall_timeout!r}")
        self.connection = Connection(namespace, client=client, url=url, api_key=api_key)
        self._name = check_history(name)
        self._k = k
        self._retrieval: Retrieval = retrieval
        self._recall_timeout = recall_timeout
        self._strict = strict

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.connection.namespace!r}, name={self._name!r})"

    @property
    def name(self) -> str:
        """The history that holds the memories."""
        return self._name

    @property
    def _history(self) -> AsyncHistory:
        return self.connection.async_memory.history(self._name)

    async def add(
        self, content: MemoryContent, cancellation_token: CancellationToken | None = None
    ) -> None:
        """Keeps a content.

        Raises:
            NotJSONError: It holds what would not come back; it says where.
            asyncio.CancelledError: The token was cancelled.
        """
        await _cancellable(self._history.append(to_item(content)), cancellation_token)

    async def query(
        self,
        query: str | MemoryContent = "",
        cancellation_token: CancellationToken | None = None,
        **kwargs: Any,
    ) -> MemoryQueryResult:
        """Returns at most `k` contents, in the order in which they were added.

        Args:
            query: What they are searched for with ``keyword``; without words, the last ones.
            cancellation_token: Cancels the call.
            **kwargs: `k`, to return another number.
        """
        text = query if isinstance(query, str) else to_text(query)
        k = int(kwargs.get("k", self._k))
        found = await _cancellable(self._find(text, k), cancellation_token)
        return MemoryQueryResult(results=from_items(found))

    async def _find(self, text: str, k: int) -> list[Item]:
        searched = _SEARCHED if self._retrieval == "keyword" and text.split() else k
        items: list[Item] = []
        async for item in self._history.newest_first():
            items.append(item)
            if len(items) >= searched:
                break
        items.reverse()
        return items if searched == k else best(items, text, k)

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Adds one system message with the memories that are not in the context yet.

        The question is the last user message.
        """
        messages = await model_context.get_messages()
        asked = next((m.content for m in reversed(messages) if isinstance(m, UserMessage)), "")
        question = asked if isinstance(asked, str) else " ".join(map(str, asked))
        try:
            async with asyncio.timeout(self._recall_timeout):
                found = (await self.query(question)).results
        except (BotWireError, TimeoutError) as error:
            if self._strict:
                raise
            reason = error if isinstance(error, BotWireError) else "no answer in time"
            logger.warning("a run goes on without what %r holds: %s", self, reason)
            return UpdateContextResult(memories=MemoryQueryResult(results=[]))
        known = {
            line
            for message in messages
            if isinstance(message, SystemMessage) and _HEADER in message.content
            for line in message.content.splitlines()
        }
        new = {line: content for content in found if (line := _line(content)) not in known}
        if new:
            text = "\n".join(["", _HEADER, *new, ""])
            await model_context.add_message(SystemMessage(content=text))
        contents = [json_safe(content) for content in new.values()]
        return UpdateContextResult(memories=MemoryQueryResult(results=contents))

    async def clear(self) -> None:
        """Deletes what this memory holds, and nothing else of the namespace."""
        await self._history.clear()

    async def close(self) -> None:
        """Does nothing: what is stored stays, and connections close with their event loop."""

    def _to_config(self) -> BotWireMemoryConfig:
        reference = self.connection.reference()
        return BotWireMemoryConfig(
            namespace=reference["namespace"],
            url=reference.get("url"),
            name=self._name,
            k=self._k,
            retrieval=self._retrieval,
            recall_timeout=self._recall_timeout,
            strict=self._strict,
        )

    @classmethod
    def _from_config(cls, config: BotWireMemoryConfig) -> Self:
        return cls(**config.model_dump())


def _line(content: MemoryContent) -> str:
    return "- " + " ".join(to_text(content).split())


async def _cancellable(work: Coroutine[Any, Any, T], token: CancellationToken | None) -> T:
    if token is None:
        return await work
    task = asyncio.ensure_future(work)
    token.link_future(task)
    return await task
