"""Waiting for what no event tells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 10.0


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Asks until it is so; `TimeoutError` if it is not after ten seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110 - a store that another one serves has no event
            await asyncio.sleep(0.01)
