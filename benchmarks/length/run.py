"""How a late turn of a long conversation compares with an early one.

    hatch run bench length [FRAMEWORK ...]

Times are CPU times of the process that runs the agent, medians of many turns. Other programs on the
machine do not change their ratio much.
"""

from __future__ import annotations

import sys

from benchmarks import frameworks
from benchmarks.length.frame import HEAD

if __name__ == "__main__":
    sys.exit(frameworks.measure("length", HEAD, sys.argv[1:]))
