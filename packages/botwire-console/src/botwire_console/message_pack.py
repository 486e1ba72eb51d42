"""Reads MessagePack as plain data, whatever it was made from.

LangGraph stores Python objects as extensions that name a class and its arguments. They are never
revived here: an object becomes the data that it was made from, with the name of its class.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 200
"""Deepest nesting."""
CLASS = "(class)"
"""The field that names the class of an object, unless its data say what it is."""

_ONE_ARGUMENT, _ARGUMENTS, _FIELDS, _METHOD, _PYDANTIC_1, _PYDANTIC, _ARRAY = range(7)
_PLAIN = frozenset({"builtins", "collections", "datetime", "decimal", "ipaddress", "pathlib",
                    "re", "uuid", "zoneinfo"})  # fmt: skip
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_LENGTHS = {1: ">B", 2: ">H", 4: ">I"}


class UnreadableError(ValueError):
    """The bytes are not MessagePack, or nested too deeply."""


def unpack(data: bytes) -> Any:
    """Returns the value of some MessagePack, as what JSON can hold.

    Raises:
        UnreadableError: It is none.
    """
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise UnreadableError("more bytes follow the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def _take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > len(self._data):
            raise UnreadableError("the bytes end within a value")
        return self._data[start : self.at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise UnreadableError("the value is nested too deeply")
        first = self._take(1)[0]
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 0x100
        if first < 0x90:
            return self._map(first & 0x0F, depth)
        if first < 0xA0:
            return self._list(first & 0x0F, depth)
        if first < 0xC0:
            return self._text(first & 0x1F)
        if first in _NUMBERS:
            return self._number(_NUMBERS[first])
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if 0xD4 <= first <= 0xD8:
            return self._extension(1 << (first - 0xD4), depth)
        return self._sized(first, depth)

    def _sized(self, first: int, depth: int) -> Any:
        """Returns a value whose length stands before it."""
        kinds: dict[int, tuple[int, Callable[[int], Any]]] = {}
        for at, width in enumerate((1, 2, 4)):
            kinds[0xC4 + at] = width, lambda count: _described(self._take(count))
            kinds[0xC7 + at] = width, lambda count: self._extension(count, depth)
            kinds[0xD9 + at] = width, self._text
        for at, width in enumerate((2, 4)):
            kinds[0xDC + at] = width, lambda count: self._list(count, depth)
            kinds[0xDE + at] = width, lambda count: self._map(count, depth)
        if first not in kinds:
            raise UnreadableError(f"no value begins with {first:#x}")
        width, read = kinds[first]
        return read(self._number(_LENGTHS[width]))

    def _text(self, count: int) -> str:
        return self._take(count).decode("utf-8", "backslashreplace")

    def _list(self, count: int, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(count)]

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        found = {}
        for _ in range(count):
            name = self.value(depth + 1)
            found[name if isinstance(name, str) else str(name)] = self.value(depth + 1)
        return found

    def _extension(self, count: int, depth: int) -> Any:
        kind = self._number(">b")
        data = self._take(count)
        try:
            inner = _Reader(data)
            parts = inner.value(depth + 1)
        except UnreadableError:
            return {CLASS: f"extension {kind}", "bytes": len(data)}
        if not isinstance(parts, list) or len(parts) < 3:  # module, name, arguments
            return parts
        module, name, content = parts[0], str(parts[1]), parts[2]
        if kind == _ARRAY:
            return {CLASS: "array", "type": parts[0], "shape": parts[1]}
        if kind == _METHOD or module in _PLAIN:
            return _only(content) if kind in (_ONE_ARGUMENT, _ARGUMENTS, _METHOD) else content
        if isinstance(content, dict):
            return content if isinstance(content.get("type"), str) else {CLASS: name, **content}
        return {CLASS: name, "value": content}


def _only(content: Any) -> Any:
    return content[0] if isinstance(content, list) and len(content) == 1 else content


def _described(data: bytes) -> Any:
    return {CLASS: "bytes", "bytes": len(data), "begins": data[:24].hex(" ")}
