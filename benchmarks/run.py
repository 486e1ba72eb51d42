"""Measures BotWire against what a user would write instead: ratios, both sides in one run.

Each row does the same work both ways in turn, many times, and compares the medians. Absolute times
depend on the machine; ratios hardly do, unless others use it at the same time.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 2000
ROWS = ("engine_rows", "server_rows")
"""The modules that have them; those of adapters are programs of their own."""


def compare(name: str, ours: Callable[[], Any], bare: Callable[[], Any], reach: float) -> None:
    """Runs both in turn and prints the ratio of their medians."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for times, work in zip(spent, (ours, bare), strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    mine, theirs = (statistics.median(times) * 1e6 for times in spent)
    print(f"{name:34} {mine:9.1f} µs {theirs:9.1f} µs {mine / theirs:6.2f} (reach {reach})")


def main() -> None:
    """Measures the engines and the server."""
    print(f"{'':34} {'BotWire':>12} {'bare':>12} {'ratio':>6}")
    for name in ROWS:
        importlib.import_module(name).rows(compare)


if __name__ == "__main__":
    main()
