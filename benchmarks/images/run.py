"""How long a message with a large image keeps the event loop from other tasks.

    hatch run bench images [FRAMEWORK ...]

Each ``NAME_images.py`` writes and reads such a message through one framework's classes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import frameworks
from benchmarks.images.frame import HEAD


def main(arguments: Sequence[str]) -> int:
    """Measures some frameworks, or all; returns the exit code."""
    return frameworks.measure("images", HEAD, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
