"""Says which releases of the frameworks are installed.

A package's ``pyproject.toml`` lists its frameworks under ``[tool.botwire]``, by distribution.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

import environments

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
