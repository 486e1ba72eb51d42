"""Whether to ask again, and when: a policy that does no I/O."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from botwire.errors import TransportError

RETRIED_STATUSES = frozenset({502, 503, 504})
"""Answers that a proxy gives while a server restarts."""

PAUSE = 2.0
"""Seconds for which a place that does not even refuse a connection is not asked again."""

PROBE = 1.0
"""Seconds that a call may take which finds out whether an outage is over."""

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0


def delay(attempt: int, *, remaining: float) -> float | None:
    """Returns the seconds to wait before the next attempt, or None to give up.

    Delays double and are spread at random, so that clients cut off together do not come back
    together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Args:
        attempt: How many attempts were made, 1 or more.
        remaining: Seconds left of the time the whole call may take.
    """
    doublings = min(attempt - 1, 10)  # beyond which a float would overflow in the end
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2**doublings)
    seconds = spread(longest)
    return seconds if seconds < remaining else None


class Outage:
    """Remembers that a place cannot be reached, so that one call pays for it and not each.

    A program whose server is down makes many calls, and each would wait for its whole time limit.
    After the first that did, each has a moment, in which a server that is back answers. A place
    that is silent would still cost a moment a call: it is left alone for a pause. Any answer ends
    the outage.

    Args:
        clock: Returns the present time in seconds.

    Attributes:
        ask_first: Whether a call should first find out, in `PROBE` seconds, whether the place is
            alive: it took a call and did not answer. It may be down, or that call took too long.
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
            timeout: What it may take while there is no outage.

        Raises:
            TransportError: The place is not to be asked now.
        """
        error = self._error
        if error is None:
            return timeout
        left = self._until - self._clock()
        if left > 0:
            raise type(error)(
                f"{error}; not asked again for {left:.1f} s, so nothing was sent", url=error.url
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
        """Notes that a call has not reached the place within its time.

        Args:
            error: What it raises.
            probe: Seconds that each further call may take.
            pause: Seconds for which further calls fail at once.
            ask_first: See the class. Further calls may then take their whole time.
        """
        self._probe = math.inf if ask_first else probe
        self.ask_first = ask_first
        self._error, self._until = error, self._clock() + pause

    def end(self) -> None:
        """Notes that there was an answer."""
        self._error, self.ask_first = None, False


def spread(seconds: float) -> float:
    """Returns a random time between half of `seconds` and `seconds`."""
    return seconds * (0.5 + random.random() / 2)  # noqa: S311 - spreading, not secrecy
