"""Calls functions in worker threads of an event loop, also while the interpreter ends.

Python starts no more threads then, but a function registered with `atexit` may still run an event
loop, for example to store how a program ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from botwire.errors import ConfigurationError

T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop:
    """Returns the event loop of the caller.

    Raises:
        ConfigurationError: It is none of asyncio, but for example Trio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "asynchronous memory needs asyncio, and no event loop of asyncio runs here: call a "
            "blocking Memory in a thread (Trio: trio.to_thread.run_sync)"
        ) from None


async def in_thread(
    function: Callable[..., T], *arguments: Any, threads: Executor | None = None
) -> T:
    """Returns the result of a function, called in a thread if one can be had.

    Args:
        function: The function.
        *arguments: Its arguments.
        threads: The threads to use. None: those of the event loop, in a copy of the caller's
            context.
    """
    call = functools.partial(function, *arguments)
    if threads is None:
        call = functools.partial(contextvars.copy_context().run, call)
    loop = running_loop()
    try:
        future = loop.run_in_executor(threads, call)
    except RuntimeError:  # the interpreter ends, or others have closed the threads
        return call()
    return await future
