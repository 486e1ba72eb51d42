"""Who waits for changes is woken by those of this process, and looks now and then for others'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from botwire import operations as ops

LOOK_EVERY = 0.5
"""Seconds between looks for what other processes changed."""

Read = Callable[[int | None], Awaitable[ops.ChangePage]]
"""Reads the changes after a revision."""


class Watchers:
    """Those who wait in this process, by namespace."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    def wake(self, namespace: str) -> None:
        """Says that this process changed a namespace."""
        for event in self._waiting.get(namespace, ()):
            event.set()

    def close(self) -> None:
        """Ends every wait, for good: the server stops."""
        self._closed = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def follow(self, namespace: str, after: int, read: Read) -> AsyncIterator[ops.ChangePage]:
        """Yields pages of changes, and an empty one when a while brought none, until `close`.

        Args:
            namespace: Whose changes.
            after: Begin after this revision.
            read: Reads them.
        """
        with self._wait(namespace) as event:
            while not self._closed:
                event.clear()
                page = await read(after)
                yield page
                if page.changes:
                    after = page.changes[-1].revision
                elif not self._closed:
                    try:
                        async with asyncio.timeout(LOOK_EVERY):
                            await event.wait()
                    except TimeoutError:
                        continue

    @contextmanager
    def _wait(self, namespace: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        waiting = self._waiting.setdefault(namespace, set())
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.remove(event)
            if not waiting and self._waiting.get(namespace) is waiting:
                del self._waiting[namespace]
