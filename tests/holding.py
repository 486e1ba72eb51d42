"""Measures how long work blocks the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def longest_hold(work: Awaitable[T]) -> tuple[T, float]:
    """Returns a result, and the longest time that its work blocked others, in CPU seconds."""
    longest, done = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not done.is_set():
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        return await work, longest
    finally:
        done.set()
        await watcher
