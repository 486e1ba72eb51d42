"""Races several processes on one memory, through each framework's own classes and through ours.

    hatch run bench races [FRAMEWORK ...] [--processes 4] [--writes 25]

Prints a Markdown table. Each ``NAME_race.py`` has the contenders of one framework, and runs in that
framework's environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.races.frame import HEAD
from scripts import environments
from tests.offline import TELEMETRY_OFF

FOLDER = Path(__file__).parent
SUFFIX = "_race.py"


def programs() -> dict[str, Path]:
    """Returns the module of each framework, by the framework's name."""
    return {path.name.removesuffix(SUFFIX): path for path in sorted(FOLDER.glob(f"*{SUFFIX}"))}


def main(arguments: Sequence[str]) -> int:
    """Runs the races of some frameworks, or of all; returns the exit code."""
    known = programs()
    parser = argparse.ArgumentParser("hatch run bench races")
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=", ".join(known))
    parser.add_argument("--processes", type=int, default=4, help="how many write at once")
    parser.add_argument("--writes", type=int, default=25, help="how often each writes")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.frameworks) - {*known}:
        parser.error(f"no race {min(unknown)!r}; choose from {', '.join(known)}")
    root = FOLDER.parent.parent
    print(f"{chosen.processes} processes, {chosen.writes} writes each.\n\n{HEAD}", flush=True)
    code = 0
    for name in chosen.frameworks or known:
        path = known[name]
        python = environments.python(environments.environment_of_program(path))
        command = [python, "-m", "benchmarks.races.program", path.stem]
        done = subprocess.run(
            [*command, str(chosen.processes), str(chosen.writes)],
            check=False,
            cwd=root,
            env={**os.environ, **TELEMETRY_OFF},
        )
        code = code or done.returncode
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
