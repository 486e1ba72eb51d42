"""Any engine, awaited: each call runs in a thread."""

from __future__ import annotations

import asyncio

from botwire.engines.protocol import Engine
from botwire.operations import Batch, Results


class ThreadedEngine:
    """Awaits an `Engine` that has no asynchronous twin, such as one of the user's own.

    Args:
        engine: Where batches are applied; closed with this.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result an operation; see `Engine.apply`."""
        return await asyncio.to_thread(self.engine.apply, batch)

    async def sweep(self) -> None:
        """Removes what expired; see `Engine.sweep`."""
        await asyncio.to_thread(self.engine.sweep)

    async def aclose(self) -> None:
        """Closes the engine behind; see `Engine.close`."""
        await asyncio.to_thread(self.engine.close)
