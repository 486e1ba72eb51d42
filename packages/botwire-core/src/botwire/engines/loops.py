"""Clients, gates and turns that are bound to an event loop, each with a blocking twin."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
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
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

_LONGEST_WAIT = 1.0  # seconds that a thread waits for its turn

T = TypeVar("T")

_FULL = "too many long reads run at the same time"
_MANY = 64  # rows above which a generator of statements runs in a thread


class Renewed(Protocol):
    """An object with locks, which a forked child must replace."""

    def renew(self) -> None:
        """Replaces the locks, and whatever another thread may have been changing."""


_renewed: weakref.WeakSet[Renewed] = weakref.WeakSet()


def renew_in_child(thing: Renewed) -> None:
    """Makes each forked child call `thing.renew`.

    A lock that another thread holds during the fork stays locked in the child for ever.
    """
    _renewed.add(thing)


def _renew_all() -> None:
    for thing in list(_renewed):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


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
        return await asyncio.to_thread(_send, steps, rows)


class Sender:
    """The blocking twin: it runs in the caller's thread."""

    @staticmethod
    def send(steps: Generator[Any, Any, Any], rows: Any, weight: int) -> Any:
        """Returns what the generator yields next, or `Ended`."""
        return _send(steps, rows)


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


class AsyncClientPerLoop(Generic[T]):
    """Creates one client per event loop and closes it when the loop ends.

    Args:
        make: Creates a client.
        close: Closes a client.
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
        """Lends the running loop's client to a block."""
        yield await self.get()

    async def close(self) -> None:
        """Closes the running loop's client, if any. The next `get` makes a new one."""
        held = self._clients.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()


async def _closed_with_loop(
    client: T, close: Callable[[T], Awaitable[Any]]
) -> AsyncGenerator[None]:
    # `asyncio.run` closes every generator started in its loop. There is no other notice that a loop
    # ends, and a connection left open would give the user a warning about an object they never saw.
    try:
        yield
    finally:
        await close(client)


class ClientPerLoop(Generic[T]):
    """The blocking twin: one client for all threads of a process, and a new one in a forked child.

    Args:
        make: Creates a client.
        close: Closes a client.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Any]) -> None:
        self._make = make
        self._close = close
        self._client: T | None = None
        self._process = os.getpid()
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Replaces the locks; a child does so after a fork."""
        self._lock = threading.RLock()
        self._users: set[int] = set()  # ids of threads inside `use`

    def get(self) -> T:
        """Returns the client."""
        client = self._client
        if client is None or self._process != os.getpid():
            client = None
            with self._lock:
                if self._process != os.getpid():
                    self._drop()
                if self._client is None:
                    self._client = self._make()
                client = self._client
        return client

    def _drop(self) -> None:
        """Drops the parent process's client without closing it: the parent still uses it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # about sockets that were not closed
            self._client, self._process = None, os.getpid()

    @contextmanager
    def use(self) -> Iterator[T]:
        """Lends the client to a block.

        A signal handler or a finalizer may call this while its own thread is inside another call.
        It gets a client of its own, because the interrupted call cannot release its locks.
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
        """Closes the client, if any. The next `get` makes a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            self._close(client)

    def __del__(self) -> None:
        self.close()


class AsyncTurns:
    """Gives tasks of one loop that want the same thing their turns, in order of arrival."""

    def __init__(self) -> None:
        self._queues: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Queue] = {}

    @asynccontextmanager
    async def take(self, thing: Hashable) -> AsyncIterator[None]:
        """Waits for a turn, which lasts for the block."""
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

    Best effort: a thread that has waited for a second proceeds without its turn. So two threads
    that want the same two things in opposite order do not deadlock.
    """

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Forgets who waits; a child does so after a fork."""
        self._lock = threading.RLock()
        self._queues: dict[Hashable, _Queue] = {}

    @contextmanager
    def take(self, thing: Hashable) -> Iterator[None]:
        """Waits for a turn, which lasts for the block."""
        with self._lock:
            queue = self._queues.setdefault(thing, _Queue(threading.RLock()))
            queue.length += 1
        has_turn = False
        try:
            has_turn = queue.lock.acquire(timeout=_LONGEST_WAIT)
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
        self.length = 0  # how many hold the lock or wait for it
