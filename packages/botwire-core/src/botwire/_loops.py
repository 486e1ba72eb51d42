"""Clients that belong to one event loop: an asynchronous connection must never change loops."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class AsyncClientPerLoop(Generic[T]):
    """Makes a client for each event loop that asks, and forgets it with the loop.

    Args:
        make: Makes one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, T] = (
            weakref.WeakKeyDictionary()
        )

    def get(self) -> T:
        """Returns the running loop's client."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = self._make()
        return client

    def pop(self) -> T | None:
        """Takes the running loop's client out, if it has one."""
        return self._clients.pop(asyncio.get_running_loop(), None)


class ClientPerLoop(Generic[T]):
    """The blocking twin: one client for all threads of a process, and a new one after a fork.

    Args:
        make: Makes one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
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

    def pop(self) -> T | None:
        """Takes the client out, if there is one."""
        client, self._client = self._client, None
        return client
