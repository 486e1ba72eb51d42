"""Checks that the oldest supported releases are installed: ``check_floors.py FOLDER...``.

If the resolver ignored a setting, or a test tool needed a newer framework, the tests of the oldest
releases would run with the newest. Unless ``UV_RESOLUTION`` is ``lowest-direct``, every release is
accepted.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version


def too_new(
    requirements: Iterable[str], release_of: Callable[[str], str] = importlib.metadata.version
) -> list[str]:
    """Returns a line for each installed distribution that is newer than its floor.

    Args:
        requirements: The requirements with the floors.
        release_of: Returns the installed release of a distribution.
    """
    problems = []
    for requirement in map(Requirement, requirements):
        for bound in requirement.specifier:
            installed = Version(release_of(requirement.name))
            floor = Version(bound.version)
            # 4.1.3 meets a floor of 4.1, because the first release of a line is often yanked.
            if bound.operator == ">=" and installed.release[: len(floor.release)] != floor.release:
                problems.append(f"{requirement.name} {installed} is not the floor, {floor}")
    return problems


def check(
    folders: Iterable[Path], release_of: Callable[[str], str] = importlib.metadata.version
) -> list[str]:
    """Returns a line for each dependency of some packages that is newer than its floor."""
    problems: list[str] = []
    for folder in folders:
        settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        problems += too_new(settings["project"]["dependencies"], release_of)
    return problems


def main(folders: list[str]) -> int:
    """Prints each distribution newer than its floor; returns the exit code."""
    if os.environ.get("UV_RESOLUTION") != "lowest-direct":
        return 0
    problems = check(map(Path, folders))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
