"""The retry policy: whether to retry and when. Does no I/O."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from botwire.errors import TransportError

RETRIED_STATUSES = frozenset({502, 503, 504})
"""HTTP statuses with which a proxy answers while a server restarts."""

PAUSE = 2.0
"""Seconds without attempts after a place did not even refuse a connection."""

PROBE = 1.0
"""Seconds that a call may take to probe whether an outage is over."""

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0


def delay(attempt: int, *, remaining: float) -> float | None:
    """Returns the seconds to wait before the next attempt, or None to give up.

    Exponential backoff with jitter, so that clients cut off together do not return together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Args:
        attempt: How many attempts were made, 1 or more.
        remaining: Seconds left until the call's timeout.
    """
    doublings = min(attempt - 1, 10)  # more would overflow a float eventually
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2**doublings)
    seconds = spread(longest)
    return seconds if seconds < remaining else None


class Outage:
    """Remembers that a place is unreachable, so only the first call waits for the timeout.

    A program whose server is down keeps making calls. After the first timeout, each further call
    gets a short time, enough to reach a server that is back. A silent place would use up even that
    time on every call, so it is not called at all for a while. Any answer ends the outage.

    Args:
        clock: Returns the current time in seconds.

    Attributes:
        ask_first: Whether a call should first probe for `PROBE` seconds whether the place is alive:
            it accepted a call and did not answer. It may be down, or that call took too long.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._error: TransportError | None = None
        self._until = 0.0
        self._probe = PROBE
        self.ask_first = False

    def limit(self, timeout: float) -> float:
        """Returns the seconds that a call may take.

        Args:
            timeout: The limit without an outage.

        Raises:
            TransportError: The place must not be called now.
        """
        error = self._error
        if error is None:
            return timeout
        left = self._until - self._clock()
        if left > 0:
            raise type(error)(
                f"{error}; no retry for another {left:.1f} s, so nothing was sent", url=error.url
            )
        return min(timeout, self._probe)

    def begin(
        self,
        error: TransportError,
        *,
        probe: float = PROBE,
        pause: float = 0.0,
        ask_first: bool = False,
    ) -> None:
        """Starts an outage: a call has not reached the place in time.

        Args:
            error: The error that the call raises.
            probe: Seconds that each further call may take.
            pause: Seconds for which further calls fail at once.
            ask_first: See the class. Further calls may then use their full timeout.
        """
        self._probe = math.inf if ask_first else probe
        self.ask_first = ask_first
        self._error, self._until = error, self._clock() + pause

    def end(self) -> None:
        """Ends the outage: an answer came."""
        self._error, self.ask_first = None, False


def spread(seconds: float) -> float:
    """Returns a random time between half of `seconds` and `seconds`."""
    return seconds * (0.5 + random.random() / 2)  # noqa: S311 - spreading, not secrecy
