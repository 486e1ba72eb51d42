"""An asynchronous engine that runs any blocking engine in threads."""

from __future__ import annotations

from botwire.engines.protocol import Engine
from botwire.operations import Batch, Results
from botwire.threads import in_thread


class ThreadedEngine:
    """Runs an `Engine` without an asynchronous half, such as a user's own, in threads.

    Args:
        engine: The engine that applies batches. Closed with this one.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result per operation; see `Engine.apply`."""
        return await in_thread(self.engine.apply, batch)

    async def sweep(self) -> None:
        """Removes expired data; see `Engine.sweep`."""
        await in_thread(self.engine.sweep)

    async def aclose(self) -> None:
        """Closes the blocking engine; see `Engine.close`."""
        await in_thread(self.engine.close)
