"""Converts large values in a worker thread, so that they do not block the event loop.

A photo in a message is megabytes of base64, which take tens of milliseconds to convert and longer
to compress. Small values are converted on the spot, as a thread switch would take longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

LARGE = 100_000
"""Characters or bytes above which a value is converted in a thread: about a millisecond."""

_OVERHEAD = 100  # added per object, so that a value of many small objects counts as large too


async def off_loop(convert: Callable[..., T], *values: Any) -> T:
    """Calls a function, in a worker thread if its arguments are large, and returns its result."""
    if is_large(values):
        return await asyncio.to_thread(convert, *values)
    return convert(*values)


def is_large(value: Any) -> bool:
    """Returns whether a value, with all it contains, takes long to convert."""
    left = LARGE
    pending = [value]
    while pending:
        part = pending.pop()
        left -= _OVERHEAD
        if isinstance(part, (str, bytes, bytearray)):
            left -= len(part)
        elif isinstance(part, Mapping):
            pending += part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
        elif isinstance(part, type):
            continue
        elif hasattr(part, "tobytes"):  # an image or an array
            return True
        else:
            pending += getattr(part, "__dict__", {}).values()
            for cls in type(part).__mro__:
                slots = vars(cls).get("__slots__", ())
                names = (slots,) if isinstance(slots, str) else slots
                pending += [getattr(part, name, None) for name in names if name != "__dict__"]
        if left < 0:
            return True
    return False
