"""Two sides do the same work in turn; a row has their medians, the ratio and its target."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 2000


class Compare:
    """Prints rows, each of which compares two sides.

    Args:
        rounds: How often each side of a row runs, unless the row says otherwise.
    """

    def __init__(self, rounds: int = ROUNDS) -> None:
        self._rounds = rounds

    def __call__(
        self,
        name: str,
        ours: Callable[[], Any],
        bare: Callable[[], Any],
        target: float,
        rounds: int | None = None,
    ) -> None:
        """Runs both in turn and prints the ratio of their medians.

        Args:
            name: What the row measures.
            ours: Does the work with BotWire.
            bare: Does the same work without it.
            target: The ratio to stay below.
            rounds: How often to run each.
        """
        spent: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._rounds if rounds is None else rounds):
            for times, work in zip(spent, (ours, bare), strict=True):
                started = time.perf_counter()
                work()
                times.append(time.perf_counter() - started)
        mine, theirs = (statistics.median(times) * 1e6 for times in spent)
        print(f"{name:34} {mine:9.1f} µs {theirs:9.1f} µs {mine / theirs:6.2f} (target {target})")
