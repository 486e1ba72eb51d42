"""Finds the programs of a README, and what they need beside the package, and runs them.

Run as a script, it takes the path of a README and runs its programs one after the other, in this
environment, in one process, because frameworks take seconds to import. They see nothing of each
other's names.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"`pip install ([^`\"]+)`")


def programs(readme: Path) -> list[str]:
    """Returns the Python programs of a README, in their order."""
    return _PROGRAM.findall(readme.read_text())


def needs(readme: Path) -> list[str]:
    """Returns what a README says that its examples need beside the package and its extra.

    It says so by a command to install them, without quotes; that of the package itself has some.
    """
    return sorted({word for line in _NEEDS.findall(readme.read_text()) for word in line.split()})


def main() -> None:
    """Runs the programs of the README that is named."""
    for program in programs(Path(sys.argv[1])):
        print(program, file=sys.stderr)
        exec(compile(program, "the program above", "exec"), {"__name__": "__main__"})  # noqa: S102


if __name__ == "__main__":
    main()
