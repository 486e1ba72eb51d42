"""The protocols that an engine implements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol, runtime_checkable

from botwire.operations import Batch, ChangePage, Results

OnCommit = Callable[[int, float], None]
"""Called after each commit with the number of batches that shared it and the seconds it took."""


class Engine(Protocol):
    """Applies batches of operations, each atomically. Safe to use from many threads."""

    def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result per operation.

        A write is durable when this returns.

        Raises:
            APIError: The batch was refused or failed; none of it was applied.
            TransportError: No answer came; a batch with a `idempotency_id` can be retried safely.
        """
        ...

    def sweep(self) -> None:
        """Removes expired data, which reads no longer return. Writers also do so from time to time.

        Raises:
            ServerError: The database failed; the next sweep continues.
        """
        ...

    def close(self) -> None:
        """Closes connections. Stored memory stays."""
        ...


class AsyncEngine(Protocol):
    """An `Engine` with asynchronous methods."""

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch; see `Engine.apply`."""
        ...

    async def sweep(self) -> None:
        """Removes expired data; see `Engine.sweep`."""
        ...

    async def aclose(self) -> None:
        """Closes connections; see `Engine.close`."""
        ...


@runtime_checkable
class Pushes(Protocol):
    """An `Engine` to which changes are pushed. Optional for engines."""

    def pushed(self, namespace: str, prefix: str, after: int) -> Iterator[ChangePage]:
        """Yields the changes after a revision as they happen; now and then, a page without any.

        Changes of names that do not start with the prefix may be left out. The revision of a page
        is the one after which to resume.

        It ends as soon as pushing is not possible or no longer works. Nothing is raised: whatever
        the reason is, a read will report it.
        """
        ...


@runtime_checkable
class AsyncPushes(Protocol):
    """An `AsyncEngine` to which changes are pushed; see `Pushes`."""

    def pushed(self, namespace: str, prefix: str, after: int) -> AsyncIterator[ChangePage]:
        """Yields the changes after a revision; see `Pushes.pushed`."""
        ...
