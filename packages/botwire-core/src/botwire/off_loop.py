"""Conversions of large values in a worker thread, so that the event loop serves others meanwhile.

A photo in a message is megabytes of base64, which take tens of milliseconds to convert and more to
compress. A small value is converted where it is: handing it to a thread would take longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

LARGE = 100_000
"""Characters or bytes, beyond which a value is converted in a thread: about a millisecond."""

_PART = 100  # what a part counts beside its text, so that a value of many small parts is large too


async def off_loop(convert: Callable[..., T], *values: Any) -> T:
    """Returns what a function makes of values; in a worker thread if they are large."""
    if is_large(values):
        return await asyncio.to_thread(convert, *values)
    return convert(*values)


def is_large(value: Any) -> bool:
    """Says whether a value takes long to convert, with all it holds; looks no further than that."""
    left = LARGE
    pending = [value]
    while pending:
        part = pending.pop()
        left -= _PART
        if isinstance(part, (str, bytes, bytearray)):
            left -= len(part)
        elif isinstance(part, Mapping):
            pending += part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
        elif isinstance(part, type):
            continue
        elif hasattr(part, "tobytes"):  # an image or an array, which says its size in its own way
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
