"""Checks types, each adapter's against its own framework: ``check_types.py [PATH…]``.

mypy is installed in the default environment only. It runs once per environment, on the code that
belongs to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import environments
from environments import ROOT

CHECKED = ("packages/*/src", "server/src", "scripts")


def sources(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Returns the paths to check in each environment."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(environments.environment_of(path), []).append(path)
    return found


def check(name: str, paths: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    """Checks files and folders with the frameworks of an environment."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--python-executable", environments.python(name)),
            *("--cache-dir", f".cache/mypy/{name}", *map(str, paths)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def main(arguments: Sequence[str]) -> int:
    """Prints the type errors; returns the exit code."""
    given = [Path(argument).resolve() for argument in arguments]
    chosen = sources(given or [path for glob in CHECKED for path in sorted(ROOT.glob(glob))])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checks = {name: pool.submit(check, name, paths) for name, paths in chosen.items()}
    code = 0
    for name, done in checks.items():
        result = done.result()
        code = code or result.returncode
        print(f"{name}: {result.stdout.strip()}{result.stderr.strip()}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
