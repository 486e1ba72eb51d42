"""How long a message with a large image keeps the event loop from other tasks.

    hatch run bench images [FRAMEWORK ...]

Each ``NAME_images.py`` writes and reads such a message through one framework's classes.
"""

from __future__ import annotations

import sys

from benchmarks import frameworks
from benchmarks.images.frame import HEAD

if __name__ == "__main__":
    sys.exit(frameworks.measure("images", HEAD, sys.argv[1:]))
