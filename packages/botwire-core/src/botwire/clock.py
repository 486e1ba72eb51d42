"""Times: integers (microseconds since 1970, UTC) inside, datetimes and ISO 8601 at the edges."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from botwire.errors import ConfigurationError

Clock = Callable[[], int]
"""Returns the current time, in microseconds since 1970 (UTC)."""

Micros = int
"""A time: microseconds since 1970 (UTC)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_IN_UTC = datetime(1970, 1, 1)  # noqa: DTZ001 - only used for formatting
_MICROSECOND = timedelta(microseconds=1)

SECOND: Micros = 1_000_000
"""A second, in microseconds."""
DAY: Micros = 24 * 3600 * SECOND
"""A day, in microseconds."""
MIN_TIME = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""The earliest time, the beginning of the year 1."""
MAX_TIME = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""The latest time, the end of the year 9999."""


def now() -> int:
    """Returns the current time of this machine."""
    return time.time_ns() // 1000


def micros(seconds: float) -> int:
    """Returns a span of time in microseconds, at least one."""
    return max(1, round(seconds * SECOND))


def seconds_left(until: Micros | None) -> float | None:
    """Returns the seconds until a time, at least a thousandth; None if there is no such time."""
    return None if until is None else max((until - now()) / SECOND, 0.001)


def to_datetime(micros: int) -> datetime:
    """Returns a time as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def from_datetime(moment: datetime) -> int:
    """Returns a datetime in microseconds; a naive datetime means UTC.

    Raises:
        ConfigurationError: It is not a datetime.
        ValueError: In UTC, the year is not between 1 and 9999.
    """
    if not isinstance(moment, datetime):
        raise ConfigurationError(
            f"a time must be a datetime, not {type(moment).__name__}: {moment!r:.80}"
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    micros = (moment - _EPOCH) // _MICROSECOND
    if not MIN_TIME <= micros <= MAX_TIME:
        raise ValueError(f"{moment.isoformat()} is outside the years 1 to 9999 in UTC")
    return micros


def to_iso(micros: int) -> str:
    """Returns a time in ISO 8601, for example ``2026-11-24T09:30:00.000001Z``."""
    seconds, rest = divmod(micros, SECOND)
    return f"{_iso_second(seconds)}.{rest:06}Z"


@functools.lru_cache(maxsize=1024)  # what is read together was often written together
def _iso_second(seconds: int) -> str:
    return (_EPOCH_IN_UTC + timedelta(seconds=seconds)).isoformat("T", "seconds")


def from_iso(text: str) -> int:
    """Parses a time in ISO 8601; a time without an offset is in UTC.

    Raises:
        ValueError: The text is not a time in ISO 8601.
    """
    return from_datetime(datetime.fromisoformat(text))
