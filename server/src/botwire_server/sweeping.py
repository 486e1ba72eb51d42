"""Periodic work: deletes expired data and old audit log entries, and records the store's size."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from botwire import operations as ops
from botwire.clock import DAY
from botwire.engines.protocol import AsyncEngine
from botwire.errors import BotWireError, ConflictError
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire_server.api_keys import KeyStore

logger = logging.getLogger("botwire.server")

SWEEP_SECONDS = 60.0
"""Seconds between two sweeps."""
SIZES = "sizes/"
"""The prefix of the keys in the system namespace that hold the store's size; the time follows."""
SIZE_HOURS = 6
"""Hours between two measurements of the store's size."""

_SIZES_TTL = 90 * 86_400.0
_HOUR = DAY // 24


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


async def note_size(engine: AsyncEngine, at: int) -> None:
    """Stores the size of the store, once per `SIZE_HOURS`.

    It names no namespace, so a forgotten namespace leaves no trace here.
    """
    key = f"{SIZES}{at - at % (SIZE_HOURS * _HOUR):020}"
    ((entry,),) = await engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.GetKeys((key,)),)))
    if entry is not None:
        return
    (stat,) = await engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.StatStore(),)))
    (usage,) = await engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.ListUsage(limit=1),)))
    put = ops.PutKey(key, Json.of([stat.bytes, usage.namespaces]), _SIZES_TTL, 0)
    with contextlib.suppress(ConflictError):  # another process has just done so
        await engine.apply(ops.Batch(SYSTEM_NAMESPACE, (put,)))


async def _sweep_for_ever(engine: AsyncEngine, keys: KeyStore, audit_days: int) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await engine.sweep()
            await note_size(engine, keys.clock())
            if audit_days:
                await keys.trim_audit(keys.clock() - audit_days * DAY)
        except BotWireError as error:
            logger.warning("expired data could not be deleted, retrying later: %s", error)
