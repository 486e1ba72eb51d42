"""Tracks the channels of a process: limits them per caller, and ends idle or invalid ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from starlette.types import Scope

from botwire.errors import AuthenticationError, BotWireError, QuotaExceededError
from botwire_server.auth import Authenticator, Caller
from botwire_server.metrics import Metrics
from botwire_server.request_work import caller_of
from botwire_server.scopes import CALLER

LOOK_EVERY = 0.25
"""Seconds between checks of all channels."""
IDLE_SECONDS = 600.0
"""How long a channel may stay open without a request."""
PING_SECONDS = 20.0
"""Seconds between pings, which keep proxies from closing an idle connection."""

_RETRY_SECONDS = 5.0  # a channel may have closed by then


class OpenChannel(Protocol):
    """The methods of a channel that `Channels` uses."""

    used_at: float

    @property
    def is_idle(self) -> bool:
        """Whether no request is in flight."""
        ...

    def ping(self) -> None:
        """Sends a ping."""
        ...

    def end(self, code: int, reason: str) -> None:
        """Answers the requests in flight and closes."""
        ...


class Channels:
    """The open channels.

    Args:
        authenticator: Checks whether keys are valid.
        metrics: Counts open channels.
        most: The most channels that a caller may have open.
    """

    def __init__(self, authenticator: Authenticator, metrics: Metrics, most: int) -> None:
        self._authenticator = authenticator
        self._metrics = metrics
        self._most = most
        self._open: dict[OpenChannel, Scope] = {}
        self._counts: Counter[object] = Counter()
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, channel: OpenChannel, scope: Scope) -> None:
        """Counts a channel that opens.

        Args:
            channel: The channel.
            scope: The scope of the request that opens it.

        Raises:
            QuotaExceededError: The caller already has the maximum open.
        """
        caller = caller_of(scope)
        if self._counts[caller] >= self._most:
            raise QuotaExceededError(
                f"you already have {self._most:,} channels open here, the maximum: share one",
                retry_after=_RETRY_SECONDS,
            )
        self._counts[caller] += 1
        self._open[channel] = scope
        self._metrics.channels.inc()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    def leave(self, channel: OpenChannel) -> None:
        """Removes a channel that was closed from the count."""
        scope = self._open.pop(channel, None)
        if scope is not None:
            self._metrics.channels.dec()
            caller = caller_of(scope)
            self._counts[caller] -= 1
            if not self._counts[caller]:
                del self._counts[caller]

    async def _look(self) -> None:
        """Ends idle channels and those with invalid keys, until no channel is open."""
        loop = asyncio.get_running_loop()
        pinged_at = loop.time()
        while self._open:
            await asyncio.sleep(LOOK_EVERY)
            now = loop.time()
            pings = now - pinged_at >= PING_SECONDS
            if pings:
                pinged_at = now
            for channel, scope in list(self._open.items()):
                if channel.is_idle and now - channel.used_at > IDLE_SECONDS:
                    channel.end(1000, "the channel was idle for too long")
                elif pings:
                    channel.ping()
                await self._check(channel, scope)

    async def _check(self, channel: OpenChannel, scope: Scope) -> None:
        caller: Caller = scope[CALLER]
        try:
            await self._authenticator.renew(caller)
        except AuthenticationError as error:
            channel.end(1008, str(error)[:120])
        except BotWireError:
            return  # the store does not answer; each request will report that
