"""What expired is removed, also while nobody writes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from botwire.engines.protocol import AsyncEngine
from botwire.errors import BotWireError

logger = logging.getLogger("botwire.server")

SWEEP_SECONDS = 60.0
"""How long a server waits between two sweeps."""


@contextlib.asynccontextmanager
async def sweeping(engine: AsyncEngine) -> AsyncIterator[None]:
    """Sweeps from time to time while its block runs."""
    task = asyncio.create_task(_sweep_for_ever(engine))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _sweep_for_ever(engine: AsyncEngine) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await engine.sweep()
        except BotWireError as error:
            logger.warning("what expired could not be removed now: %s", error)
