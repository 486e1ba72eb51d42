"""Items of a history as engines return them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botwire import Item
from botwire.clock import now
from botwire.exact import Json
from botwire.operations import HistoryItem


def stored_items(values: Iterable[Any], *, decoded: bool = False) -> list[Item]:
    """Returns items that hold these values as text, or decoded, as a server's client does."""
    held = [Json.of(value) for value in values]
    if decoded:
        held = [Json.from_decoded(one.value) for one in held]
    return [Item(HistoryItem(i, f"i{i}", one, now())) for i, one in enumerate(held, 1)]
