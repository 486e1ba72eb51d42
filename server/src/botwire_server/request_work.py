"""Runs the work on a request: limits its time, and cancels it when the client leaves.

The event loop does short work itself. Long work, such as decoding a large body or encoding a large
answer, runs in threads that callers use in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from botwire import work
from botwire.engines.lanes import FairPool
from botwire.work import Work
from botwire_server.scopes import BODY_READ, CALLER, WITHDRAWAL, WORK

T = TypeVar("T")

AT_ONCE = 16 * 1024
"""Largest body, in bytes, that the event loop decodes itself, in at most two milliseconds."""

_WATCH_AFTER = 0.1  # seconds; for shorter requests, a client that leaves does not matter


class Withdrawal(Protocol):
    """Reports that the client of a request left, without being asked."""

    on_withdrawal: Callable[[], object] | None


class RequestWork(Work):
    """The work on a request, which is cancelled when its client leaves.

    Args:
        seconds: Seconds that the work may take.
        scope: The scope of the request.
        receive: Reports that the client left.
    """

    __slots__ = ("_on_cancel", "_receive", "_scope", "_timer", "_watching")

    def __init__(self, seconds: float | None, scope: Scope, receive: Receive) -> None:
        super().__init__(seconds)
        self._scope = scope
        self._receive = receive
        self._on_cancel: Callable[[], object] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        withdrawal: Withdrawal | None = scope.get(WITHDRAWAL)
        if withdrawal is None:
            self._timer = self._wait()
        else:
            withdrawal.on_withdrawal = self.cancel

    def _wait(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(_WATCH_AFTER, self._begin_to_watch)

    def _begin_to_watch(self) -> None:
        if self._scope.get(BODY_READ):
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        else:  # `receive` still returns the body
            self._timer = self._wait()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cancel()

    def cancel(self) -> None:
        """Cancels the work: the client has left."""
        super().cancel()
        if self._on_cancel is not None:
            self._on_cancel()

    def close(self) -> None:
        """Stops watching the client: the request has been answered."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    async def run(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Awaits work that is pointless once the client has left.

        Raises:
            ClientDisconnect: The client has left.
        """
        task = asyncio.current_task()
        assert task is not None
        self._on_cancel = task.cancel
        try:
            return await waiting
        except asyncio.CancelledError:
            if not self.is_cancelled:
                raise
            task.uncancel()
            raise ClientDisconnect from None
        except work.CancelledWorkError:
            raise ClientDisconnect from None
        finally:
            self._on_cancel = None


async def by_turns(scope: Scope, call: Callable[[], T]) -> T:
    """Runs a long function in a thread when it is the caller's turn, and returns its result.

    Args:
        scope: The scope of the request.
        call: The function; it calls `botwire.work.look` periodically.
    """
    held_to: RequestWork = scope[WORK]
    pool: FairPool = scope["app"].state.decoders

    def run() -> T:
        with work.on(held_to.verdict):
            work.look()
            return call()

    return await held_to.run(pool.run(caller_of(scope), run))


def caller_of(scope: Scope) -> object:
    """Returns the identity of the caller: the API key, or the address if there are no keys."""
    caller, client = scope.get(CALLER), scope.get("client")
    key = getattr(caller, "key", None)
    return key.id if key is not None else client and client[0]
