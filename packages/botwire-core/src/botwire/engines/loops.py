"""Clients and turns of an event loop, each with a blocking twin, and locks that survive a fork."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
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

from botwire.errors import ConfigurationError
from botwire.threads import running_loop

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


no_fork = threading.RLock()
"""Makes a fork by another thread wait for the end of a block, which must be short.

For blocks that import modules. A module has a lock while it is imported, and a child that imports
it too would wait for ever for the thread that it does not have.
"""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
    os.register_at_fork(
        before=no_fork.acquire,
        after_in_parent=no_fork.release,
        after_in_child=no_fork.release,
    )


class AsyncClientPerLoop(Generic[T]):
    """Creates one client per event loop and closes it when the loop ends.

    Args:
        make: Creates a client.
        close: Closes a client.
        abandon: Not used; the blocking twin has interrupts.
        expected: Not used either.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[Any]],
        *,
        abandon: Callable[[T], object] | None = None,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._make = make
        self._close = close
        self._clients: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]
        ] = weakref.WeakKeyDictionary()

    async def get(self) -> T:
        """Returns the running loop's client."""
        loop = running_loop()
        held = self._clients.get(loop)
        if held is None:
            with no_fork:
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
        held = self._clients.pop(running_loop(), None)
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
        try:
            running_loop()
        except ConfigurationError:
            # A loop that just stops, as with nest_asyncio, leaves this to the garbage collector,
            # which runs it in none.
            pass
        else:
            await close(client)


class ClientPerLoop(Generic[T]):
    """The blocking twin: a client for the threads of a process, and new ones in a forked child.

    Python raises interrupts (Ctrl-C, what a signal handler raises) in the main thread. One that
    strikes between two bytecodes may leave a client with a lock that nobody holds, so the main
    thread has a client of its own, which is dropped then; the other threads share one. A client
    whose connections can be ended without its locks is closed by another thread, because the main
    thread would wait for such a lock.

    Args:
        make: Creates a client.
        close: Closes a client.
        abandon: Ends the connections of a client that is dropped, without waiting for its locks.
        survives_interrupts: Whether interrupts do no harm, so that all threads share one client.
        expected: The errors that a client raises by itself. Any other one may be an interrupt,
            because a signal handler may raise anything.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Any],
        *,
        abandon: Callable[[T], object] | None = None,
        survives_interrupts: bool = False,
        expected: tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        self._make = make
        self._close = close
        self._abandon = abandon
        self._survives_interrupts = survives_interrupts
        self._expected = expected
        self._kept = _Kept(close)
        self.renew()
        renew_in_child(self)
        # Not `__del__`: in a reference cycle, a client's socket may be collected before this object
        # and warn that it is not closed. A finalizer runs before anything of a cycle is collected.
        weakref.finalize(self, self._kept.close)

    def renew(self) -> None:
        """Replaces the locks; a child does so after a fork."""
        self._lock = threading.RLock()
        self._users: set[int] = set()  # ids of threads inside `use`

    def get(self) -> T:
        """Returns the client of this thread."""
        own, kept = self._has_own(), self._kept
        client = kept.clients.get(own)
        if client is None or kept.process != os.getpid():
            client = None  # a dropped client is gone at once
            with self._lock:
                if kept.process != os.getpid():
                    self._drop(*kept.clients)  # the parent still uses them
                    kept.process = os.getpid()
                client = kept.clients.get(own)
                if client is None:
                    with no_fork:  # httpx imports its parts when they are first used
                        client = kept.clients[own] = self._make()
        return client

    def _has_own(self) -> bool:
        if self._survives_interrupts:
            return False
        return threading.get_ident() == threading.main_thread().ident

    def _drop(self, *owns: bool) -> None:
        """Drops clients without closing them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # about sockets that were not closed
            for own in owns:
                self._kept.clients.pop(own, None)

    def _drop_own(self) -> None:
        """Drops the main thread's client; closing it might wait for a lock that nobody holds."""
        client = self._kept.clients.get(True)
        try:
            self._abandon_if_any(client)
        except BaseException:  # a second interrupt
            self._abandon_if_any(client)
            raise
        finally:
            self._drop(True)

    def _abandon_if_any(self, client: T | None) -> None:
        if self._abandon is not None and client is not None:
            self._abandon(client)
            # Otherwise its threads would never end, or its finalizer would wait for them here.
            with contextlib.suppress(RuntimeError):  # no thread starts while the interpreter ends
                threading.Thread(target=self._close, args=(client,), daemon=True).start()

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
        handled = sys.exception()  # by the caller, for whatever this thread was doing before
        is_intact = False
        try:
            self._users.add(thread)
            yield self.get()
            is_intact = True
        except BaseException as error:
            interrupt = _interrupt_in(error, handled)
            is_intact = interrupt is None and isinstance(error, self._expected)
            if interrupt is None or interrupt is error:
                raise
            raise interrupt from None
        finally:
            try:
                self._users.discard(thread)
            finally:
                # Here, so that a second interrupt, in the lines above, changes nothing.
                if not is_intact and self._has_own():
                    self._drop_own()

    def close(self) -> None:
        """Closes the clients, if any. The next `get` makes a new one."""
        with self._lock:
            clients = self._kept.take()
        for client in clients:
            self._close(client)


class _Kept(Generic[T]):
    """The clients of a `ClientPerLoop`, which are closed after it has gone.

    Attributes:
        clients: By whether a client is the main thread's own.
        process: The process that made them.
    """

    def __init__(self, close: Callable[[T], Any]) -> None:
        self._close = close
        self.clients: dict[bool, T] = {}
        self.process = os.getpid()

    def take(self) -> list[T]:
        """Returns the clients to close, and forgets all; a forked child closes none."""
        clients = [self.clients.pop(own) for own in list(self.clients)]
        return clients if self.process == os.getpid() else []

    def close(self) -> None:
        """Closes the clients."""
        for client in self.take():
            self._close(client)


def _interrupt_in(error: BaseException, handled: BaseException | None) -> BaseException | None:
    """Returns the interrupt that led to an error, such as that a lock is not held any more."""
    found: BaseException | None = error
    while found is not None and found is not handled:
        if not isinstance(found, Exception):
            return found
        found = found.__context__
    return None


class AsyncTurns:
    """Gives tasks of one loop that want the same thing their turns, in order of arrival."""

    def __init__(self) -> None:
        self._queues: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Queue] = {}

    @asynccontextmanager
    async def take(self, thing: Hashable) -> AsyncIterator[None]:
        """Waits for a turn, which lasts for the block."""
        key = (running_loop(), thing)
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
