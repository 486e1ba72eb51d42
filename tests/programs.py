"""The programs of `examples`, run as a user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(program: Path, said: str, url: str) -> str:
    """Runs a program, a process of its own, on what is said; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        input=said + "\n",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BOTWIRE_URL": url},
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
