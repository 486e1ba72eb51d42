"""Waits for changes: writes of this process wake waiters, and polls find those of others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from botwire import operations as ops
from botwire.errors import QuotaExceededError

LOOK_EVERY = 0.5
"""Seconds between polls for changes by other processes."""

Read = Callable[[int | None], Awaitable[ops.ChangePage]]
"""Reads the changes after a revision."""

_RETRY_SECONDS = 5.0  # a stream may have ended by then


class Watchers:
    """The requests of this process that wait for changes, by namespace."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._streams: Counter[object] = Counter()
        self._closed = False

    def begin_stream(self, caller: object, most: int) -> None:
        """Counts a stream that a caller opens; `end_stream` must follow.

        Raises:
            QuotaExceededError: The caller already has the maximum open.
        """
        if self._streams[caller] >= most:
            raise QuotaExceededError(
                f"you have {most:,} watch streams open here, as many as you may: close one, or "
                "watch several names with one stream and a shorter prefix",
                retry_after=_RETRY_SECONDS,
            )
        self._streams[caller] += 1

    def end_stream(self, caller: object) -> None:
        """Counts a stream that has ended."""
        self._streams[caller] -= 1
        if not self._streams[caller]:
            del self._streams[caller]

    def wake(self, namespace: str) -> None:
        """Wakes the waiters of a namespace after this process changed it."""
        for event in self._waiting.get(namespace, ()):
            event.set()

    def close(self) -> None:
        """Ends all waiting permanently, because the server stops."""
        self._closed = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def follow(self, namespace: str, after: int, read: Read) -> AsyncIterator[ops.ChangePage]:
        """Yields pages of changes until `close`; after a while without any, an empty page.

        Args:
            namespace: The namespace to watch.
            after: The revision after which to begin.
            read: Reads the changes.
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
