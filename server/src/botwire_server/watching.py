"""Waits for changes: writes of this process wake watchers, and polls find those of others.

All watchers of a namespace in this process share one look, whatever protocol they use.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from botwire import operations as ops
from botwire.errors import BotWireError, QuotaExceededError
from botwire_server.metrics import Metrics

LOOK_EVERY = 0.5
"""Seconds between polls for changes by other processes."""
HEARTBEAT = 15.0
"""Seconds of silence after which a watcher gets an empty page."""

Read = Callable[[int | None], Awaitable[ops.ChangePage]]
"""Reads the changes after a revision."""
Look = Callable[[str, int], Awaitable[ops.ChangePage]]
"""Reads the changes of a namespace after a revision, for all its watchers."""
Check = Callable[[], Awaitable[None]]
"""Raises `BotWireError` if a watcher may no longer watch."""

_KEPT = 1_000  # changes of a namespace kept in memory; a slower watcher reads the store
_RETRY_SECONDS = 5.0  # a stream may have ended by then


class Watchers:
    """The requests of this process that wait for changes.

    Args:
        look: Reads changes for all watchers of a namespace.
        metrics: Counts open streams.
    """

    def __init__(self, look: Look, metrics: Metrics) -> None:
        self._look = look
        self._metrics = metrics
        self._feeds: dict[str, _Feed] = {}
        self._streams: Counter[object] = Counter()
        self._closed = False

    def begin_stream(self, caller: object, most: int) -> None:
        """Counts a stream that a caller opens; `end_stream` must follow.

        Raises:
            QuotaExceededError: The caller already has the maximum open.
        """
        if self._streams[caller] >= most:
            raise QuotaExceededError(
                f"you already have {most:,} watch streams open here, the maximum: close one, or "
                "watch several names with one stream and a shorter prefix",
                retry_after=_RETRY_SECONDS,
            )
        self._streams[caller] += 1
        self._metrics.watchers.inc()

    def end_stream(self, caller: object) -> None:
        """Counts a stream that has ended."""
        self._metrics.watchers.dec()
        self._streams[caller] -= 1
        if not self._streams[caller]:
            del self._streams[caller]

    def wake(self, namespace: str) -> None:
        """Looks at a namespace at once, because this process changed it."""
        if (feed := self._feeds.get(namespace)) is not None:
            feed.is_due.set()

    def close(self) -> None:
        """Ends all waiting permanently, because the server stops."""
        self._closed = True
        for feed in self._feeds.values():
            feed.wake()

    async def follow(
        self, namespace: str, after: int, read: Read, check: Check
    ) -> AsyncIterator[ops.ChangePage]:
        """Yields pages of changes until `close`; after `HEARTBEAT` without any, an empty page.

        Args:
            namespace: The namespace to watch.
            after: The revision after which to start.
            read: Reads the changes for this watcher alone, until it has caught up.
            check: Called about every `LOOK_EVERY` seconds.

        Raises:
            BotWireError: What `read` and `check` raise.
        """
        with self._join(namespace, check) as (feed, watcher):
            has_caught_up = False
            while not self._closed:
                watcher.is_called.clear()
                if watcher.error is not None:
                    raise watcher.error
                page = feed.since(after) if has_caught_up else None
                if page is None:
                    page = await read(after)
                    feed.begin_at(page)
                if page.changes:
                    after = page.changes[-1].revision
                    yield page
                    continue
                has_caught_up = True
                if not await watcher.wait() and not self._closed:
                    yield page

    @contextmanager
    def _join(self, namespace: str, check: Check) -> Iterator[tuple[_Feed, _Watcher]]:
        watcher = _Watcher(check)
        feed = self._feeds.get(namespace)
        if feed is None:
            feed = self._feeds[namespace] = _Feed(namespace, self._look)
        feed.watchers.add(watcher)
        try:
            yield feed, watcher
        finally:
            feed.watchers.remove(watcher)
            if not feed.watchers:
                feed.end()
                if self._feeds.get(namespace) is feed:
                    del self._feeds[namespace]


class _Watcher:
    """One request that waits."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.is_called = asyncio.Event()
        self.error: BotWireError | None = None

    async def wait(self) -> bool:
        """Waits until there is something to do; returns False after `HEARTBEAT` of silence."""
        try:
            async with asyncio.timeout(HEARTBEAT):
                return await self.is_called.wait()
        except TimeoutError:
            return False


class _Feed:
    """The latest changes of a namespace, read once for all its watchers."""

    def __init__(self, namespace: str, look: Look) -> None:
        self._namespace = namespace
        self._look = look
        self._entries: deque[ops.ChangeEntry] = deque()
        self._since = self._revision = -1  # the entries are all changes between these revisions
        self._looking: asyncio.Task[None] | None = None
        self.watchers: set[_Watcher] = set()
        self.is_due = asyncio.Event()

    def begin_at(self, page: ops.ChangePage) -> None:
        """Starts looking after the page that a watcher has read, unless already looking."""
        if self._revision < 0 and not page.changes:
            self._since = self._revision = page.revision
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._watch())

    def since(self, after: int) -> ops.ChangePage | None:
        """Returns the changes after a revision; None if not all of them are known."""
        if self._revision < 0 or after < self._since:
            return None
        if after >= self._revision:
            return ops.ChangePage((), self._revision)
        entries = [entry for entry in self._entries if entry.revision > after]
        return ops.ChangePage(entries, self._revision)

    def wake(self) -> None:
        """Calls all watchers."""
        for watcher in self.watchers:
            watcher.is_called.set()

    def end(self) -> None:
        """Stops looking."""
        if self._looking is not None:
            self._looking.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        checked_at = loop.time()
        try:
            while True:
                try:
                    async with asyncio.timeout(LOOK_EVERY):
                        await self.is_due.wait()
                except TimeoutError:
                    pass
                self.is_due.clear()
                if loop.time() - checked_at >= LOOK_EVERY / 2:
                    checked_at = loop.time()
                    for watcher in list(self.watchers):
                        await _check(watcher)
                if self._revision >= 0:
                    await self._read()
        finally:
            self._forget()

    async def _read(self) -> None:
        try:
            page = await self._look(self._namespace, self._revision)
        except BotWireError:
            self._forget()  # each watcher reads by itself, and reports the failure
            return
        if any(entry.action == "reset" for entry in page.changes):
            self._forget()
        elif page.changes:
            self._entries.extend(page.changes)
            while len(self._entries) > _KEPT:
                self._since = self._entries.popleft().revision
            self._revision = page.changes[-1].revision
            self.wake()
            if self._revision < page.revision:
                self.is_due.set()

    def _forget(self) -> None:
        self._entries.clear()
        self._since = self._revision = -1
        self.wake()


async def _check(watcher: _Watcher) -> None:
    try:
        await watcher.check()
    except BotWireError as error:
        watcher.error = error
        watcher.is_called.set()
