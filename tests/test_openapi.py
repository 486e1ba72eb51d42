"""The OpenAPI description is correct: requests made from it work, and nothing breaks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_that_the_description_allows_or_forbids_breaks_the_server() -> None:
    """A few requests for each address, the same ones each time; `hatch run fuzz` makes more."""
    few = ("--max-examples", "2", "--phases", "examples,fuzzing", "--seed", "1")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/fuzz.py"), *few],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested
    assert int(tested[1]) > 40
