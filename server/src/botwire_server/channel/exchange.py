"""A request on a channel: its body, and whether its client still waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message


class Exchange:
    """A request in flight, and what `request_work.Withdrawal` asks for.

    Args:
        body: Its body.
        kind: `TEXT` or `BINARY`; the answer is of the same kind.

    Attributes:
        size: The size of the body in bytes.
        is_push: Whether it is a watch whose answer has begun. It may last for days, so it does not
            count as one of those in flight.
        on_withdrawal: Called when the client no longer waits for an answer.
    """

    def __init__(self, body: bytes, kind: int) -> None:
        self.body: bytes | None = body
        self.size = len(body)
        self.kind = kind
        self.is_push = False
        self.on_withdrawal: Callable[[], object] | None = None
        self._is_withdrawn = False
        self._waiter: asyncio.Future[None] | None = None

    async def receive(self) -> Message:
        """Returns the body, then a disconnect once the client no longer waits for an answer."""
        body, self.body = self.body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._is_withdrawn:
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiter)
        return {"type": "http.disconnect"}

    def withdraw(self) -> None:
        """Notes that the client no longer waits for an answer."""
        self._is_withdrawn = True
        if self.on_withdrawal is not None:
            self.on_withdrawal()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
