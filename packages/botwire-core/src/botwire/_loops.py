"""Clients that belong to one event loop: an asynchronous connection must never change loops."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


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
        self._lock = threading.Lock()

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

    def close(self) -> None:
        """Closes the client, if there is one; the next `get` makes another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            self._close(client)

    def __del__(self) -> None:
        self.close()
