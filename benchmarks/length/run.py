"""How a late turn of a long conversation compares with an early one.

    hatch run bench length [FRAMEWORK ...]

Times are CPU times of the process that runs the agent, medians of many turns. Other programs on the
machine do not change their ratio much.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import frameworks
from benchmarks.length.frame import HEAD


def main(arguments: Sequence[str]) -> int:
    """Measures some frameworks, or all; returns the exit code."""
    return frameworks.measure("length", HEAD, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
