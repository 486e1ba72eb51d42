"""Tools, and the ways in which a run can end inside a tool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any


async def quick() -> str:
    """A tool that answers at once."""
    return "found"


_Run = Callable[[Callable[[], Awaitable[str]]], Awaitable[Any]]


async def fail(run: _Run) -> None:
    """Makes the tool raise an error."""

    async def tool() -> str:
        raise ArithmeticError("the tool failed")

    with suppress(Exception):  # some frameworks tell the model
        await run(tool)


async def cancel(run: _Run) -> None:
    """Cancels the run while its tool is at work."""
    task = await _held_in_tool(run)
    task.cancel()
    await _end_of(task)


async def abandon(run: _Run) -> None:
    """Cancels the run again and again while it cleans up.

    AnyIO does so, and thus Starlette, when the client of a streaming response leaves.
    """
    task = await _held_in_tool(run)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    await _end_of(task)


async def time_out(run: _Run) -> None:
    """Lets the run exceed a time limit while its tool is at work."""

    async def tool() -> str:
        await asyncio.Event().wait()
        return "never"

    with suppress(TimeoutError):
        await asyncio.wait_for(run(tool), 0.5)


async def _held_in_tool(run: _Run) -> asyncio.Future[Any]:
    """Starts the run; returns once it is inside its tool, which never answers."""
    inside, never = asyncio.Event(), asyncio.Event()

    async def tool() -> str:
        inside.set()
        await never.wait()
        return "never"

    task = asyncio.ensure_future(run(tool))
    waiting = asyncio.ensure_future(inside.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert not task.done(), f"the tool was not called: {await task}"
    return task


async def _end_of(task: asyncio.Future[Any]) -> None:
    with suppress(asyncio.CancelledError, Exception):
        await task


ALL = (fail, cancel, time_out, abandon)
"""Each way in which a run ends without an answer."""
