"""Reads MessagePack as plain data, whatever objects it was made from.

LangGraph stores Python objects as extensions that name a class and its arguments. They are never
revived here: an object becomes its arguments, with the name of its class.
"""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]

MAX_DEPTH = 200
"""Deepest nesting."""
CLASS = "(class)"
"""The field that names the class of an object, unless its data makes that clear."""

_ONE_ARGUMENT, _ARGUMENTS, _FIELDS, _METHOD, _PYDANTIC_1, _PYDANTIC, _ARRAY = range(7)
_PLAIN = frozenset({"builtins", "collections", "datetime", "decimal", "ipaddress", "pathlib",
                    "re", "uuid", "zoneinfo"})  # fmt: skip


class UnreadableError(ValueError):
    """The bytes are not MessagePack, or nested too deeply."""


class _Map(list[tuple[Any, Any]]):
    """The names and values of a map; a name may be of any type."""


def unpack(data: bytes) -> Any:
    """Returns a MessagePack value as something that JSON can hold.

    Raises:
        UnreadableError: The bytes are not MessagePack.
    """
    return _unpack(data, 0)


def _unpack(data: bytes, depth: int) -> Any:
    try:
        value = msgpack.unpackb(
            data, object_pairs_hook=_Map, strict_map_key=False, unicode_errors="backslashreplace"
        )
    except (ValueError, msgpack.UnpackException) as error:  # the first kinds mean damage
        raise UnreadableError(str(error) or type(error).__name__) from error
    return _plain(value, depth)


def _plain(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise UnreadableError("the value is nested too deeply")
    if isinstance(value, _Map):
        pairs = ((_plain(name, depth + 1), part) for name, part in value)
        return {
            name if isinstance(name, str) else str(name): _plain(part, depth + 1)
            for name, part in pairs
        }
    if isinstance(value, list):
        return [_plain(part, depth + 1) for part in value]
    if isinstance(value, bytes):
        return {CLASS: "bytes", "bytes": len(value), "begins": value[:24].hex(" ")}
    if isinstance(value, msgpack.ExtType):
        return _extension(value.code, value.data, depth)
    if isinstance(value, msgpack.Timestamp):
        return value.to_unix()
    return value


def _extension(kind: int, data: bytes, depth: int) -> Any:
    try:
        parts = _unpack(data, depth + 1)
    except UnreadableError:
        return {CLASS: f"extension {kind}", "bytes": len(data)}
    if not isinstance(parts, list) or len(parts) < 3:  # module, name, arguments
        return parts
    module, name, content = str(parts[0]), str(parts[1]), parts[2]
    if kind == _ARRAY:
        return {CLASS: "array", "type": parts[0], "shape": parts[1]}
    if kind == _METHOD or module in _PLAIN:
        return _only(content) if kind in (_ONE_ARGUMENT, _ARGUMENTS, _METHOD) else content
    if isinstance(content, dict):
        return content if isinstance(content.get("type"), str) else {CLASS: name, **content}
    return {CLASS: name, "value": content}


def _only(content: Any) -> Any:
    return content[0] if isinstance(content, list) and len(content) == 1 else content
