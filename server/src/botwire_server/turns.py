"""Runs long writes one at a time, so that a short write waits for at most one of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WriteTurns:
    """Lets one long write at a time run in this process; callers take turns.

    An engine commits waiting writes together, in the order in which they arrived. Without turns, a
    caller that sends many long writes at once would make every other write wait for all of them.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._queues: OrderedDict[object, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, caller: object) -> AsyncIterator[None]:
        """Waits for the caller's turn, which lasts as long as the block.

        Args:
            caller: Identifies the caller.
        """
        if self._is_taken:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queues.setdefault(caller, deque()).append(waiting)
            try:
                await waiting
            except asyncio.CancelledError:
                if not waiting.cancelled():  # its turn came at the moment of its cancellation
                    self._pass_on()
                raise
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._queues:
            caller, queue = self._queues.popitem(last=False)
            waiting = queue.popleft()
            if queue:
                self._queues[caller] = queue  # behind the others
            if not waiting.done():
                waiting.set_result(None)  # still taken, now by this one
                return
        self._is_taken = False
