r"""Python values in JSON: what JSON lacks is written as an object with one tagged key.

Frameworks put bytes, times, tuples and sets into messages and metadata. ``{"$bytes": "AP8="}``
stands for ``b"\x00\xff"``; an object of the caller's that looks like a tag is wrapped as
``{"$dict": …}``, so every value has one reading. Decoding builds nothing but these types.
The tags follow MongoDB's Extended JSON in spirit.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from botwire.errors import NotJSONError
from botwire.exact import MAX_DEPTH


def to_json(value: Any, path: str = "value") -> Any:
    """Returns `value` as a JSON value.

    Args:
        value: None, bool, int, float (NaN too), str, bytes, list, tuple, dict (of any keys), set,
            frozenset, datetime, date, time, timedelta, Decimal or UUID, nested.
        path: What to call it in an error.

    Raises:
        NotJSONError: A part is of another type; the message says where.
    """
    return _to(value, path, 0)


def _to(value: Any, path: str, depth: int) -> Any:
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if depth > MAX_DEPTH:
        raise NotJSONError(f"{path} is nested too deeply, or holds itself", path)
    if isinstance(value, list):
        return [_to(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(value)]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            plain = {
                key: _to(part, f"{path}[{key!r:.60}]", depth + 1) for key, part in value.items()
            }
            return {"$dict": plain} if _looks_tagged(plain) else plain
        return {
            "$items": [
                [
                    _to(key, f"a key of {path}", depth + 1),
                    _to(part, f"{path}[{key!r:.60}]", depth + 1),
                ]
                for key, part in value.items()
            ]
        }
    if isinstance(value, (tuple, set, frozenset)):
        # Sorted where it can be, so that equal sets are equal texts.
        parts = value if isinstance(value, tuple) else sorted(value, key=repr)
        listed = [_to(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(parts)]
        name = "tuple" if isinstance(value, tuple) else type(value).__name__
        return {f"${name}": listed}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, timedelta):
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, (datetime, date, time)):
        kind = next(cls for cls in (datetime, date, time) if isinstance(value, cls))
        return {f"${kind.__name__}": value.isoformat()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    cls = type(value)
    raise NotJSONError(
        f"{path} is of type {cls.__module__}.{cls.__qualname__}, which cannot be kept", path
    )


_READERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$tuple": lambda parts: tuple(from_json(part) for part in parts),
    "$set": lambda parts: {from_json(part) for part in parts},
    "$frozenset": lambda parts: frozenset(from_json(part) for part in parts),
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda parts: timedelta(*parts),
    "$decimal": Decimal,
    "$uuid": UUID,
    "$dict": lambda plain: {key: from_json(part) for key, part in plain.items()},
    "$items": lambda pairs: {from_json(key): from_json(part) for key, part in pairs},
}


def from_json(value: Any) -> Any:
    """Returns the value that `to_json` was given.

    Raises:
        ValueError: A tag holds something it cannot; the value was not written by `to_json`.
    """
    if isinstance(value, list):
        return [from_json(part) for part in value]
    if not isinstance(value, dict):
        return value
    if _looks_tagged(value):
        ((tag, part),) = value.items()
        read = _READERS.get(tag)
        if read is not None:
            try:
                return read(part)
            except (TypeError, ArithmeticError, AttributeError) as error:
                raise ValueError(f"{tag} holds what it cannot: {error}") from error
    return {key: from_json(part) for key, part in value.items()}


def _looks_tagged(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")
