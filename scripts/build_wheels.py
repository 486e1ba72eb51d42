"""Builds every distribution of this repository into ``dist``.

``hatch build --all`` would build only the members of the default environment, but each adapter has
its own.
"""

from __future__ import annotations

import subprocess
import sys

from environments import ROOT
from published import folders


def main() -> int:
    """Builds a wheel and a source archive of each distribution; returns the exit code."""
    for folder in folders():
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(ROOT / "dist")]
        done = subprocess.run(command, cwd=folder, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
