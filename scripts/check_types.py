"""Checks types, each adapter's against its own framework: ``check_types.py [PATH…]``.

mypy is installed in the default environment only. It runs once per environment, on the code that
belongs to it, and once more on the benchmarks that run there. The core and the server are also
checked as on Windows, whose standard library lacks some functions.
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
WINDOWS = "win32"


class Group(NamedTuple):
    """What one run of mypy checks.

    Attributes:
        environment: Where the imported frameworks are.
        are_benchmarks: Whether the files are benchmarks. They import each other by the name of
            their folder, and helpers from the tests, which are not checked.
        platform: The system on which it runs, in the words of `sys.platform`.
    """

    environment: str
    are_benchmarks: bool
    platform: str = sys.platform

    @classmethod
    def of(cls, path: Path) -> list[Group]:
        """Returns the groups of a file or folder."""
        if BENCHMARKS in path.parents:
            return [cls(environments.environment_of_program(path), True)]
        group = cls(environments.environment_of(path), False)
        if group.environment == environments.DEFAULT and "src" in path.relative_to(ROOT).parts:
            return [group, group._replace(platform=WINDOWS)]
        return [group]

    def __str__(self) -> str:
        text = f"{self.environment}, benchmarks" if self.are_benchmarks else self.environment
        return text if self.platform == sys.platform else f"{text}, {self.platform}"


def groups(paths: Sequence[Path]) -> dict[Group, list[Path]]:
    """Returns the paths to check in each run of mypy."""
    found: dict[Group, list[Path]] = {}
    for path in paths:
        for group in Group.of(path):
            found.setdefault(group, []).append(path)
    return found


def check(group: Group, paths: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    """Checks files and folders with the frameworks of an environment."""
    python = environments.python(group.environment)
    cache = f".cache/mypy/{group.environment}"
    if group.platform != sys.platform:
        cache += f"-{group.platform}"
    modules = []
    if group.are_benchmarks:
        cache += "-benchmarks"
        modules = ["--explicit-package-bases", "--follow-imports", "silent"]
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--python-executable", python),
            *("--platform", group.platform, "--cache-dir", cache, *modules, *map(str, paths)),
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
        print(f"{group}: {result.stdout.strip()}{result.stderr.strip()}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
