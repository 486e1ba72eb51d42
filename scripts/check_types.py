"""Checks types, each adapter's against its own framework: ``check_types.py [PATH…]``.

mypy is installed in the default environment only. It runs once per environment, on the code that
belongs to it, and once more on the benchmarks that run there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import environments
from environments import ROOT

CHECKED = ("packages/*/src", "server/src", "scripts", "benchmarks/**/*.py")
BENCHMARKS = ROOT / "benchmarks"


class Group(NamedTuple):
    """What one run of mypy checks.

    Attributes:
        environment: Where the imported frameworks are.
        are_benchmarks: Whether the files are benchmarks. They import each other by the name of
            their folder, and helpers from the tests, which are not checked.
    """

    environment: str
    are_benchmarks: bool

    @classmethod
    def of(cls, path: Path) -> Group:
        """Returns the group of a file or folder."""
        if BENCHMARKS in path.parents:
            return cls(environments.environment_of_program(path), True)
        return cls(environments.environment_of(path), False)


def groups(paths: Sequence[Path]) -> dict[Group, list[Path]]:
    """Returns the paths to check in each run of mypy."""
    found: dict[Group, list[Path]] = {}
    for path in paths:
        found.setdefault(Group.of(path), []).append(path)
    return found


def check(group: Group, paths: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    """Checks files and folders with the frameworks of an environment."""
    python = environments.python(group.environment)
    cache = f".cache/mypy/{group.environment}"
    modules = []
    if group.are_benchmarks:
        cache += "-benchmarks"
        modules = ["--explicit-package-bases", "--follow-imports", "silent"]
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--python-executable", python),
            *("--cache-dir", cache, *modules, *map(str, paths)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def main(arguments: Sequence[str]) -> int:
    """Prints the type errors; returns the exit code."""
    given = [Path(argument).resolve() for argument in arguments]
    chosen = groups(given or [path for glob in CHECKED for path in sorted(ROOT.glob(glob))])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checks = {group: pool.submit(check, group, paths) for group, paths in chosen.items()}
    code = 0
    for group, done in checks.items():
        result = done.result()
        code = code or result.returncode
        what = f"{group.environment}, benchmarks" if group.are_benchmarks else group.environment
        print(f"{what}: {result.stdout.strip()}{result.stderr.strip()}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
