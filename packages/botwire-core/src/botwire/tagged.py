r"""Converts Python values to JSON and back; types that JSON lacks become tagged objects.

Frameworks put bytes, times, tuples and sets into messages and metadata. ``{"$bytes": "AP8="}``
stands for ``b"\x00\xff"``. A caller's object that looks like a tag is wrapped in ``{"$dict": …}``,
so nothing is ambiguous. Decoding creates only these types and what the caller's own readers return.
The tags follow MongoDB's Extended JSON in spirit.
"""

from __future__ import annotations

import base64
import marshal
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Any
from uuid import UUID

from botwire.errors import NotJSONError
from botwire.exact import MAX_DEPTH, Json

Writer = Callable[[Any, str], tuple[str, Any]]
"""Takes a value and its name in errors; returns a tag (``$`` and a word) and the tag's content, in
which `to_json` converts whatever is not JSON yet."""

Readers = Mapping[str, Callable[[Any], Any]]
"""A function for each tag of a `Writer`, which takes the tag's decoded content."""

_MARSHAL = 2  # in later versions of the format, equal values may have different bytes
_TAG = b"\0\0\0$"  # the end of a length of four bytes, and the beginning of a tag
_TAG_TEXT = '{"$'
_PLAIN = frozenset((NoneType, bool, int, str))
_EXACT = _PLAIN.union((float, bytes, list, dict, tuple, set, frozenset))
_EXACT = _EXACT.union((datetime, date, time, timedelta, Decimal, UUID))


def to_json(value: Any, path: str = "value", *, write: Writer | None = None) -> Any:
    """Returns `value` as a JSON value.

    Args:
        value: None, bool, int, float (including NaN), str, bytes, list, tuple, dict (with any
            keys), set, frozenset, datetime, date, time, timedelta, Decimal or UUID, nested. Without
            `write`, an instance of a subclass becomes an instance of the base class.
        path: The name of the value in errors.
        write: Converts objects of all other classes, including subclasses of these.

    Raises:
        NotJSONError: A part has another type; the message says where.
    """
    return _to(value, path, 0, write)


def _to(value: Any, path: str, depth: int, write: Writer | None) -> Any:
    if write is not None and type(value) not in _EXACT:
        if depth > MAX_DEPTH:
            raise NotJSONError(f"{path} is nested too deeply, or contains itself", path)
        tag, held = write(value, path)
        return {tag: _to(held, path, depth + 1, write)}
    if value is None or isinstance(value, (bool, str, int)):
        return value
    # A subclass may print itself in a form that nothing here reads: ``np.float64(nan)``. So the
    # methods of the base classes are called.
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": float.__repr__(value)}
    if depth > MAX_DEPTH:
        raise NotJSONError(f"{path} is nested too deeply, or contains itself", path)
    if isinstance(value, list):
        return [
            part if type(part) in _PLAIN else _to(part, f"{path}[{i}]", depth + 1, write)
            for i, part in enumerate(value)
        ]
    if isinstance(value, dict):
        if all(isinstance(key, str) and (write is None or type(key) is str) for key in value):
            plain = {
                key: part
                if type(part) in _PLAIN
                else _to(part, f"{path}[{key!r:.60}]", depth + 1, write)
                for key, part in value.items()
            }
            return {"$dict": plain} if _looks_tagged(plain) else plain
        return {
            "$items": [
                [
                    _to(key, f"a key of {path}", depth + 1, write),
                    _to(part, f"{path}[{key!r:.60}]", depth + 1, write),
                ]
                for key, part in value.items()
            ]
        }
    if isinstance(value, (tuple, set, frozenset)):
        # Sorted, so that equal sets have equal texts.
        parts = value if isinstance(value, tuple) else sorted(value, key=repr)
        listed = [_to(part, f"{path}[{i}]", depth + 1, write) for i, part in enumerate(parts)]
        name = "tuple" if isinstance(value, tuple) else type(value).__name__
        return {f"${name}": listed}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, timedelta):
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, (datetime, date, time)):
        kind: Any = next(cls for cls in (datetime, date, time) if isinstance(value, cls))
        if value == value:  # noqa: PLR0124 - unlike pandas' NaT, a datetime that is no time
            return {f"${kind.__name__}": kind.isoformat(value)}
    if isinstance(value, Decimal):
        return {"$decimal": Decimal.__str__(value)}
    if isinstance(value, UUID):
        return {"$uuid": UUID.__str__(value)}
    cls = type(value)
    raise NotJSONError(
        f"{path} has the type {cls.__module__}.{cls.__qualname__}, which cannot be stored", path
    )


class Rewriter:
    """Converts a growing value repeatedly; each time, only what is new costs anything.

    For lists of objects, at any depth of nested objects, it reuses the converted beginning that is
    unchanged. So a conversation of a thousand messages costs no more than its new ones.
    """

    def __init__(self) -> None:
        # By path: a fingerprint of each element, and its converted form.
        self._lists: dict[str, tuple[list[bytes | str], list[Any]]] = {}

    def to_json(self, value: Any, path: str = "value") -> Any:
        """Returns the same as the function `to_json`. Do not modify the result."""
        if type(value) is dict and all(type(key) is str for key in value):
            plain = {key: self.to_json(part, f"{path}.{key}") for key, part in value.items()}
            return {"$dict": plain} if _looks_tagged(plain) else plain
        if type(value) is not list or not value or type(value[0]) is not dict:
            return to_json(value, path)
        before, written = self._lists.get(path, ([], []))
        prints = list(map(_fingerprint, value))
        pairs = enumerate(zip(before, prints, strict=False))
        same = next((i for i, (old, new) in pairs if old != new), min(len(before), len(prints)))
        new = [to_json(part, f"{path}[{i}]") for i, part in enumerate(value[same:], same)]
        self._lists[path] = (prints, [*written[:same], *new])
        return self._lists[path][1]


def _fingerprint(value: Any) -> bytes | str:
    """Returns bytes or text that differ whenever two values differ, even 1 and True."""
    try:
        return marshal.dumps(value, _MARSHAL)
    except ValueError:  # it contains more than plain values
        return repr(value)


_SCALARS: Readers = {
    "$float": float,
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda parts: timedelta(*parts),
    "$decimal": Decimal,
    "$uuid": UUID,
}

_CONTAINERS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "$tuple": lambda parts, read: tuple(map(read, parts)),
    "$set": lambda parts, read: set(map(read, parts)),
    "$frozenset": lambda parts, read: frozenset(map(read, parts)),
    "$dict": lambda plain, read: {key: read(part) for key, part in plain.items()},
    "$items": lambda pairs, read: {read(key): read(part) for key, part in pairs},
}

_NONE: Readers = {}


def from_json(value: Any, *, readers: Readers = _NONE) -> Any:
    """Returns the value that was passed to `to_json`.

    Args:
        value: What `to_json` returned.
        readers: A function for each tag of the `Writer` that was used.

    Raises:
        ValueError: The content of a tag is invalid, so `to_json` did not write the value.
    """
    if isinstance(value, list):
        return [
            part if type(part) in _PLAIN else from_json(part, readers=readers) for part in value
        ]
    if not isinstance(value, dict):
        return value
    if _looks_tagged(value):
        ((tag, part),) = value.items()
        read = partial(from_json, readers=readers)
        try:
            if tag in _SCALARS:
                return _SCALARS[tag](part)
            if tag in _CONTAINERS:
                return _CONTAINERS[tag](part, read)
            if tag in readers:
                return readers[tag](read(part))
        except (TypeError, ArithmeticError, AttributeError) as error:
            raise ValueError(f"{tag} has invalid content: {error}") from error
    return {
        key: part if type(part) in _PLAIN else from_json(part, readers=readers)
        for key, part in value.items()
    }


def with_floats(written: Any, value: Any) -> Any:
    """Returns what pydantic wrote of a value, with NaN and infinities put back.

    Pydantic writes null for them in fields of type `Any`. `to_json` can store the result.

    Args:
        written: What pydantic wrote, decoded: dicts, lists and scalars.
        value: The value it was written from: a model, a dataclass or a container. Where the two
            differ in shape, `written` is returned as it is.
    """
    if written is None:
        return value if isinstance(value, float) else None
    if isinstance(written, list):
        parts = list(value) if isinstance(value, (list, tuple, set, frozenset)) else []
        if len(parts) == len(written):
            return [with_floats(*pair) for pair in zip(written, parts, strict=True)]
    if isinstance(written, dict):
        if isinstance(value, Mapping):
            parts = list(value.values())  # not by name: pydantic writes names as strings
        else:
            parts = [getattr(value, name, None) for name in written]
        if len(parts) == len(written):
            pairs = zip(written.items(), parts, strict=True)
            return {name: with_floats(one, part) for (name, one), part in pairs}
    return written


def from_stored(data: Json) -> Any:
    """Returns the value that was passed to `to_json` and then stored.

    Most stored values contain no tag. They are returned as they are decoded, because copying one
    takes as long as decoding it.
    """
    value, text = data.value, data.held_text
    may_be_tagged = looks_tagged(text) if text else _TAG in marshal.dumps(value, _MARSHAL)
    return from_json(value) if may_be_tagged else value


def looks_tagged(text: str) -> bool:
    """Returns whether JSON text, as `Json` holds it, may contain a tag."""
    return "$" in text and _TAG_TEXT in text  # one character is found in a tenth of the time


def _looks_tagged(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")
