"""Exact JSON: what comes back equals what went in, or it is refused before any I/O.

The standard library's `json` turns tuples into lists, numbers used as keys into strings and NaN
into something that is not JSON, all without a word. Here a value is encoded, decoded again and
compared, in C, and only if the two differ is it walked to say where the trouble sits.
"""

from __future__ import annotations

import json
import math
from typing import Any

from botwire.errors import NotJSONError

MAX_DEPTH = 200
"""Deepest nesting of lists and objects; far below what any decoder's stack allows."""

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_decoder = json.JSONDecoder()


class Json:
    """A JSON value, held as text or as an object, converted when the other form is asked for.

    An engine keeps the text as it is and never decodes it; a client that was sent an object
    never encodes it again. Each side converts at most once.
    """

    __slots__ = ("_text", "_value")

    _text: str | None
    _value: Any

    @classmethod
    def of(cls, value: Any, path: str = "value") -> Json:
        """Encodes a caller's value.

        Args:
            value: What to keep: None, bool, int, float, str, list or dict, nested.
            path: What to call the value in an error.

        Raises:
            NotJSONError: The value would not come back equal.
        """
        text = encode(value, path)
        new = cls.__new__(cls)
        new._text = text
        new._value = None
        return new

    @classmethod
    def from_text(cls, text: str) -> Json:
        """Takes a text that `of` made before."""
        new = cls.__new__(cls)
        new._text = text
        new._value = None
        return new

    @classmethod
    def from_decoded(cls, value: Any) -> Json:
        """Takes an object fresh from a JSON decoder that nobody else holds."""
        new = cls.__new__(cls)
        new._text = None
        new._value = value
        return new

    @property
    def text(self) -> str:
        """The value as JSON text of ASCII characters only."""
        if self._text is None:
            self._text = _encode(self._value)
        return self._text

    @property
    def value(self) -> Any:
        """The value as an object; the caller owns it."""
        if self._text is None:
            return self._value
        return decode(self._text)

    @property
    def is_object(self) -> bool:
        """Whether the value is a JSON object."""
        if self._text is None:
            return isinstance(self._value, dict)
        return self._text.startswith("{")

    @property
    def is_text(self) -> bool:
        """Whether the text is there already, and so is known to be exact."""
        return self._text is not None

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Json) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Json({self.text[:60]})"


def encode(value: Any, path: str = "value") -> str:
    """Returns `value` as ASCII JSON text that decodes to an equal value, or raises.

    Raises:
        NotJSONError: The value would not come back equal.
    """
    try:
        text = _encode(value)
        same = decode(text) == value
    except (TypeError, ValueError, RecursionError, OverflowError):
        same = False
    if not same or (_brackets(text) > MAX_DEPTH and _is_too_deep(value)):
        _refuse(value, path)
        raise NotJSONError(f"{path} does not come back equal from JSON", path)
    return text


def encode_decoded(value: Any, path: str = "value", above: int = 0) -> str:
    """Returns the text of a value fresh from a JSON decoder that refuses NaN.

    Whatever such a decoder makes comes back equal, but for what is nested too deeply and for
    numbers beyond every float, which it takes for infinite.

    Args:
        value: The value.
        path: What to call it in an error.
        above: How many levels it is nested in.

    Raises:
        NotJSONError: It is one of these.
    """
    try:
        text = _encode(value)
    except (ValueError, RecursionError):
        return encode(value, path)  # which says where
    if _brackets(text) > MAX_DEPTH - above and _is_too_deep(value, MAX_DEPTH - above):
        raise NotJSONError(f"{path} is nested deeper than {MAX_DEPTH} levels", path)
    return text


def decode(text: str) -> Any:
    """Decodes text that `encode` made."""
    # There is no white space around it, and to look for some takes as long as a small value does.
    value, end = _decoder.raw_decode(text)
    return value if end == len(text) else _decoder.decode(text)  # which says what is wrong


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _is_too_deep(value: Any, most: int = MAX_DEPTH) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            child
            for part in level
            for child in (part.values() if isinstance(part, dict) else part)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _refuse(value: Any, path: str) -> None:
    """Raises the error that names the first part of `value` that JSON cannot hold."""
    stack: list[tuple[Any, str, int]] = [(value, path, 1)]
    while stack:
        part, where, depth = stack.pop()
        if part is None or isinstance(part, bool):
            continue
        if isinstance(part, str):
            if decode(_encode(part)) != part:
                raise NotJSONError(
                    f"{where} holds a surrogate pair as two code points, which JSON cannot tell "
                    "from the one character they encode: write the character itself",
                    where,
                )
        elif isinstance(part, int):
            try:
                int.__repr__(part)
            except ValueError:
                raise NotJSONError(f"{where} is an int of too many digits", where) from None
        elif isinstance(part, float):
            if not math.isfinite(part):
                raise NotJSONError(f"{where} is {part!r}, which JSON does not have", where)
        elif isinstance(part, (dict, list)):
            if depth > MAX_DEPTH:
                raise NotJSONError(
                    f"{path} is nested deeper than {MAX_DEPTH} levels, or holds itself", where
                )
            if isinstance(part, dict):
                for key in part:
                    if not isinstance(key, str):
                        raise NotJSONError(
                            f"{where} has the key {key!r:.40} of type {type(key).__name__}: "
                            "JSON keys are strings",
                            where,
                        )
                    stack.append((key, f"a key of {where}", depth))
                items = [(part[key], f"{where}[{key!r:.60}]") for key in part]
            else:
                items = [(item, f"{where}[{i}]") for i, item in enumerate(part)]
            stack.extend((item, name, depth + 1) for item, name in reversed(items))
        else:
            raise NotJSONError(
                f"{where} is of type {_type_name(part)}, which JSON does not have{_hint(part)}",
                where,
            )


def _type_name(part: object) -> str:
    cls = type(part)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _hint(part: object) -> str:
    if isinstance(part, (tuple, set, frozenset)):
        return ": make it a list"
    if isinstance(part, (bytes, bytearray, memoryview)):
        return ": bytes can be the whole value of a key, or text in base64"
    return ""
