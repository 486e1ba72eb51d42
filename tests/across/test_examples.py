"""Every example runs as a user would run it, and what it was told reaches its model later.

Those that the demo runs are tested with it, in `test_demo`: across a kill, embedded and over HTTP.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from demo import INTERFACES, interpreter
from environments import ROOT

EXAMPLES = ROOT / "examples"
IN_DEMO = {program for interface in INTERFACES for program in interface.programs}
CHATS = sorted({path.name for path in EXAMPLES.glob("*.py")} - IN_DEMO - {"two_lines.py"})


def run(program: str, said: str, url: str, folder: Path) -> tuple[str, list[str]]:
    """Runs an example on one line of input; returns what it printed and what its model got."""
    log = folder / "received.jsonl"
    log.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "BOTWIRE_URL": url,
        "SCRIPTED_LOG": str(log),
        "HOME": str(folder),  # CrewAI writes there, whatever it is told
    }
    done = subprocess.run(
        [interpreter(EXAMPLES / program), "-W", "ignore", str(EXAMPLES / program)],
        input=said + "\n",
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines() if log.exists() else []
    return done.stdout, [text for line in lines for text in json.loads(line)]


@pytest.mark.parametrize("program", CHATS)
def test_a_chat_is_remembered(program: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    run(program, "My cat is called Turing.", url, tmp_path)
    answer, received = run(program, "What is my cat called?", url, tmp_path)
    assert any("My cat is called Turing." in text for text in received)
    assert "My cat is called Turing." in answer


def test_two_lines(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    assert "visit 1; the theme is dark" in run("two_lines.py", "", url, tmp_path)[0]
    assert "visit 2; the theme is dark" in run("two_lines.py", "", url, tmp_path)[0]


def test_the_list_of_examples_is_complete() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert path.name in listed
