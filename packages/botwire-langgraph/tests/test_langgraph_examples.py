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


# A process of LangGraph's takes seconds to start: one place each is enough here.


def test_a_person_answers_in_another_process(server_url: str) -> None:
    assert run("approval.py", "send the invoice", server_url) == "Shall I: send the invoice?"
    assert run("approval.py", "yes\ndelete it\nno", server_url).splitlines() == [
        "Done: send the invoice", "Shall I: delete it?", "Left: delete it",
    ]  # fmt: skip


def test_a_story_is_left_on_another_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    assert run("time_travel.py", "Once there was\na cat.", url).endswith("was a cat.")
    assert run("time_travel.py", "back\na dog.\n", url).splitlines() == [
        "Once there was", "Once there was a dog.", "Once there was a dog.",
        "Once there was a dog.", "Once there was a cat.", "Once there was",
    ]  # fmt: skip


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"approval.py", "time_travel.py"}
