"""Writes constraints.txt: the newest releases that resolve together, without addresses.

Run it in the environment that ignores constraints.txt::

    hatch env remove newest && hatch run newest:test && hatch run newest:pin

Hosts, paths and editable lines are left out, since each machine chooses its own index.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# What `hatch run` installs, to the release: written by `hatch run newest:pin`, do not edit.
"""


def constraints(installed: Iterable[tuple[str, str]]) -> str:
    """Returns the text of constraints.txt for distributions, given as name and version."""
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed}
    ours = {"botwire", *(name for name in pins if name.startswith("botwire-"))}
    # A local version (1.0+cpu) is one machine's own build; no index has it.
    lines = [
        f"{name}=={version.partition('+')[0]}\n"
        for name, version in sorted(pins.items())
        if name not in ours
    ]
    return HEADER + "".join(lines)


def main() -> int:
    """Writes the file; returns the exit code."""
    if os.environ.get("HATCH_ENV_ACTIVE") != "newest":
        print("Run it as `hatch run newest:pin`.", file=sys.stderr)
        return 2
    installed = [
        (dist.metadata["Name"], dist.version) for dist in importlib.metadata.distributions()
    ]
    (ROOT / "constraints.txt").write_text(constraints(installed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
