"""A channel that belongs to one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any, cast

from botwire.engines.http import frames
from botwire.engines.http.exchange import Answer, Target, Watch
from botwire.engines.http.frames import Frames

_SILENT_SECONDS = 50.0  # the server pings every 20 s
_MOST_PAGES = 100  # pages kept for a slow watcher, which reads the rest later


class AsyncChannel(asyncio.Protocol):
    """A connection that belongs to one event loop.

    Args:
        frames: The state of the connection.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._watching: dict[int, asyncio.Queue[Answer | None]] = {}
        self._numbers = itertools.count(1)
        self._opened: asyncio.Future[bool] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._is_writable = True
        self._heard_at = self._loop.time()
        self._is_retired = False
        self.has_answered = False

    @classmethod
    async def open(cls, target: Target, tls: ssl.SSLContext | None) -> AsyncChannel:
        """Connects and opens a channel.

        Raises:
            OSError: The server cannot be reached, or refuses channels.
        """
        state = Frames(target)
        loop = asyncio.get_running_loop()
        transport, channel = await loop.create_connection(
            lambda: cls(state),
            target.host,
            target.port,
            ssl=tls,
            server_hostname=target.host if tls is not None else None,
        )
        try:
            transport.write(state.opening())
            await channel._wait_opened()
        except BaseException:
            transport.abort()
            raise
        return channel

    async def _wait_opened(self) -> None:
        if not await self._opened:
            raise ConnectionError("the server refused to open a channel")

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers the transport."""
        # Not asserted: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hands incoming answers to their callers."""
        self._heard_at = self._loop.time()
        for number, answer in self._frames.receive(data):
            waiter = self._waiting.pop(number, None)
            if waiter is not None and not waiter.done():
                self.has_answered = True
                waiter.set_result(answer)
            elif number in self._watching:
                self.has_answered = True
                self._push(number, answer)
        assert self._transport is not None
        if self._frames.out:
            self._transport.write(self._frames.out)
            self._frames.out = b""
        if self._frames.is_over:
            self._transport.close()
            self._give_up()
        elif self._frames.is_open and not self._opened.done():
            self._opened.set_result(True)
        if self._is_retired and not self._waiting:
            self.close()

    def _push(self, number: int, answer: Answer) -> None:
        pages = self._watching[number]
        pages.put_nowait(answer)
        if answer.is_last or pages.qsize() >= _MOST_PAGES:
            self._leave(number)

    def _leave(self, number: int) -> None:
        """Ends a watch; the watcher still gets the pages already received."""
        pages = self._watching.pop(number, None)
        if pages is None:
            return
        pages.put_nowait(None)
        if not self._frames.is_over and self._transport is not None:
            self._transport.write(frames.withdrawal(number))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells all waiting callers that no answer will come."""
        self._give_up()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """Sends new requests over HTTP."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Sends requests here again."""
        self._is_writable = True

    def _give_up(self) -> None:
        self._frames.is_over = True
        for number in list(self._watching):
            self._leave(number)
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            if not waiter.done():
                waiter.set_result(None)
        if not self._opened.done():
            self._opened.set_result(False)

    # What the engine calls.

    @property
    def is_usable(self) -> bool:
        """Whether requests may be sent."""
        return (
            not self._frames.is_over
            and not self._is_retired
            and self._loop.time() - self._heard_at < _SILENT_SECONDS
        )

    def retire(self) -> None:
        """Stops accepting requests, and closes once all are answered."""
        self._is_retired = True
        if not self._waiting:
            self.close()

    async def ask(self, content: str, name: str | None, deadline: float) -> Answer | None:
        """Sends a request; see `AsyncChannels.send`."""
        if not self._is_writable:  # the server does not read what was already sent
            return None
        assert self._transport is not None
        number = next(self._numbers)
        waiter: asyncio.Future[Answer | None] = self._loop.create_future()
        self._waiting[number] = waiter
        left = max(0.0, deadline - time.monotonic())
        timer = self._loop.call_later(left, _time_out, waiter)
        self._transport.write(frames.request(number, content, name))
        try:
            return await waiter
        except TimeoutError:
            self._is_retired = True  # the connection may be dead
            raise
        finally:
            timer.cancel()
            if self._waiting.pop(number, None) is not None and not self._frames.is_over:
                self._transport.write(frames.withdrawal(number))
            if self._is_retired and not self._waiting:
                self.close()

    async def watch(self, wanted: Watch) -> AsyncIterator[Answer]:
        """Yields what the server pushes; see `AsyncChannels.watch`."""
        if not self._is_writable:
            return
        assert self._transport is not None
        number = next(self._numbers)
        pages: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._watching[number] = pages
        self._transport.write(frames.watch(number, wanted))
        try:
            while True:
                async with asyncio.timeout(_SILENT_SECONDS):
                    answer = await pages.get()
                if answer is None:
                    return
                yield answer
        except TimeoutError:
            self.retire()  # the connection may be dead
        finally:
            self._leave(number)

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._frames.is_over:
            self._transport.write(frames.closing())
        self._transport.close()
        self._give_up()

    async def wait_closed(self) -> None:
        """Waits briefly for the connection to close."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.shield(self._closed)
        assert self._transport is not None
        self._transport.abort()


def _time_out(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError("no answer on the channel"))
