"""Waiting for conditions without an event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 10.0


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Polls until a condition holds; raises `TimeoutError` after ten seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110 - a store that another one serves has no event
            await asyncio.sleep(0.01)
