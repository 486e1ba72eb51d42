"""The channels of an engine: one connection per event loop, or for all threads of a process.

Requests use the channel while it works and HTTP when it does not. A request that the channel has
not answered is sent again over HTTP under the same id, so it is applied once. A channel is opened
only after the server has answered over HTTP, so there is one way to detect and report that a server
cannot be reached.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from botwire.engines.http.exchange import Answer, Target, Watch
from botwire.engines.loops import AsyncClientPerLoop, ClientPerLoop, no_fork

if TYPE_CHECKING:
    from botwire.engines.http.awaited import AsyncChannel
    from botwire.engines.http.blocking import Channel, Waiter

T = TypeVar("T")

MOST_BYTES = 256 * 1024
"""Requests of this size or more go over HTTP, so that smaller ones do not wait behind them."""

_OK = 200
_OPEN_SECONDS = 2.0  # for a server that has just answered over HTTP
_UNPUSHED_SECONDS = 30.0  # until a server that refused to push changes is asked again
_LEAST_SECONDS = 0.1  # with less time left, a channel is not opened
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_SILENT_REFUSALS = 2  # a silence counts as this many refusals


class Verdict:
    """What this process has learned about a server, and whether to ask it for a channel.

    A server without channels, or a proxy that refuses them, is asked less and less often.
    """

    def __init__(self) -> None:
        self._not_before = 0.0
        self._no_push_before = 0.0
        self._refusals = 0

    @property
    def allows_push(self) -> bool:
        """Whether to ask the server to push changes now."""
        return time.monotonic() >= self._no_push_before

    def refuse_push(self) -> None:
        """Records that the server refused to push changes: it is old, or has too many watchers."""
        self._no_push_before = time.monotonic() + _UNPUSHED_SECONDS

    @property
    def allows(self) -> bool:
        """Whether to open a channel now."""
        return time.monotonic() >= self._not_before

    def refuse(self, *, is_silent: bool = False) -> None:
        """Records that a channel was refused, or ended before it answered anything.

        Args:
            is_silent: Whether no answer came, so that asking again may delay another call.
        """
        if is_silent:
            self._refusals = max(self._refusals, _SILENT_REFUSALS)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 4.0 ** min(self._refusals, 10))
        self._refusals += 1
        self._not_before = time.monotonic() + pause

    def confirm(self) -> None:
        """Records that a channel has answered."""
        self._refusals = 0


_verdicts: dict[str, Verdict] = {}


def verdict_of(url: str) -> Verdict:
    """Returns what this process knows about a server."""
    return _verdicts.setdefault(url, Verdict())


def goes_through_proxy(scheme: str, host: str) -> bool:
    """Returns whether the environment sets a proxy for a URL; channels are then not used."""
    proxies = urllib.request.getproxies()
    if not (proxies.get(scheme) or proxies.get("all")):
        return False
    return not urllib.request.proxy_bypass(host)


class _AnyChannel(Protocol):
    has_answered: bool

    @property
    def is_usable(self) -> bool: ...

    def retire(self) -> None: ...


C = TypeVar("C", bound=_AnyChannel)


class _AnySlot(Protocol[C]):
    channel: C | None


def _find(slot: _AnySlot[C]) -> C | None:
    """Returns the channel of a slot if it can be used, and retires it otherwise."""
    channel = slot.channel
    if channel is None or channel.is_usable:
        return channel
    slot.channel = None
    channel.retire()
    return None


def _note_end(slot: _AnySlot[C], channel: C, verdict: Verdict) -> None:
    """Records that a channel has ended, unless it was already out of use."""
    if slot.channel is channel and not channel.is_usable:
        slot.channel = None
        if not channel.has_answered:
            verdict.refuse()


# --- awaited --------------------------------------------------------------------------------


class AsyncChannels:
    """The channels of an engine, one per event loop.

    Args:
        target: The server to connect to.
        tls: How to check the server's certificate; None without TLS.
        verdict: What is known about the server.
    """

    def __init__(
        self, target: Target, tls: Callable[[], ssl.SSLContext] | None, verdict: Verdict
    ) -> None:
        self._target = target
        self._tls = tls
        self._verdict = verdict
        self._slots: AsyncClientPerLoop[_AsyncSlot] = AsyncClientPerLoop(
            _AsyncSlot, _AsyncSlot.aclose
        )

    async def confirm_place(self, deadline: float) -> None:
        """Records that the server has answered over HTTP; opens a channel from the second time on.

        Opening it now does not delay any request.

        Args:
            deadline: When the request whose answer this is would have timed out.
        """
        slot = await self._slots.get()
        if slot.has_answered:
            await self._open(slot, deadline - time.monotonic())
        slot.has_answered = True

    async def send(self, content: str, name: str | None, deadline: float) -> Answer | None:
        """Sends a request over the running loop's channel.

        Args:
            content: The request body.
            name: The idempotency id, if any.
            deadline: When it times out, as `time.monotonic` tells the time.

        Returns:
            The answer; None if the request must be sent over HTTP. It may already have been
            applied.

        Raises:
            TimeoutError: No answer came in time.
        """
        if len(content) > MOST_BYTES:
            return None
        slot = await self._slots.get()
        channel = _find(slot)
        if channel is None:
            return None
        answer = await channel.ask(content, name, deadline)
        if answer is not None:
            self._verdict.confirm()
        else:
            _note_end(slot, channel, self._verdict)
        return answer

    async def watch(self, wanted: Watch) -> AsyncIterator[Answer]:
        """Yields the pages of changes that the server pushes, as long as it does."""
        if not self._verdict.allows_push:
            return
        slot = await self._slots.get()
        channel = _find(slot)
        if channel is None:
            return
        async for answer in channel.watch(wanted):
            if answer.status != _OK:
                self._verdict.refuse_push()
                return
            self._verdict.confirm()
            yield answer
        _note_end(slot, channel, self._verdict)

    async def _open(self, slot: _AsyncSlot, seconds: float) -> None:
        if slot.channel is not None or slot.is_opening or not self._verdict.allows:
            return
        if seconds < _LEAST_SECONDS:
            return
        # Imported late: a program that makes a single call needs no channel.
        with no_fork:
            from botwire.engines.http.awaited import AsyncChannel  # noqa: PLC0415

        slot.is_opening = True
        try:
            async with asyncio.timeout(min(seconds / 2, _OPEN_SECONDS)):
                slot.channel = await AsyncChannel.open(
                    self._target, None if self._tls is None else self._tls()
                )
        except OSError as error:  # timeouts and invalid certificates too
            self._verdict.refuse(is_silent=isinstance(error, TimeoutError))
        finally:
            slot.is_opening = False

    async def aclose(self) -> None:
        """Closes the running loop's channel. The next call opens a new one."""
        await self._slots.close()


class _AsyncSlot:
    """Holds the channel of an event loop."""

    def __init__(self) -> None:
        self.channel: AsyncChannel | None = None
        self.has_answered = False
        self.is_opening = False

    async def aclose(self) -> None:
        if self.channel is not None:
            self.channel.close()
            await self.channel.wait_closed()


# --- blocking -------------------------------------------------------------------------------


class Channels:
    """The blocking twin: one channel for all threads of a process; a forked child opens its own."""

    def __init__(
        self, target: Target, tls: Callable[[], ssl.SSLContext] | None, verdict: Verdict
    ) -> None:
        self._target = target
        self._tls = tls
        self._verdict = verdict
        self._slots: ClientPerLoop[_Slot] = ClientPerLoop(
            _Slot, _Slot.close, survives_interrupts=True
        )

    def confirm_place(self, deadline: float) -> None:
        """Records that the server has answered over HTTP; see `AsyncChannels.confirm_place`."""
        slot = self._slots.get()
        if slot.has_answered:
            self._open(slot, deadline - time.monotonic())
        slot.has_answered = True

    def send(self, content: str, name: str | None, deadline: float) -> Answer | None:
        """Sends a request over the process's channel; see `AsyncChannels.send`."""
        if len(content) > MOST_BYTES:
            return None
        slot = self._slots.get()
        return self._alone(slot, lambda: self._send(slot, content, name, deadline))

    def _send(self, slot: _Slot, content: str, name: str | None, deadline: float) -> Answer | None:
        channel = _find(slot)
        if channel is None:
            return None
        answer = channel.ask(content, name, deadline)
        if answer is not None:
            self._verdict.confirm()
        else:
            _note_end(slot, channel, self._verdict)
        return answer

    def watch(self, wanted: Watch) -> Iterator[Answer]:
        """Yields the pages of changes that the server pushes; see `AsyncChannels.watch`."""
        if not self._verdict.allows_push:
            return
        process, slot = os.getpid(), self._slots.get()
        begun = self._alone(slot, lambda: self._begin_watch(slot, wanted))
        if begun is None:
            return
        channel, waiter = begun
        try:
            while process == os.getpid():  # a forked child that continues here has its own channel
                answer = self._alone(slot, lambda: channel.next_of(waiter))
                if answer is None:
                    _note_end(slot, channel, self._verdict)
                    return
                if answer.status != _OK:
                    self._verdict.refuse_push()
                    return
                self._verdict.confirm()
                yield answer
        finally:
            if process == os.getpid():
                channel.end_watch(waiter)

    def _begin_watch(self, slot: _Slot, wanted: Watch) -> tuple[Channel, Waiter] | None:
        channel = _find(slot)
        waiter = None if channel is None else channel.begin_watch(wanted, _OPEN_SECONDS)
        return None if channel is None or waiter is None else (channel, waiter)

    def _alone(self, slot: _Slot, call: Callable[[], T | None]) -> T | None:
        """Returns what a function returns; None if this thread is inside another such call.

        A signal handler or a finalizer may call while its own thread is inside another call, which
        cannot release its locks.
        """
        thread = threading.get_ident()
        if thread in slot.users:
            return None
        try:
            slot.users.add(thread)
            return call()
        finally:
            slot.users.discard(thread)

    def _open(self, slot: _Slot, seconds: float) -> None:
        is_ours = False
        try:
            with slot.opening:
                if slot.is_opening or slot.channel is not None:
                    return
                # In one step, so that no interrupt comes between.
                is_ours = slot.is_opening = True
            if not self._verdict.allows or seconds < _LEAST_SECONDS:
                return
            with no_fork:
                from botwire.engines.http.blocking import Channel  # noqa: PLC0415 - see the twin

            slot.channel = Channel(
                self._target,
                None if self._tls is None else self._tls(),
                min(seconds / 2, _OPEN_SECONDS),
            )
        except OSError as error:
            self._verdict.refuse(is_silent=isinstance(error, TimeoutError))
        finally:
            if is_ours:
                slot.is_opening = False

    def close(self) -> None:
        """Closes the channel. The next call opens a new one."""
        self._slots.close()


class _Slot:
    """Holds the channel of a process."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.has_answered = False
        self.opening = threading.Lock()  # held only to check and set `is_opening`
        self.is_opening = False
        self.users: set[int] = set()  # threads that use the channel

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()
