"""The memory blocks of a conversation: they receive its old messages; what they learn is stored."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import FactExtractionMemoryBlock
from llama_index.core.memory.memory import BaseMemoryBlock

from botwire import AsyncMemory, ConfigurationError, ConflictError
from botwire.connection import Connection
from botwire.names import join_parts
from botwire_llamaindex.facts import (
    facts_key,
    facts_of,
    forget_facts,
    merge_facts,
    renew_facts,
    take_facts,
)
from botwire_llamaindex.kvstore import CLAIMS, key_of
from botwire_llamaindex.recall import BotWireMemoryBlock

_CLAIM_SECONDS = 120.0  # a block may ask a model for each batch
_REMEMBERED = 1_000
_known: OrderedDict[tuple[str | None, ...], Any] = OrderedDict()
_lock = threading.Lock()


def remember_owner(conversation: tuple[str | None, ...], memory: Any) -> None:
    """Remembers a memory with blocks, for contexts that only refer to its conversation.

    LlamaIndex does not: a reused context loses a memory that has blocks.
    """
    with _lock:
        _known[conversation] = memory
        _known.move_to_end(conversation)
        if len(_known) > _REMEMBERED:
            _known.popitem(last=False)


def find_owner(conversation: tuple[str | None, ...], names: Sequence[str]) -> Any:
    """Returns the memory of this process that has the blocks of a conversation.

    Raises:
        ConfigurationError: This process has no such memory with blocks of these names.
    """
    memory = _known.get(conversation)
    if memory is None or [block.name for block in memory.memory_blocks] != names:
        raise ConfigurationError(
            f"the memory of session {conversation[-1]!r} has blocks ({', '.join(names)}), which "
            "are of one process: make it with them before the context that refers to it is read"
        )
    return memory


@dataclass
class Owned:
    """What a memory object knows of its blocks.

    Attributes:
        blocks: The blocks that belong to its conversation.
        has_stored_facts: Whether the store had facts of them when they were last read or written.
    """

    blocks: list[BaseMemoryBlock[Any]] = field(default_factory=list)
    has_stored_facts: bool = False


@dataclass(frozen=True)
class ConversationBlocks:
    """The memory blocks of a conversation.

    Args:
        blocks: The memory's list of blocks, which an application may extend.
        owned: What the memory object knows of them.
        connection: The connection to the memory's store.
        session_id: The conversation.
        ttl: The conversation's time to live in seconds.
    """

    blocks: list[BaseMemoryBlock[Any]]
    owned: Owned
    connection: Connection
    session_id: str
    ttl: float | None

    @property
    def scope(self) -> str:
        """The id of the conversation for blocks, unique across namespaces.

        Two namespaces may each have a session of the same name, and share a vector store.
        """
        return join_parts(self.connection.namespace, self.session_id)

    @property
    def facts_key(self) -> str:
        """The key that stores what the blocks have learned."""
        return facts_key(self.session_id)

    def own(self) -> None:
        """Replaces the blocks that learn with copies for this conversation, in place.

        An application creates a block once and a memory per user. What the block learns from one
        user must not reach another.
        """
        for i, block in enumerate(self.blocks):
            if any(block is one for one in self.owned.blocks):
                continue
            if isinstance(block, FactExtractionMemoryBlock):
                self.blocks[i] = block.model_copy(update={"facts": list(block.facts)})
            elif isinstance(block, BotWireMemoryBlock):
                self.blocks[i] = block.owned_by(self.connection, self.session_id, self.ttl)
            self.owned.blocks.append(self.blocks[i])

    async def recall(self) -> None:
        """Gives the blocks the facts that are stored."""
        self.own()
        if facts_of(self.blocks):
            stored = await self._memory.get(self.facts_key)
            if stored is not None:
                take_facts(self.blocks, stored)
            elif self.owned.has_stored_facts:  # another process has deleted the facts
                forget_facts(self.blocks)
            self.owned.has_stored_facts = stored is not None

    @asynccontextmanager
    async def claim(self) -> AsyncIterator[bool]:
        """Yields whether the caller may pass messages to the blocks; others may not meanwhile.

        The blocks get each message once, whichever object, task or process adds messages. A writer
        that finds the claim taken leaves the rest to the next write. If the holder of the claim
        dies, the claim expires.
        """
        key = key_of(CLAIMS, self.session_id)
        version: int | None = None
        with suppress(ConflictError):
            version = await self._memory.set(key, None, ttl=_CLAIM_SECONDS, if_version=0)
        try:
            yield version is not None
        finally:
            if version is not None:
                with suppress(ConflictError):
                    await self._memory.delete(key, if_version=version)

    async def give(self, messages: list[ChatMessage]) -> None:
        """Passes messages to the blocks, and stores the facts that they learn from them."""
        await self.recall()
        before = facts_of(self.blocks)
        blocks = (
            block.aput(messages, from_short_term_memory=True, session_id=self.scope)
            for block in self.blocks
        )
        await asyncio.gather(*blocks)
        if (after := facts_of(self.blocks)) != before:
            await self._memory.update(self.facts_key, merge_facts(before, after), default={})
            self.owned.has_stored_facts = True
            await self.renew()

    async def renew(self) -> None:
        """Extends the life of what the blocks have stored to that of the conversation."""
        if self.ttl is not None and facts_of(self.blocks):
            await renew_facts(self._memory, self.session_id, self.ttl)
        for block in self._recalling():
            await block.arenew()

    def reset(self) -> None:
        """Removes what the blocks know; the caller deletes the stored facts."""
        forget_facts(self.blocks)
        for block in self._recalling():
            block.reset()

    async def areset(self) -> None:
        """Like `reset`."""
        forget_facts(self.blocks)
        for block in self._recalling():
            await block.areset()

    @property
    def _memory(self) -> AsyncMemory:
        return self.connection.async_memory

    def _recalling(self) -> list[BotWireMemoryBlock]:
        return [block for block in self.blocks if isinstance(block, BotWireMemoryBlock)]
