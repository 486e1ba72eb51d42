"""Limits on the work for a request: a deadline, a caller that has left, other work waiting.

Long-running work calls `look` many times per tenth of a second. `on` sets the limits for a block of
code; they follow the work through generators, threads and tasks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from botwire.errors import BotWireError, InvalidRequestError


class CancelledWorkError(BotWireError):
    """The caller has left and no longer waits for the answer."""


class PreemptedError(BotWireError):
    """The work has used its share of time while others wait; it is restarted later."""


class Work:
    """The limits for the work on one request.

    Args:
        seconds: How long the work may take from now on; None sets no limit.

    Attributes:
        is_cancelled: Whether the caller has left.
    """

    __slots__ = ("_deadline", "_seconds", "is_cancelled")

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.is_cancelled = False

    def cancel(self) -> None:
        """Ends the work because the caller has left."""
        self.is_cancelled = True

    def extend(self) -> None:
        """Removes the deadline."""
        self._deadline = None

    def restart(self) -> None:
        """Grants the whole time again, from now on; for work that only waited until now."""
        if self._seconds is not None:
            self._deadline = time.monotonic() + self._seconds

    def restarted(self) -> Work:
        """Returns new limits with the same number of seconds, counted from now."""
        return Work(self._seconds)

    def verdict(self) -> BotWireError | None:
        """Returns why the work must end now, or None if it may continue."""
        if self.is_cancelled:
            return CancelledWorkError("the caller has left")
        if self._deadline is not None and time.monotonic() > self._deadline:
            return InvalidRequestError(
                f"this request needs more than the {self._seconds:g} seconds of work allowed per "
                "request: narrow it down or split it",
                status=422,
            )
        return None


Verdict = Callable[[], BotWireError | None]
"""Returns why the work must end now, or None if it may continue."""

_verdict: ContextVar[Verdict | None] = ContextVar("botwire_work", default=None)


@contextlib.contextmanager
def on(verdict: Verdict | None) -> Iterator[None]:
    """Applies limits to the work in its block; None changes nothing."""
    if verdict is None:
        yield
        return
    token = _verdict.set(verdict)
    try:
        yield
    finally:
        _verdict.reset(token)


def look() -> None:
    """Raises an error if this work must end now."""
    ask = _verdict.get()
    if ask is not None:
        error = ask()
        if error is not None:
            raise error


def is_over() -> bool:
    """Returns whether this work must end now, for callbacks that cannot raise."""
    ask = _verdict.get()
    return ask is not None and ask() is not None
