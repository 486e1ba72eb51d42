"""Memory blocks: finding a process's blocks again for its contexts, and storing learned facts.

LlamaIndex does neither: a reused context loses a memory that has blocks, and the facts that a
`FactExtractionMemoryBlock` has found end with the process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from llama_index.core.memory import FactExtractionMemoryBlock
from llama_index.core.memory.memory import BaseMemoryBlock

from botwire import AsyncMemory, ConfigurationError, ConflictError
from botwire.connection import Connection
from botwire_llamaindex.kvstore import CLAIMS, FACTS, key_of
from botwire_llamaindex.recall import BotWireMemoryBlock

Blocks = Sequence[BaseMemoryBlock[Any]]
Facts = dict[str, list[str]]
"""The facts of each block, by the block's name."""

CLAIM_SECONDS = 120.0
"""How long a writer that passes messages to memory blocks keeps others from doing the same; a block
may ask a model for each batch."""

_REMEMBERED = 1_000
_known: OrderedDict[tuple[str | None, ...], Any] = OrderedDict()
_lock = threading.Lock()


def remember_owner(conversation: tuple[str | None, ...], memory: Any) -> None:
    """Remembers a memory with blocks, for contexts that only refer to its conversation."""
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


def own_blocks(
    blocks: list[BaseMemoryBlock[Any]],
    owned: list[BaseMemoryBlock[Any]],
    connection: Connection,
    session_id: str,
    ttl: float | None,
) -> None:
    """Replaces the blocks that learn with copies for one conversation, in place.

    An application creates a block once and a memory per user. What the block learns from one user
    must not reach another.

    Args:
        blocks: The blocks of a memory.
        owned: The copies that the memory has made, to which this adds.
        connection: The connection to the memory's store.
        session_id: The conversation.
        ttl: The conversation's time to live.
    """
    for i, block in enumerate(blocks):
        if any(block is one for one in owned):
            continue
        if isinstance(block, FactExtractionMemoryBlock):
            blocks[i] = block.model_copy(update={"facts": list(block.facts)})
        elif isinstance(block, BotWireMemoryBlock):
            blocks[i] = block.owned_by(connection, session_id, ttl)
        owned.append(blocks[i])


def recalling(blocks: Blocks) -> list[BotWireMemoryBlock]:
    """Returns the blocks that store messages on BotWire."""
    return [block for block in blocks if isinstance(block, BotWireMemoryBlock)]


def claim_key(session_id: str) -> str:
    """Returns the key that exists while memory blocks receive messages of a session."""
    return key_of(CLAIMS, session_id)


def facts_key(session_id: str) -> str:
    """Returns the key that stores the facts of a session."""
    return key_of(FACTS, session_id)


def facts_of(blocks: Blocks) -> Facts:
    """Returns a copy of the facts that blocks hold."""
    return {block.name: list(block.facts) for block in _learning(blocks)}


def take_facts(blocks: Blocks, stored: Facts) -> None:
    """Replaces the facts that blocks hold with the stored ones."""
    for block in _learning(blocks):
        if block.name in stored:
            block.facts = list(stored[block.name])


def forget_facts(blocks: Blocks) -> None:
    """Removes all facts from the blocks."""
    for block in _learning(blocks):
        block.facts = []


def merge_facts(before: Facts, after: Facts) -> Callable[[Facts], Facts]:
    """Returns a function that updates stored facts with what this process has learned.

    Facts that another process has learned meanwhile stay.

    Args:
        before: The facts that this process had read.
        after: The facts that it knows now.
    """

    def merge(stored: Facts) -> Facts:
        merged = dict(stored)
        for name, facts in after.items():
            known = {*facts, *before.get(name, ())}
            merged[name] = [*facts, *(fact for fact in stored.get(name, ()) if fact not in known)]
        return merged

    return merge


async def renew_facts(memory: AsyncMemory, session_id: str, ttl: float) -> None:
    """Extends the life of a session's facts to that of its messages, after a message was written.

    Args:
        memory: The memory that holds the facts.
        session_id: The session.
        ttl: Seconds until the facts expire.
    """
    key = facts_key(session_id)
    entry = await memory.entry(key)
    if entry is not None:
        with suppress(ConflictError):  # another process has just written the facts and renews them
            await memory.set(key, entry.value, ttl=ttl, if_version=entry.version)


def _learning(blocks: Blocks) -> list[FactExtractionMemoryBlock]:
    return [block for block in blocks if isinstance(block, FactExtractionMemoryBlock)]
