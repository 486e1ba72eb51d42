"""Races several processes on one memory, through each framework's own classes and through ours.

    hatch run bench races [FRAMEWORK ...] [--processes 4] [--writes 25]

Prints a Markdown table. Each ``NAME_race.py`` has the contenders of one framework, and runs in that
framework's environment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import frameworks
from benchmarks.races.frame import HEAD


def programs() -> dict[str, Path]:
    """Returns the module of each framework, by the framework's name."""
    return frameworks.programs("races", "race")


def main(arguments: Sequence[str]) -> int:
    """Runs the races of some frameworks, or of all; returns the exit code."""
    known = programs()
    parser = argparse.ArgumentParser("hatch run bench races")
    frameworks.add_choice(parser, known)
    parser.add_argument("--processes", type=int, default=4, help="how many write at once")
    parser.add_argument("--writes", type=int, default=25, help="how often each writes")
    chosen = parser.parse_args(arguments)
    paths = frameworks.chosen(parser, chosen.frameworks, known)
    print(f"{chosen.processes} processes, {chosen.writes} writes each.\n\n{HEAD}", flush=True)
    sizes = (str(chosen.processes), str(chosen.writes))
    return frameworks.run(paths, "benchmarks.races.program", *sizes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
