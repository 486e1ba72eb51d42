"""The examples of this package run as a user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples" / "langgraph_runs"


def run(program: str, said: str, url: str) -> str:
    """Runs an example, a process of its own, on one line of input; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / program)],
        input=said + "\n",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BOTWIRE_URL": url},
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_person_answers_in_another_process(place_url: str) -> None:
    assert run("approval.py", "send the invoice", place_url) == "Shall I: send the invoice?"
    assert run("approval.py", "yes", place_url) == "Done: send the invoice"
    assert run("approval.py", "delete it", place_url) == "Shall I: delete it?"
    assert run("approval.py", "no", place_url) == "Left: delete it"


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"approval.py"}
