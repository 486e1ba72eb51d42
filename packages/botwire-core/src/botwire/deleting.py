"""Deletes any number of keys and histories, in requests that a server accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from botwire.client import AsyncMemory, Memory
from botwire.operations import PART
from botwire.splitting import in_batches


def delete_in_steps(memory: Memory, keys: Iterable[str], histories: Iterable[str] = ()) -> None:
    """Deletes histories, then keys: up to 1,000 all or none, more in this order in several steps.

    So a key that says that all of it exists goes last: an interrupted call can be repeated.
    """
    for some_histories, some_keys in _steps(keys, histories):
        with memory.transaction() as transaction:
            for name in some_histories:
                transaction.history(name).clear()
            for key in some_keys:
                transaction.delete(key)


async def adelete_in_steps(
    memory: AsyncMemory, keys: Iterable[str], histories: Iterable[str] = ()
) -> None:
    """Like `delete_in_steps`."""
    for some_histories, some_keys in _steps(keys, histories):
        async with memory.transaction() as transaction:
            for name in some_histories:
                transaction.history(name).clear()
            for key in some_keys:
                transaction.delete(key)


def _steps(keys: Iterable[str], histories: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yields what to delete in each step: the names of histories, and keys."""
    named = [*((name, True) for name in histories), *((key, False) for key in keys)]
    for step in in_batches(named, PART, lambda one: len(one[0])):
        yield (
            [name for name, is_history in step if is_history],
            [name for name, is_history in step if not is_history],
        )
