"""Clients and turns of an event loop, each with a blocking twin, and locks that survive a fork."""

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
    Hashable,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, Protocol, TypeVar

_LONGEST_WAIT = 1.0  # seconds that a thread waits for its turn

T = TypeVar("T")


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


_undivided = threading.RLock()


@contextmanager
def no_fork() -> Iterator[None]:
    """Makes a fork by another thread wait for the end of a block, which must be short.

    For blocks that import modules. A module has a lock while it is imported, and a child that
    imports it too would wait for ever for the thread that it does not have.
    """
    with _undivided:
        yield


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
    os.register_at_fork(
        before=_undivided.acquire,
        after_in_parent=_undivided.release,
        after_in_child=_undivided.release,
    )


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
            with no_fork():
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
                    with no_fork():  # httpx imports its parts when they are first used
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
