"""A server under load makes no errors, and its memory does not grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_two_hundred_connections_meet_no_error() -> None:
    """A short run; `hatch run soak` takes a minute."""
    command = [sys.executable, str(ROOT / "scripts/soak.py"), "--connections", "200"]
    done = subprocess.run([*command, "--seconds", "4"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "errors: 0, tracebacks: 0" in done.stdout
