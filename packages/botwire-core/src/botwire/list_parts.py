"""Says where the items of a list are that is stored in parts.

A part is a value that holds some of the items, joined by `botwire.framing`. A list is described by
its spans, in order: ``[first, last]`` stands for all items of these parts, and
``[part, part, start, stop]`` for a slice of one part.

botwire-langgraph stores channels so, and the console reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Span = Sequence[int]
"""``[first, last]`` or ``[part, part, start, stop]``."""

MARK = b"parts\x00"
"""The first bytes of a value that holds spans, as JSON, in place of a list."""


class Position(NamedTuple):
    """Where an item is stored.

    Attributes:
        part: The number of the part.
        position: The item's position in the part.
    """

    part: int
    position: int


def part_key(prefix: str, number: int) -> str:
    """Returns the key of a part, given the prefix of the keys of all parts."""
    return f"{prefix}{number:012}"


def part_number(key: str) -> int:
    """Returns the number of the part that a key names."""
    return int(key.rsplit("/", 1)[1])


def part_numbers(spans: Iterable[Span]) -> set[int]:
    """Returns the numbers of the parts that spans name."""
    return {number for first, last, *_ in spans for number in range(first, last + 1)}


def positions(spans: Iterable[Span], sizes: Mapping[int, int]) -> list[Position]:
    """Returns where the items of a list are, in order.

    Args:
        spans: The list's spans.
        sizes: The number of items in each part.
    """
    return [
        Position(number, position)
        for first, last, *window in spans
        for number in range(first, last + 1)
        for position in range(*window or (sizes[number],))
    ]
