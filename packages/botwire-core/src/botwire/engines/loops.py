"""What belongs to one event loop, and its blocking twin: clients, and turns of those who wait."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Hashable,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

_COURTESY = 1.0  # seconds that a thread waits for its turn

T = TypeVar("T")

_FULL = "too many long reads at the same time"
_MANY = 64  # rows that a generator of statements is sent by a thread


class Ended(NamedTuple):
    """What a generator has returned."""

    value: Any


def _send(steps: Generator[Any, Any, Any], rows: Any) -> Any:
    try:
        return steps.send(rows)
    except StopIteration as stop:  # which no future can carry
        return Ended(stop.value)


class AsyncSender:
    """Sends rows to generators of statements, which may do much with them."""

    @staticmethod
    async def send(steps: Generator[Any, Any, Any], rows: Any, weight: int) -> Any:
        """Returns what a generator yields, or `Ended`; in a thread if there is much to do.

        Args:
            steps: The generator.
            rows: What it is sent.
            weight: How many rows it looks at.
        """
        if weight < _MANY:
            return _send(steps, rows)
        return await asyncio.to_thread(_send, steps, rows)


class Sender:
    """The blocking twin: the thread is the caller's."""

    @staticmethod
    def send(steps: Generator[Any, Any, Any], rows: Any, weight: int) -> Any:
        """Returns what a generator yields, or `Ended`."""
        return _send(steps, rows)


class AsyncGate:
    """Lets so many through at a time.

    Args:
        width: How many.
    """

    def __init__(self, width: int) -> None:
        self._free = asyncio.Semaphore(width)

    @asynccontextmanager
    async def passing(self, seconds: float) -> AsyncIterator[None]:
        """Waits for a place; raises `TimeoutError` if that takes longer."""
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
        width: How many.
    """

    def __init__(self, width: int) -> None:
        self._free = threading.Semaphore(width)

    @contextmanager
    def passing(self, seconds: float) -> Iterator[None]:
        """Waits for a place; raises `TimeoutError` if that takes longer."""
        if not self._free.acquire(timeout=max(0.0, seconds)):
            raise TimeoutError(_FULL)
        try:
            yield
        finally:
            self._free.release()


class AsyncClientPerLoop(Generic[T]):
    """Makes a client for each event loop that asks, and closes it when the loop ends.

    Args:
        make: Makes one.
        close: Closes one.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[Any]]) -> None:
        self._make = make
        self._close = close
        self._clients: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]
        ] = weakref.WeakKeyDictionary()

    async def get(self) -> T:
        """Returns the running loop's client."""
        loop = asyncio.get_running_loop()
        held = self._clients.get(loop)
        if held is None:
            client = self._make()
            guard = _closed_with_loop(client, self._close)
            held = self._clients[loop] = (client, guard)
            await anext(guard)
        return held[0]

    @asynccontextmanager
    async def use(self) -> AsyncIterator[T]:
        """Gives the running loop's client to a block."""
        yield await self.get()

    async def close(self) -> None:
        """Closes the running loop's client, if it has one; the next `get` makes another."""
        held = self._clients.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()


async def _closed_with_loop(
    client: T, close: Callable[[T], Awaitable[Any]]
) -> AsyncGenerator[None]:
    # `asyncio.run` closes every generator that was begun in its loop: nobody else says that a loop
    # ends, and a connection left open is a warning for the user, who never saw it.
    try:
        yield
    finally:
        await close(client)


class ClientPerLoop(Generic[T]):
    """The blocking twin: one client for all threads of a process, and a new one after a fork.

    Args:
        make: Makes one.
        close: Closes one.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Any]) -> None:
        self._make = make
        self._close = close
        self._client: T | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._users: set[int] = set()  # threads

    def get(self) -> T:
        """Returns the client."""
        client = self._client
        if client is None or self._process != os.getpid():
            with self._lock:
                if self._client is None or self._process != os.getpid():
                    # The parent's connections are the parent's: dropped here, not closed.
                    self._client, self._process = self._make(), os.getpid()
                client = self._client
        return client

    @contextmanager
    def use(self) -> Iterator[T]:
        """Gives the client to a block.

        A call that cuts into another of the same thread, as a signal handler's or a finalizer's
        does, gets a client of its own: the locks that the first one holds would never be released.
        """
        thread = threading.get_ident()
        if thread in self._users:
            client = self._make()
            try:
                yield client
            finally:
                self._close(client)
            return
        self._users.add(thread)
        try:
            yield self.get()
        finally:
            self._users.discard(thread)

    def close(self) -> None:
        """Closes the client, if there is one; the next `get` makes another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            self._close(client)

    def __del__(self) -> None:
        self.close()


class AsyncTurns:
    """Lets tasks of one loop that want the same thing have it one after the other, as they came."""

    def __init__(self) -> None:
        self._queues: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Queue] = {}

    @asynccontextmanager
    async def take(self, thing: Hashable) -> AsyncIterator[None]:
        """Waits for a turn, which lasts as long as the block."""
        key = (asyncio.get_running_loop(), thing)
        queue = self._queues.setdefault(key, _Queue(asyncio.Lock()))
        queue.length += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[key]


class Turns:
    """The blocking twin, for threads.

    A courtesy, and no guarantee: who has waited for a second goes on all the same. So two threads
    that want the same two things, each in its own order, do not wait for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._queues: dict[Hashable, _Queue] = {}

    @contextmanager
    def take(self, thing: Hashable) -> Iterator[None]:
        """Waits for a turn, which lasts as long as the block."""
        with self._lock:
            queue = self._queues.setdefault(thing, _Queue(threading.RLock()))
            queue.length += 1
        has_turn = False
        try:
            has_turn = queue.lock.acquire(timeout=_COURTESY)
            yield
        finally:
            if has_turn:
                queue.lock.release()
            with self._lock:
                queue.length -= 1
                if not queue.length:
                    self._queues.pop(thing, None)


class _Queue:
    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.length = 0  # of those who have the lock or wait for it
