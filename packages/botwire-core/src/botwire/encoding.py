"""From what callers give to what operations hold; a bad value is refused here, before any I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botwire.errors import ConfigurationError
from botwire.exact import Json
from botwire.operations import Value


def encode_value(value: Any, path: str = "value") -> Value:
    """Returns what a key holds for `value`: bytes as they are, everything else as JSON.

    Args:
        value: A JSON value, or bytes.
        path: What to call it in an error.

    Raises:
        NotJSONError: JSON cannot hold it.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return Json.of(value, path)


def encode_items(values: Iterable[Any]) -> tuple[Json, ...]:
    """Returns the items of a history.

    Raises:
        NotJSONError: JSON cannot hold one; the message says which.
    """
    if isinstance(values, (str, bytes, dict)):
        raise ConfigurationError(f"values are a list of JSON values, not a {type(values).__name__}")
    return tuple([Json.of(value, f"values[{i}]") for i, value in enumerate(values)])


def encode_ids(ids: Iterable[str | None] | None) -> tuple[str | None, ...] | None:
    """Returns the ids of items."""
    return None if ids is None else tuple(ids)
