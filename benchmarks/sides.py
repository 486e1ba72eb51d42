"""Several sides do the same work in turn; a table has each one's time and its ratio to ours.

A time is that of the fastest tenth of the rounds. Other programs on the machine make rounds slower
and never faster, so on a busy machine it says more of the work than the median does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BLOCKS = 4
"""The rounds are dealt into this many blocks; the spread is that of the blocks' ratios."""
HEAD = """\
| work | class | time | ratio to ours | spread |
|---|---|---|---|---|"""


def timed(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Runs all sides in turn, many times; returns each one's seconds, in the order measured."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for work in sides.values():
        work()  # what only a first call costs is not measured
    for _ in range(rounds):
        for name, work in sides.items():
            started = time.perf_counter()
            work()
            spent[name].append(time.perf_counter() - started)
    return spent


def print_rows(what: str, sides: Mapping[str, Callable[[], Any]], rounds: int) -> None:
    """Measures some work and prints a row for each side.

    The first side is the one that the ratios are to.

    Args:
        what: The work.
        sides: How each side does it, by the name to print.
        rounds: How often each does it.
    """
    spent = timed(sides, rounds)
    ours = next(iter(spent.values()))
    for name, times in spent.items():
        ratio = spread = ""
        if times is not ours:
            ratio = f"{fastest(times) / fastest(ours):.2f}"
            ratios = [
                fastest(times[block::BLOCKS]) / fastest(ours[block::BLOCKS])
                for block in range(BLOCKS)
            ]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"| {what} | {name} | {fastest(times) * 1e3:.2f} ms | {ratio} | {spread} |", flush=True
        )


def fastest(times: Sequence[float]) -> float:
    """Returns the time within which the fastest tenth of the rounds are done."""
    return sorted(times)[len(times) // 10]
