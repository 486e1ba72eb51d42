"""How long a piece of work holds the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def longest_hold(work: Awaitable[T]) -> tuple[T, float]:
    """Returns what some work returns, and the longest time that others had to wait for it.

    In seconds of this thread's processor, so that a busy machine makes no difference.
    """
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
