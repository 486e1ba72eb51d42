"""What expired is removed, also while nobody writes, and what the audit log need not keep."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from botwire.engines.protocol import AsyncEngine
from botwire.errors import BotWireError
from botwire.operations.terms import DAY
from botwire_server.api_keys import KeyStore

logger = logging.getLogger("botwire.server")

SWEEP_SECONDS = 60.0
"""How long a server waits between two sweeps."""


@contextlib.asynccontextmanager
async def sweeping(engine: AsyncEngine, keys: KeyStore, audit_days: int) -> AsyncIterator[None]:
    """Sweeps from time to time while its block runs.

    Args:
        engine: Where memory lives.
        keys: What writes the audit log.
        audit_days: For how many days that log keeps a line; 0 is for ever.
    """
    task = asyncio.create_task(_sweep_for_ever(engine, keys, audit_days))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _sweep_for_ever(engine: AsyncEngine, keys: KeyStore, audit_days: int) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await engine.sweep()
            if audit_days:
                await keys.trim_audit(keys.clock() - audit_days * DAY)
        except BotWireError as error:
            logger.warning("what expired could not be removed now: %s", error)
