"""Finds images and a model's thinking inside the values of items."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PICTURES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
"""The types of images to show. SVG is not among them, because it can contain scripts."""

MOST_TEXT = 20_000
"""The most characters of a text to show; the JSON has all of them."""

THINKING = frozenset({"reasoning", "reasoning_content", "redacted_thinking", "thinking"})
"""The types of message parts that contain thinking."""

_NODES = 5000  # parts of a value in which to look for images and thinking
_THOUGHT = ("thinking", "reasoning", "text", "content", "summary")
_KINDS = ("type", "part_kind", "kind")


@dataclass
class Inside:
    """What was found inside a value.

    Attributes:
        thinking: The thoughts, in order.
        pictures: The number of images.
    """

    thinking: list[str] = field(default_factory=list)
    pictures: int = 0

    @classmethod
    def within(cls, value: Any) -> Inside:
        """Searches a value."""
        seen = cls()
        for node in _nodes(value):
            if _picture(node) is not None:
                seen.pictures += 1
            if any(node.get(kind) in THINKING for kind in _KINDS if _is_text(node.get(kind))):
                text = "\n\n".join(_thoughts(node))
                if text and text not in seen.thinking:
                    seen.thinking.append(text[:MOST_TEXT])
            elif _is_text(thought := node.get("reasoning_content")) and thought:
                seen.thinking.append(thought[:MOST_TEXT])
        return seen


def _thoughts(node: Mapping[str, Any]) -> list[str]:
    for name in _THOUGHT:
        found = node.get(name)
        if isinstance(found, str) and found:
            return [found]
        if isinstance(found, list) and found:
            return [
                part["text"] for part in found
                if isinstance(part, dict) and isinstance(part.get("text"), str)
            ]  # fmt: skip
    return []


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the objects in a value, the outermost first, up to a limit."""
    waiting, left = [value], _NODES
    while waiting and left:
        left -= 1
        node = waiting.pop(0)
        if isinstance(node, dict):
            yield node
            waiting += [part for part in node.values() if isinstance(part, (dict, list))]
        elif isinstance(node, list):
            waiting += [part for part in node if isinstance(part, (dict, list))]


def _picture(node: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns the type and the base64 text of an image block."""
    url = node.get("image_url", node.get("url"))
    if isinstance(url, dict):
        return None  # it is searched itself
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        kind, _, coding = head.partition(";")
        return (kind, data) if kind in PICTURES and coding == "base64" else None
    media = node.get("media_type", node.get("mime_type"))
    for name in ("data", "base64"):
        held = node.get(name)
        if isinstance(held, dict):
            held = held.get("$bytes")
        if isinstance(media, str) and media in PICTURES and isinstance(held, str):
            return media, held
    return None


def decode_picture(data: str) -> bytes | None:
    """Returns the bytes of an image; None if the text is not base64."""
    try:
        return base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=False)
    except ValueError:
        return None


def pictures_of(value: Any) -> Iterator[tuple[str, str]]:
    """Yields the type and the base64 text of each image in a value."""
    for node in _nodes(value):
        if (found := _picture(node)) is not None:
            yield found


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
