"""Compares BotWire with what a user would pick instead, both sides in one run.

Each row does the same work both ways in turn, many times, and prints the ratio of the medians.
Absolute times depend on the machine; ratios hardly do, unless others use it at the same time.

    hatch run bench [PART ...]
    hatch run bench races | length | images [FRAMEWORK ...]
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts import environments
from tests.offline import TELEMETRY_OFF

PARTS = (
    *("engine", "postgres", "server"),
    *("llamaindex", "langgraph", "deepagents", "crewai", "autogen"),
    *("agent_framework", "openai_agents", "claude", "pydantic_ai", "google_adk", "strands"),
    *("transfer", "peers", "channel"),
)
"""Each is a program ``…_rows.py``, so none is measured in a process that has run another."""
ALONE = ("growth", "large", "limits")
"""Parts that run only if they are named, since they take long."""
TABLES = {"peers", "growth", "large", "limits"}
"""Parts that print Markdown tables."""
FOLDERS = ("races", "length", "images")
"""No parts: each has a program for each framework, prints one table, and takes arguments."""


def main(parts: Sequence[str]) -> int:
    """Runs some parts, or all; returns the exit code."""
    if parts and parts[0] in FOLDERS:
        runner = importlib.import_module(f"benchmarks.{parts[0]}.run")
        return int(runner.main(parts[1:]))
    unknown = set(parts) - {*PARTS, *ALONE}
    if unknown:
        choices = ", ".join((*PARTS, *ALONE, *FOLDERS))
        print(f"no part {min(unknown)!r}; choose from {choices}", file=sys.stderr)
        return 2
    if not {*parts} <= TABLES or not parts:
        print(f"{'':34} {'BotWire':>12} {'baseline':>12} {'ratio':>6}", flush=True)
    root = Path(__file__).parent.parent
    # Some parts start the programs of the fault tests. Without this, a framework that waits for its
    # telemetry would be measured with that wait.
    environment = {**os.environ, **TELEMETRY_OFF, "PYTHONPATH": str(root)}
    for part in parts or PARTS:
        python = environments.python(environments.environment_of_program(Path(f"{part}_rows.py")))
        command = [python, "-m", f"benchmarks.{part}_rows"]
        done = subprocess.run(command, check=False, cwd=root, env=environment)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
