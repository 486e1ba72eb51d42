"""How long the work on a request may go on: a deadline, a caller who left, others who wait.

Work that takes long looks up now and then (`look`), many times in a tenth of a second. What it is
held to is set around it (`on`), and travels with it through generators, threads and tasks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from botwire.errors import BotWireError, InvalidRequestError


class CancelledWorkError(BotWireError):
    """The caller left: nobody waits for the answer."""


class PreemptedError(BotWireError):
    """The work has had its share for now, and others wait: it starts again later."""


class Work:
    """What the work on one request is held to.

    Args:
        seconds: How long it may take in all, from now on; None: as long as it needs.

    Attributes:
        is_cancelled: Whether the caller has left.
    """

    __slots__ = ("_deadline", "_seconds", "is_cancelled")

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.is_cancelled = False

    def cancel(self) -> None:
        """Says that the caller has left."""
        self.is_cancelled = True

    def extend(self) -> None:
        """Takes the deadline away."""
        self._deadline = None

    def restarted(self) -> Work:
        """Returns what is held to the same, from now on."""
        return Work(self._seconds)

    def verdict(self) -> BotWireError | None:
        """Returns why the work must end now, or None if it may go on."""
        if self.is_cancelled:
            return CancelledWorkError("the caller has left")
        if self._deadline is not None and time.monotonic() > self._deadline:
            return InvalidRequestError(
                f"this needs more than the {self._seconds:g} seconds of work that a request may "
                "take here: narrow it down, or ask for it in parts",
                status=422,
            )
        return None


Verdict = Callable[[], BotWireError | None]
"""Returns why work must end now, or None if it may go on."""

_verdict: ContextVar[Verdict | None] = ContextVar("botwire_work", default=None)


@contextlib.contextmanager
def on(verdict: Verdict | None) -> Iterator[None]:
    """Holds the work in its block to a verdict; None changes nothing."""
    if verdict is None:
        yield
        return
    token = _verdict.set(verdict)
    try:
        yield
    finally:
        _verdict.reset(token)


def look() -> None:
    """Raises the error that says why this work must end now, if it must."""
    ask = _verdict.get()
    if ask is not None:
        error = ask()
        if error is not None:
            raise error


def is_over() -> bool:
    """Says whether this work must end now: for what cannot raise, such as a database's callback."""
    ask = _verdict.get()
    return ask is not None and ask() is not None
