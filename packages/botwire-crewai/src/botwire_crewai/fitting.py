"""Makes names and metadata fit: they are shortened or left out with a warning, never refused.

A model chooses scopes, categories and metadata. CrewAI saves all memories of a task together and
swallows errors, so one category that is too long would lose them all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

from botwire.exact import MAX_DEPTH
from botwire.names import MAX_ID_BYTES, MAX_NAME_BYTES, to_bytes
from botwire.operations import MAX_METADATA

MAX_SEGMENT = 255
"""Longest segment of a scope, in bytes; longer ones are shortened."""
MAX_METADATA_BYTES = 8 * 1024 * 1024
"""Longest metadata of a memory as JSON, in bytes; values beyond it are left out."""

_HASH = 12  # characters that keep two shortened names apart


def fit_text(text: Any) -> str:
    """Returns a text that JSON can hold: surrogate pairs become the character they stand for."""
    if not isinstance(text, str):
        return str(text)
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def fit_tag(category: Any) -> str:
    """Returns the tag for a category, always the same one."""
    return _shortened(fit_text(category), MAX_ID_BYTES)


def fit_scope(path: Any) -> str:
    """Returns a scope path without surrounding blanks and without segments that are too long.

    Each segment is shortened on its own, so scopes stay below their parents.
    """
    segments = [
        _shortened(fit_text(segment), MAX_SEGMENT)
        for segment in str(path or "").strip().split("/")
        if segment
    ]
    kept: list[str] = []
    size = 0
    for number, segment in enumerate(segments):
        size += len(to_bytes(segment)) + 1
        if size + _HASH + 2 > MAX_NAME_BYTES:
            return "/" + "/".join([*kept, "~" + _digest("/".join(segments[number:]))])
        kept.append(segment)
    return "/" + "/".join(kept)


def fit_metadata(metadata: Any, notes: list[str]) -> Any:
    """Returns metadata without the values that JSON or a record cannot hold.

    Values that no model can produce, such as instances of a class, stay: they are a bug in a
    program, and the store refuses them.

    Args:
        metadata: CrewAI's metadata.
        notes: Receives a line for every value that was left out, with the reason.
    """
    if not isinstance(metadata, dict):
        if metadata is not None:
            notes.append(f"its metadata is a {type(metadata).__name__} and was left out")
        return {}
    fitting: dict[str, Any] = {}
    left, values = MAX_METADATA_BYTES, MAX_METADATA - 100  # some are CrewAI's own fields
    for name, value in metadata.items():
        try:
            part = _fit_value(value)
            text = json.dumps(part)
            size, count = len(text) + len(str(name)), _count(text)
        except _UnfitError as error:
            notes.append(f"its metadata {name!r:.40} {error} and was left out")
            continue
        except (TypeError, ValueError, RecursionError):
            part, size, count = value, 0, 0  # the store refuses it with a reason
        if size > left or count > values:
            notes.append(f"its metadata {name!r:.40} is too long and was left out")
            continue
        left -= size
        values -= count
        fitting[fit_text(name)] = part
    return fitting


class _UnfitError(Exception):
    """JSON cannot hold a value of metadata."""


def _fit_value(value: Any, depth: int = 4) -> Any:  # metadata is itself some levels deep
    if depth > MAX_DEPTH:
        raise _UnfitError("is nested too deeply")
    if isinstance(value, str):
        return fit_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _UnfitError(f"holds {value!r}, which JSON does not have,")
    if isinstance(value, (list, tuple)):
        return [_fit_value(part, depth + 1) for part in value]
    if isinstance(value, dict):
        return {fit_text(name): _fit_value(part, depth + 1) for name, part in value.items()}
    return value


def _count(text: str) -> int:
    return 1 + text.count(",") + text.count("[") + text.count("{")  # an upper bound


def changed(given: Iterable[str], kept: Iterable[str], what: str) -> list[str]:
    """Returns a note for each name that was shortened."""
    return [
        f"its {what} {before[:40]!r}… of {len(before)} characters was shortened"
        for before, after in zip(given, kept, strict=True)
        if len(after) < len(before)
    ]


def _shortened(name: str, most: int) -> str:
    raw = to_bytes(name)
    if len(raw) <= most:
        return name
    return raw[: most - _HASH - 1].decode("utf-8", "ignore") + "~" + _digest(name)


def _digest(name: str) -> str:
    return hashlib.sha256(to_bytes(name)).hexdigest()[:_HASH]
