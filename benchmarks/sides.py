"""Several sides do the same work in turn; a table has each one's time and its ratio to ours.

A time is that of the fastest tenth of the rounds. Other programs on the machine make rounds slower
and never faster, so on a busy machine it says more of the work than the median does. The CPU time
is that of the calling process alone, without a server's. It depends least on what else runs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

BLOCKS = 4
"""The rounds are dealt into this many blocks; the spread is that of the blocks' ratios."""
HEAD = """\
| work | class | time | ratio to ours | spread | CPU | ratio to ours |
|---|---|---|---|---|---|---|"""


class Spent(NamedTuple):
    """The seconds that each round of a side took, on the clock and of this process's CPU."""

    clock: list[float]
    cpu: list[float]


def timed(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Spent]:
    """Runs all sides in turn, many times."""
    spent = {name: Spent([], []) for name in sides}
    for work in sides.values():
        work()  # what only a first call costs is not measured
    # The modules of all peers are in this process. Without this, the side that happens to cause a
    # whole garbage collection would be charged for looking through them.
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for name, work in sides.items():
            started, computed = time.perf_counter(), time.process_time()
            work()
            spent[name].clock.append(time.perf_counter() - started)
            spent[name].cpu.append(time.process_time() - computed)
    return spent


def print_rows(what: str, sides: Mapping[str, Callable[[], Any]], rounds: int) -> None:
    """Measures some work and prints a row for each side.

    The first side is the one that the ratios are to.

    Args:
        what: The work.
        sides: How each side does it, by the name to print.
        rounds: How often each does it.
    """
    print_spent(what, timed(sides, rounds))


def print_spent(what: str, spent: Mapping[str, Spent]) -> None:
    """Prints a row for each side; see `print_rows`."""
    ours = next(iter(spent.values()))
    for name, side in spent.items():
        ratio = spread = cpu = ""
        if side is not ours:
            ratio = f"{fastest(side.clock) / fastest(ours.clock):.2f}"
            cpu = f"{fastest(side.cpu) / fastest(ours.cpu):.2f}"
            ratios = [
                fastest(side.clock[block::BLOCKS]) / fastest(ours.clock[block::BLOCKS])
                for block in range(BLOCKS)
            ]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        cells = [
            *(what, name, f"{fastest(side.clock) * 1e3:.2f} ms", ratio, spread),
            *(f"{fastest(side.cpu) * 1e3:.2f} ms", cpu),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def fastest(times: Sequence[float]) -> float:
    """Returns the time within which the fastest tenth of the rounds are done."""
    return sorted(times)[len(times) // 10]
