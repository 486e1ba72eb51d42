"""The demo says so when somebody forgets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parent.parent / "scripts/demo.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEMO), "--only", "llamaindex_chat_engine.py", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


def test_it_succeeds_when_all_remember() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert "All 2 remembered across SIGKILL" in done.stdout
    assert done.stdout.count("My name is Ada") == 2


def test_it_fails_when_one_forgets() -> None:
    done = run("--amnesia")
    assert done.returncode == 1
    assert "2 of 2 forgot: llamaindex_chat_engine.py over HTTP" in done.stdout
    assert "My name is Ada" not in done.stdout
