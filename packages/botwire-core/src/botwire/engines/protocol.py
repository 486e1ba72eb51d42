"""What an engine is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from botwire.operations import Batch, Results

OnCommit = Callable[[int, float], None]
"""Is told of each commit: how many batches shared it, and the seconds that it took."""


class Engine(Protocol):
    """Applies batches of operations, each all or not at all, and may be used by many threads."""

    def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result an operation.

        A write is durable when this returns.

        Raises:
            APIError: The batch was refused or failed; nothing of it was applied.
            TransportError: No answer came; a batch with a `request_id` may be tried again.
        """
        ...

    def sweep(self) -> None:
        """Removes what expired, which no read shows; also done now and then by those who write.

        Raises:
            ServerError: The database failed; the next sweep goes on.
        """
        ...

    def close(self) -> None:
        """Gives back connections. Stored memory stays."""
        ...


class AsyncEngine(Protocol):
    """An `Engine` whose methods are awaited."""

    async def apply(self, batch: Batch) -> Results:
        """As `Engine.apply`."""
        ...

    async def sweep(self) -> None:
        """As `Engine.sweep`."""
        ...

    async def aclose(self) -> None:
        """As `Engine.close`."""
        ...
