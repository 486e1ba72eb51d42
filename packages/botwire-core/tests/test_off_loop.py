"""Large values are converted in a thread, small ones directly."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from botwire.off_loop import LARGE, is_large, off_loop


@dataclass
class Held:
    value: Any


@dataclass(slots=True)
class Slotted:
    value: Any


class Picture:
    def tobytes(self) -> bytes:
        return b""


TEXT = "x" * (LARGE + 1)


@pytest.mark.parametrize(
    ("value", "large"),
    [
        ("x", False),
        (TEXT, True),
        (TEXT.encode(), True),
        ({"a": [("b", Held(TEXT))]}, True),
        ({"a": [("b", Held("x"))]}, False),
        ([Held("x")] * 10_000, True),
        (Held(Picture()), True),
        (Slotted(TEXT), True),
        (Slotted("x"), False),
        (Picture, False),
        (None, False),
    ],
    ids=lambda value: f"{value!r:.20}",
)
async def test_what_is_large_is_converted_in_a_thread(value: Any, large: bool) -> None:
    assert is_large(value) == large
    ident = await off_loop(lambda _: threading.get_ident(), value)
    assert (ident != threading.get_ident()) == large


async def test_a_value_that_holds_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert is_large(value)
