"""Every example runs as a user would run it, and its model later sees what was said.

Those that the demo runs are tested with it, in `test_demo`: across a kill, embedded and over HTTP.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import environments
from demo_interfaces import INTERFACES
from environments import ROOT
from tests.across.conftest import Forks
from tests.programs import RUN

EXAMPLES = ROOT / "examples"
IN_DEMO = {program for interface in INTERFACES for program in interface.programs}
CHATS = sorted({path.name for path in EXAMPLES.glob("*.py")} - IN_DEMO - {"two_lines.py"})


def run(forks: Forks, program: str, said: str, url: str, folder: Path) -> tuple[str, list[str]]:
    """Runs an example on one line of input; returns its output and its model's input."""
    log = folder / "received.jsonl"
    log.unlink(missing_ok=True)
    environment = {
        "BOTWIRE_URL": url,
        "SCRIPTED_LOG": str(log),
        "HOME": str(folder),  # CrewAI always writes there
    }
    path = EXAMPLES / program
    zygote = forks.zygote(environments.environment_of_program(path))
    with zygote.start(RUN, str(path), env=environment, folder=folder) as process:
        printed = process.communicate(said + "\n")
        assert process.returncode == 0, process.stderr
    lines = log.read_text().splitlines() if log.exists() else []
    return printed, [text for line in lines for text in json.loads(line)]


@pytest.mark.parametrize("program", CHATS)
def test_a_chat_is_remembered(forks: Forks, program: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    run(forks, program, "My cat is called Turing.", url, tmp_path)
    answer, received = run(forks, program, "What is my cat called?", url, tmp_path)
    assert any("My cat is called Turing." in text for text in received)
    assert "My cat is called Turing." in answer


def test_two_lines(forks: Forks, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    assert "visit 1; the theme is dark" in run(forks, "two_lines.py", "", url, tmp_path)[0]
    assert "visit 2; the theme is dark" in run(forks, "two_lines.py", "", url, tmp_path)[0]


def test_the_list_of_examples_is_complete() -> None:
    pages = (EXAMPLES / "README.md", ROOT / "docs/recipes.md")
    listed = "".join(page.read_text() for page in pages)
    for path in EXAMPLES.glob("*.py"):
        assert path.name in listed
