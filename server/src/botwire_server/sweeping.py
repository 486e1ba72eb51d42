"""Deletes expired data and old audit log entries, even while no client writes."""

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
"""Seconds between two sweeps."""


@contextlib.asynccontextmanager
async def sweeping(engine: AsyncEngine, keys: KeyStore, audit_days: int) -> AsyncIterator[None]:
    """Sweeps periodically during a block.

    Args:
        engine: The store.
        keys: The API keys of the store, with the audit log.
        audit_days: Days that entries stay in the audit log; 0: forever.
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
            logger.warning("expired data could not be deleted, retrying later: %s", error)
