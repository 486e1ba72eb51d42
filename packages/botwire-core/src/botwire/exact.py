"""Exact JSON: a value comes back equal, or is refused before any I/O.

The standard library's `json` silently turns tuples into lists, numeric keys into strings and NaN
into something that is not JSON. Here a value is encoded, decoded and compared, all in C. It is
walked only if the two differ, to say where the problem is.
"""

from __future__ import annotations

import json
import math
from typing import Any

from botwire.errors import NotJSONError, ServerError

MAX_DEPTH = 200
"""Deepest nesting of lists and objects; far below the limit of any decoder's stack."""

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_decoder = json.JSONDecoder()


class Json:
    """A JSON value, held as text or as an object and converted only when needed.

    An engine stores the text and never decodes it. A client that received an object never encodes
    it again. So each side converts at most once.

    Attributes:
        held_text: The JSON text, which is known to be exact; None while the value is held as an
            object.
    """

    __slots__ = ("_value", "held_text")

    held_text: str | None
    _value: Any

    @classmethod
    def of(cls, value: Any, path: str = "value") -> Json:
        """Encodes a caller's value.

        Args:
            value: None, bool, int, float, str, list or dict, nested. A `Json` is returned as it is,
                so that a caller can encode a large value in a thread.
            path: The name of the value in errors.

        Raises:
            NotJSONError: The value would not come back equal.
        """
        if isinstance(value, Json):
            return value
        text = encode(value, path)
        new = cls.__new__(cls)
        new.held_text = text
        new._value = None
        return new

    @classmethod
    def from_text(cls, text: str) -> Json:
        """Wraps a text that `of` produced."""
        new = cls.__new__(cls)
        new.held_text = text
        new._value = None
        return new

    @classmethod
    def from_decoded(cls, value: Any) -> Json:
        """Wraps an object fresh from a JSON decoder; nothing else may refer to it."""
        new = cls.__new__(cls)
        new.held_text = None
        new._value = value
        return new

    @property
    def text(self) -> str:
        """The value as JSON text in ASCII."""
        if self.held_text is None:
            self.held_text = _encode(self._value)
        return self.held_text

    @property
    def value(self) -> Any:
        """The value as an object; the caller owns it.

        Raises:
            ServerError: It was damaged where it is stored.
        """
        if self.held_text is None:
            return self._value
        return decode_stored(self.held_text)

    @property
    def is_object(self) -> bool:
        """Whether the value is a JSON object."""
        if self.held_text is None:
            return isinstance(self._value, dict)
        return self.held_text.startswith("{")

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Json) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Json({self.text[:60]})"


def encode(value: Any, path: str = "value") -> str:
    """Returns `value` as ASCII JSON text that decodes to an equal value.

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
    """Returns the text of a value fresh from a JSON decoder that rejects NaN.

    Values from such a decoder come back equal, with two exceptions: values nested too deeply, and
    numbers too large for a float, which the decoder turns into infinity.

    Args:
        value: The value.
        path: The name of the value in errors.
        above: How deeply the value itself is nested.

    Raises:
        NotJSONError: The value is one of the exceptions.
    """
    try:
        text = _encode(value)
    except (ValueError, RecursionError):
        return encode(value, path)  # raises an error that says where
    if _brackets(text) > MAX_DEPTH - above and _is_too_deep(value, MAX_DEPTH - above):
        raise NotJSONError(f"{path} is nested deeper than {MAX_DEPTH} levels", path)
    return text


def decode(text: str) -> Any:
    """Decodes JSON; quickest if there is no white space around it, as in what `encode` made.

    Raises:
        ValueError: The text is not JSON.
        RecursionError: It is nested too deeply.
    """
    # Looking for white space takes as long as decoding a small value.
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError:
        end = -1
    return value if end == len(text) else _decoder.decode(text)


def decode_stored(text: str) -> Any:
    """Decodes JSON that `encode` made and a store held since.

    Raises:
        ServerError: It is damaged.
    """
    try:
        return decode(text)
    except (ValueError, RecursionError) as error:
        raise ServerError(
            f"a value was damaged where it is stored, and is not JSON any more: {error} (`botwire "
            "check` lists which)"
        ) from None


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
                    f"{where} has a surrogate pair as two code points, which JSON cannot tell from "
                    "the one character they encode: write the character itself",
                    where,
                )
        elif isinstance(part, int):
            try:
                int.__repr__(part)
            except ValueError:
                raise NotJSONError(f"{where} is an int with too many digits", where) from None
        elif isinstance(part, float):
            if not math.isfinite(part):
                raise NotJSONError(f"{where} is {part!r}, which JSON does not have", where)
        elif isinstance(part, (dict, list)):
            if depth > MAX_DEPTH:
                raise NotJSONError(
                    f"{path} is nested deeper than {MAX_DEPTH} levels, or contains itself", where
                )
            if isinstance(part, dict):
                for key in part:
                    if not isinstance(key, str):
                        raise NotJSONError(
                            f"{where} has the key {key!r:.40} of type {type(key).__name__}: "
                            "JSON keys must be strings",
                            where,
                        )
                    stack.append((key, f"a key of {where}", depth))
                items = [(part[key], f"{where}[{key!r:.60}]") for key in part]
            else:
                items = [(item, f"{where}[{i}]") for i, item in enumerate(part)]
            stack.extend((item, name, depth + 1) for item, name in reversed(items))
        else:
            raise NotJSONError(
                f"{where} has the type {_type_name(part)}, which JSON does not have{_hint(part)}",
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
