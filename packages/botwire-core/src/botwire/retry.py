"""Whether to ask again, and when: a policy that does no I/O."""

from __future__ import annotations

import random

ATTEMPTS = 7
"""How often a request is sent at most: over some four seconds, in which a server restarts."""
RETRIED_STATUSES = frozenset({502, 503, 504})
"""Answers that a proxy gives while a server restarts."""

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
    if attempt >= ATTEMPTS:
        return None
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (attempt - 1))
    seconds = spread(longest)
    return seconds if seconds < remaining else None


def spread(seconds: float) -> float:
    """Returns a random time between half of `seconds` and `seconds`."""
    return seconds * (0.5 + random.random() / 2)  # noqa: S311 - spreading, not secrecy
