"""Writes ``constraints/NAME.txt``: an environment's newest releases that resolve together.

Run it where constraints are ignored, after the tests have passed there::

    hatch env remove newest && hatch env remove alone
    hatch run newest:test && hatch run newest:pin

``hatch run newest:pin NAME`` writes the file of one environment, as for a new adapter. There is a
file per environment because the dependencies of two adapters may exclude each other. The files omit
hosts, paths and editable lines, because each machine chooses its own index.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence

import environments
import tested_releases
from environments import DEFAULT, NEWEST, ROOT

FOLDER = ROOT / "constraints"
HEADER = """\
# What the environment has, to the release: written by `hatch run newest:pin`, do not edit.
"""


def constraints(installed: Iterable[tuple[str, str]]) -> str:
    """Returns the text of a file of constraints, given distributions by name and version."""
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed}
    ours = {"botwire", *(name for name in pins if name.startswith("botwire-"))}
    # A local version (1.0+cpu) is a local build that no index has.
    lines = [
        f"{name}=={version.partition('+')[0]}\n"
        for name, version in sorted(pins.items())
        if name not in ours
    ]
    return HEADER + "".join(lines)


def installed() -> Iterable[tuple[str, str]]:
    """Returns the name and version of each distribution in this environment."""
    return [(dist.metadata["Name"], dist.version) for dist in importlib.metadata.distributions()]


def main(names: Sequence[str]) -> int:
    """Writes the files, or prints this environment's for ``-``; returns the exit code."""
    if names == ["-"]:
        print(constraints(installed()), end="")
        return 0
    if os.environ.get("HATCH_ENV_ACTIVE") != NEWEST:
        print("Run it as `hatch run newest:pin`.", file=sys.stderr)
        return 2
    if unknown := set(names) - {DEFAULT, *environments.with_frameworks()}:
        print(f"There is no environment {min(unknown)}.", file=sys.stderr)
        return 2
    packages = {name: [folder] for name, folder in environments.adapters().items()}
    packages[DEFAULT] = [ROOT / "packages/botwire-core", ROOT / "server"]
    for name in names or [DEFAULT, *environments.with_frameworks()]:
        command = [environments.python(name), __file__, "-"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        (FOLDER / f"{name}.txt").write_text(done.stdout, encoding="utf-8")
        for package in packages.get(name, ()):
            oldest = {of: releases[0] for of, releases in tested_releases.read(package).items()}
            tested_releases.write(package, oldest, tested_releases.installed(name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
