"""Says which releases of the frameworks are tested: a line in the README of each package.

A package's ``pyproject.toml`` lists its frameworks under ``[tool.botwire]``, by distribution.
``hatch run test --alone --record`` and ``hatch run newest:pin`` write the line.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

import environments
from environments import ROOT

_START = "Tested with the oldest supported and the newest releases as of "
_LIST = """\
import json
from importlib.metadata import distributions
print(json.dumps([[one.metadata["Name"], one.version] for one in distributions()]))
"""


def settings(package: Path) -> dict[str, Any]:
    """Returns what a package's ``pyproject.toml`` says."""
    return tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))


def frameworks(package: Path) -> list[str]:
    """Returns the distributions that a package adapts or is built on."""
    named: list[str] = settings(package)["tool"]["botwire"]["frameworks"]
    return named


def installed(environment: str) -> dict[str, str]:
    """Returns the release of each distribution in an environment, by its normalized name.

    Raises:
        EnvironmentMissingError: The environment could not be created.
    """
    command = [environments.python(environment), "-c", _LIST]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {canonicalize_name(name): release for name, release in json.loads(done.stdout)}


def tell(packages: Iterable[Path], releases: Mapping[str, str]) -> str:
    """Returns the frameworks of some packages with their releases."""
    names = [name for package in packages for name in frameworks(package)]
    return ", ".join(f"{name} {releases[name]}" for name in names if name in releases)


def pinned(package: Path) -> dict[str, str]:
    """Returns the releases with which ``hatch run test`` tests a package, by distribution."""
    text = (ROOT / f"constraints/{environments.environment_of(package)}.txt").read_text("utf-8")
    return dict(re.findall(r"^([\w-]+)==(.+)$", text, re.MULTILINE))


def read(package: Path) -> dict[str, list[str]]:
    """Returns the releases that a package's README names, by distribution."""
    line = _find((package / "README.md").read_text(encoding="utf-8"))
    parts = line.partition(": ")[2].removesuffix(".").split("; ")
    return {
        name: re.split(", | and ", releases)
        for name, _, releases in (part.partition(" ") for part in parts)
        if name
    }


def write(package: Path, oldest: Mapping[str, str], newest: Mapping[str, str]) -> None:
    """Writes the line of a package's README: the releases tested, and the pinned ones."""
    ends = oldest, pinned(package), newest
    told = []
    for name in frameworks(package):
        releases = sorted({releases[name] for releases in ends if name in releases}, key=Version)
        *others, last = releases
        told.append(f"{name} {' and '.join(filter(None, [', '.join(others), last]))}")
    today = datetime.now(UTC)
    line = f"{_START}{today.day} {today:%B %Y}: {'; '.join(told)}."
    readme = package / "README.md"
    text = readme.read_text(encoding="utf-8")
    if present := _find(text):
        text = text.replace(present, line)
    else:
        # After the first block, which says how to install it.
        text = re.sub(r"\n```\n", f"\n```\n\n{line}\n", text, count=1)
    readme.write_text(text, encoding="utf-8")


def _find(readme: str) -> str:
    return next((line for line in readme.splitlines() if line.startswith(_START)), "")
