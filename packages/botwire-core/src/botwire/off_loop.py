"""Converts large values in a worker thread, so that they do not block the event loop.

A photo in a message is megabytes of base64, which take tens of milliseconds to convert and longer
to compress. Small values are converted directly, because switching threads would take longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any, TypeVar

from botwire.threads import in_thread

T = TypeVar("T")

LARGE = 100_000
"""Characters or bytes above which a value is converted in a thread: about a millisecond."""

_OVERHEAD = 100  # added per object, so that a value of many small objects counts as large too
_LEAVES = frozenset({NoneType, bool, int, float, datetime})


async def off_loop(convert: Callable[..., T], *values: Any) -> T:
    """Returns the result of a function, called in a worker thread if its arguments are large."""
    if is_large(values):
        return await in_thread(convert, *values)
    return convert(*values)


def is_large(value: Any) -> bool:
    """Returns whether a value, including everything in it, takes long to convert."""
    left = LARGE
    pending = [value]
    while pending:
        part = pending.pop()
        left -= _OVERHEAD
        kind: Any = type(part)  # mypy does not take a class for hashable
        if kind in _LEAVES:
            pass
        elif isinstance(part, (str, bytes, bytearray)):
            left -= len(part)
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
        elif isinstance(part, (dict, Mapping)):
            pending += part.values()
        elif isinstance(part, type):
            continue
        elif hasattr(part, "tobytes"):  # an image or an array
            return True
        else:
            pending += getattr(part, "__dict__", {}).values()
            pending += [getattr(part, name, None) for name in _slots(kind)]
        if left < 0:
            return True
    return False


@lru_cache(maxsize=512)
def _slots(cls: type[object]) -> tuple[str, ...]:
    found = [vars(base).get("__slots__", ()) for base in cls.__mro__]
    names = [name for slots in found for name in ((slots,) if isinstance(slots, str) else slots)]
    return tuple(name for name in names if name != "__dict__")
