"""Deletes any number of keys, in requests that a server accepts."""

from __future__ import annotations

from collections.abc import Iterable

from botwire.client import AsyncMemory, Memory
from botwire.operations import PART
from botwire.splitting import in_batches


def delete_keys(memory: Memory, keys: Iterable[str]) -> None:
    """Deletes keys in this order: up to 1,000 all or none, more in several steps."""
    for batch in in_batches(keys, PART, len):
        with memory.transaction() as transaction:
            for key in batch:
                transaction.delete(key)


async def adelete_keys(memory: AsyncMemory, keys: Iterable[str]) -> None:
    """Like `delete_keys`."""
    for batch in in_batches(keys, PART, len):
        async with memory.transaction() as transaction:
            for key in batch:
                transaction.delete(key)
