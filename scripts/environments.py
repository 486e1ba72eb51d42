"""Lists the environments, what is tested in each, and their interpreters.

``pyproject.toml`` lists the adapters under ``[tool.botwire.adapters]``. Only this module and
`hatch_environments` read that list. An adapter's environment has the adapter's name. The frameworks
without an adapter share one, `RECIPES`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = "default"
"""The environment of the core, the server and the tools. It has no framework."""
RECIPES = "recipes"
"""The environment of the examples for frameworks without an adapter, `examples/recipes_*.py`."""
PEERS = "peers"
"""The environment of what users would pick instead, which the benchmarks compare with."""
_ELSEWHERE = {
    "channel_rows.py": PEERS,
    "deepagents_rows.py": "langgraph",
    "engine_rows.py": "crewai",  # it compares with LanceDB, which comes with CrewAI
    "growth_rows.py": PEERS,
    "loading.py": PEERS,
    "peers_rows.py": PEERS,
}
"""The benchmarks whose names do not tell their environment."""
NEWEST = "newest"
"""The default environment without constraints, so with the newest release of everything."""
KNOWN = "WORKSHOP_PYTHONS"
"""The environment variable that passes on interpreters already found, as JSON."""


class EnvironmentMissingError(Exception):
    """An environment could not be created; the message quotes hatch."""


@cache
def adapters(root: Path = ROOT) -> Mapping[str, Path]:
    """Returns each adapter's name, which is also its environment's, and its folder."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    names = tomllib.loads(text)["tool"]["botwire"]["adapters"]
    return {name: root / f"packages/botwire-{name}" for name in names}


def with_frameworks() -> list[str]:
    """Returns the environments that have a framework: all but the default one."""
    return [*adapters(), RECIPES]


def environment_of(path: Path) -> str:
    """Returns the environment in which a file or folder of this repository runs."""
    for name, folder in adapters().items():
        if path == folder or folder in path.parents:
            return name
    return DEFAULT


def environment_of_program(path: Path) -> str:
    """Returns the environment of an example or a benchmark, whose name starts with its name.

    A few benchmarks are named after what they measure instead.
    """
    if path.name in _ELSEWHERE:
        return _ELSEWHERE[path.name]
    stems = {name.replace("-", "_"): name for name in with_frameworks()}
    # Longest first, because one name may be a prefix of another.
    for stem in sorted(stems, key=len, reverse=True):
        if path.name.startswith(f"{stem}_"):
            return stems[stem]
    return DEFAULT


@cache
def python(name: str) -> str:
    """Returns the interpreter of an environment, after creating or updating it if necessary.

    Raises:
        EnvironmentMissingError: The environment could not be created.
    """
    known: dict[str, str] = json.loads(os.environ.get(KNOWN, "{}"))
    if name in known:
        return known[name]
    if name == DEFAULT:
        return sys.executable
    if os.environ.get("HATCH_ENV_ACTIVE") == NEWEST:
        name = f"alone.{name}-highest" if name in adapters() else f"{name}-{NEWEST}"
    command = [sys.executable, "-m", "hatch", "env", "run", "--env", name, "--"]
    done = subprocess.run(
        [*command, "python", "-c", "import sys; print(sys.executable)"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("UV_CONSTR")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EnvironmentMissingError(f"hatch made no environment {name}:\n{done.stderr.strip()}")
    return done.stdout.split("\n")[-2]


def known(names: Iterable[str]) -> dict[str, str]:
    """Returns the setting that passes these environments' interpreters to another process."""
    return {KNOWN: json.dumps({name: python(name) for name in names})}


def settings(name: str) -> dict[str, str]:
    """Returns the settings of a process that runs in an environment, as if it were activated."""
    folder = Path(python(name)).parent
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("UV_CONSTR")},
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(folder.parent),
    }
