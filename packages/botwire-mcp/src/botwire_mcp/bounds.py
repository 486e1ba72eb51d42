"""Keeps answers short, and turns any stored value into JSON that every client can read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

DEFAULT_CHARS = 8_000
"""Characters in an answer by default: about 2,000 tokens."""
MIN_CHARS = 200
MAX_CHARS = 100_000


def count_of(given: int, default: int, most: int) -> int:
    """Returns how many elements an answer may have; 0 or less means the default."""
    return min(given, most) if given > 0 else default


def limit_of(max_chars: int) -> int:
    """Returns the number of characters that an answer may have."""
    return max(count_of(max_chars, DEFAULT_CHARS, MAX_CHARS), MIN_CHARS)


def cut(text: str, most: int) -> str:
    """Returns a text, or its beginning with a note about how much is missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… [{len(text) - most:,} more characters]"


def fit(rows: Sequence[dict[str, Any]], max_chars: int) -> list[dict[str, Any]]:
    """Returns the first rows that fit, but at least one, whose text is cut if necessary.

    Args:
        rows: JSON objects, whose long field is ``text``.
        max_chars: The most characters that they may have in all.
    """
    left = limit_of(max_chars)
    kept: list[dict[str, Any]] = []
    for row in rows:
        size = len(to_text(row))
        if size > left:
            if not kept:
                kept.append({**row, "text": cut(row["text"], left)} if "text" in row else row)
            break
        kept.append(row)
        left -= size
    return kept


def to_text(value: Any) -> str:
    """Returns a value as short JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def whole(message: str | bytes) -> str:
    """Returns a message in JSON with U+FFFD for each lone surrogate, which the SDK cannot read.

    A client that cuts a text inside an emoji sends half of a surrogate pair.

    Raises:
        ValueError: The message is not JSON.
        RecursionError: It is nested too deeply.
    """
    text = json.dumps(json.loads(message), ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def portable(value: Any) -> Any:
    """Returns a value that any JSON parser can read.

    BotWire stores lone surrogates and non-finite numbers exactly. JSON in UTF-8 has neither, so
    they are shown as text.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {portable(name): portable(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(part) for part in value]
    return value
