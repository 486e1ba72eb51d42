"""Deletes any number of keys and histories, in requests that a server accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from botwire.client import AsyncMemory, Memory
from botwire.operations import PART
from botwire.splitting import in_batches


def delete_in_parts(memory: Memory, keys: Iterable[str], histories: Iterable[str] = ()) -> None:
    """Deletes histories, then keys, in the given order: up to 1,000 all or none, more in parts.

    A key that tells callers that the rest exists goes last. A call that failed midway can then be
    repeated.

    Args:
        memory: The memory to delete from.
        keys: The keys. Those that do not exist are ignored.
        histories: The names of histories, whose items and metadata are deleted.
    """
    for some_histories, some_keys in _parts(keys, histories):
        with memory.transaction() as transaction:
            for name in some_histories:
                transaction.history(name).clear()
            for key in some_keys:
                transaction.delete(key)


async def adelete_in_parts(
    memory: AsyncMemory, keys: Iterable[str], histories: Iterable[str] = ()
) -> None:
    """Like `delete_in_parts`."""
    for some_histories, some_keys in _parts(keys, histories):
        async with memory.transaction() as transaction:
            for name in some_histories:
                transaction.history(name).clear()
            for key in some_keys:
                transaction.delete(key)


def _parts(keys: Iterable[str], histories: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yields what each transaction deletes: names of histories, and keys."""
    named = [*((name, True) for name in histories), *((key, False) for key in keys)]
    for part in in_batches(named, PART, lambda one: len(one[0])):
        yield (
            [name for name, is_history in part if is_history],
            [name for name, is_history in part if not is_history],
        )
