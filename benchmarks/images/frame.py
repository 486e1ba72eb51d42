"""What the programs of this benchmark share: the image, the places, the measure.

A hold is what one turn of the event loop took, in CPU time of the loop's thread. Other programs on
the machine do not lengthen it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from scripts.serving import serve
from tests.holding import longest_hold

ROUNDS = 5
IMAGE = os.urandom(2_500_000)
ENCODED = base64.b64encode(IMAGE).decode()
MIME: Final = "image/png"
HEAD = """\
| framework | work | a file | a server |
|---|---|---|---|"""
Works = Mapping[str, Callable[[], Awaitable[Any]]]


def main(framework: str, works: Callable[[str], Awaitable[Works]]) -> None:
    """Prints a row for each kind of work, with the median of its longest holds.

    Args:
        framework: The framework's name.
        works: Makes each kind of work, by name, for a URL.
    """
    with tempfile.TemporaryDirectory() as name:
        file, served = (f"sqlite:///{Path(name) / each}.db" for each in ("file", "served"))
        with serve(served, "--max-body", "100000000") as server:
            holds = [asyncio.run(_holds(works, url)) for url in (file, server.url)]
    for work in holds[0]:
        cells = " | ".join(f"{found[work] * 1e3:.0f} ms" for found in holds)
        print(f"| {framework} | {work} | {cells} |", flush=True)


async def _holds(works: Callable[[str], Awaitable[Works]], url: str) -> dict[str, float]:
    """Returns the median of the longest holds of each kind of work, in seconds."""
    found: dict[str, list[float]] = {}
    for name, work in (await works(url)).items():
        for _ in range(ROUNDS):
            found.setdefault(name, []).append((await longest_hold(work()))[1])
    return {name: statistics.median(holds) for name, holds in found.items()}
