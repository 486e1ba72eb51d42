"""The OpenAPI description is true: what it says is sent, and nothing breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_that_the_description_allows_or_forbids_breaks_the_server() -> None:
    """A few requests for each operation; `hatch run fuzz` makes as many as one likes."""
    few = ("--max-examples", "2", "--phases", "examples,fuzzing")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/fuzz.py"), *few],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 4" in done.stdout  # some forty operations
