"""The facts that a `FactExtractionMemoryBlock` learns; in LlamaIndex they end with the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from llama_index.core.memory import FactExtractionMemoryBlock
from llama_index.core.memory.memory import BaseMemoryBlock

from botwire import AsyncMemory, ConflictError
from botwire_llamaindex.kvstore import FACTS, key_of

Facts = dict[str, list[str]]
"""The facts of each block, by the block's name."""


def facts_key(session_id: str) -> str:
    """Returns the key that stores the facts of a session."""
    return key_of(FACTS, session_id)


def facts_of(blocks: Sequence[BaseMemoryBlock[Any]]) -> Facts:
    """Returns a copy of the facts that blocks hold."""
    return {block.name: list(block.facts) for block in _learning(blocks)}


def take_facts(blocks: Sequence[BaseMemoryBlock[Any]], stored: Facts) -> None:
    """Replaces the facts that blocks hold with the stored ones."""
    for block in _learning(blocks):
        if block.name in stored:
            block.facts = list(stored[block.name])


def forget_facts(blocks: Sequence[BaseMemoryBlock[Any]]) -> None:
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


def _learning(blocks: Sequence[BaseMemoryBlock[Any]]) -> list[FactExtractionMemoryBlock]:
    return [block for block in blocks if isinstance(block, FactExtractionMemoryBlock)]
