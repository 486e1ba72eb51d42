"""What the PostgreSQL engine does in an event loop, each with a blocking twin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import (
    AsyncIterator,
    Generator,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from botwire.threads import in_thread

_FULL = "too many long reads run at the same time"
_MANY = 64  # rows above which a generator of statements runs in a thread


class Ended(NamedTuple):
    """The return value of a generator."""

    value: Any


def _send(steps: Generator[Any, Any, Any], rows: Any) -> Any:
    try:
        return steps.send(rows)
    except StopIteration as stop:  # a future cannot carry this exception
        return Ended(stop.value)


class AsyncSender:
    """Sends rows to generators of statements, which may take long to process them."""

    @staticmethod
    async def send(steps: Generator[Any, Any, Any], rows: Any, weight: int) -> Any:
        """Returns what the generator yields next, or `Ended`; heavy work runs in a thread.

        Args:
            steps: The generator.
            rows: The rows to send.
            weight: The work to expect, in rows.
        """
        if weight < _MANY:
            return _send(steps, rows)
        return await in_thread(_send, steps, rows)


class Sender:
    """The blocking twin: it runs in the caller's thread."""

    @staticmethod
    def send(steps: Generator[Any, Any, Any], rows: Any, weight: int) -> Any:
        """Returns what the generator yields next, or `Ended`."""
        return _send(steps, rows)


class AsyncTasks:
    """The queue of a pool's worker, which ends the worker if it was cancelled.

    psycopg's worker survives being cancelled while it connects: it logs that as an error and waits
    for the next task. `asyncio.run` would then wait for it for ever.

    Args:
        queue: The pool's own queue.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    async def get(self) -> Any:
        """Returns the next task."""
        worker = asyncio.current_task()
        if worker is not None and worker.cancelling():
            raise asyncio.CancelledError
        return await self._queue.get()


class Tasks:
    """The blocking twin: nobody cancels a thread.

    Args:
        queue: The pool's own queue.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def get(self) -> Any:
        """Returns the next task."""
        return self._queue.get()


class AsyncGate:
    """Limits how many blocks run at a time.

    Args:
        width: The limit.
    """

    def __init__(self, width: int) -> None:
        self._free = asyncio.Semaphore(width)

    @asynccontextmanager
    async def passing(self, seconds: float) -> AsyncIterator[None]:
        """Waits until the block may run; raises `TimeoutError` after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            raise TimeoutError(_FULL) from None
        try:
            yield
        finally:
            self._free.release()


class Gate:
    """The blocking twin.

    Args:
        width: The limit.
    """

    def __init__(self, width: int) -> None:
        self._free = threading.Semaphore(width)

    @contextmanager
    def passing(self, seconds: float) -> Iterator[None]:
        """Waits until the block may run; raises `TimeoutError` after `seconds`."""
        if not self._free.acquire(timeout=max(0.0, seconds)):
            raise TimeoutError(_FULL)
        try:
            yield
        finally:
            self._free.release()
