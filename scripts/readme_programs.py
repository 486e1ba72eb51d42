"""Finds and runs the programs of a README, and finds what they need besides the package.

Run as a script, it takes the path of a README and runs its programs one after another in this
environment. They share one process, because frameworks take seconds to import, but not their
names.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

_PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"`pip install ([^`]+)`")


def programs(readme: Path) -> list[str]:
    """Returns the Python programs of a README, in order."""
    return _PROGRAM.findall(readme.read_text())


def needs(readme: Path) -> list[str]:
    """Returns the requirements of a README's examples besides the package and its extra.

    They are in commands such as `pip install numpy`. What is installed as ``botwire[EXTRA]`` is the
    package itself.
    """
    words = {word for line in _NEEDS.findall(readme.read_text()) for word in shlex.split(line)}
    return sorted(word for word in words if not word.startswith("botwire["))


def main() -> None:
    """Runs the programs of the README that the command line names."""
    for program in programs(Path(sys.argv[1])):
        print(program, file=sys.stderr)
        exec(compile(program, "the program above", "exec"), {"__name__": "__main__"})  # noqa: S102


if __name__ == "__main__":
    main()
