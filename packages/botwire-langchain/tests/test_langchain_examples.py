"""The web app among the examples runs as a user would run it, twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

EXAMPLE = Path(__file__).parents[3] / "examples" / "langchain_web"


@contextmanager
def serving(port: int, url: str) -> Iterator[httpx.Client]:
    """Runs the app in its own process; yields a client."""
    command = [sys.executable, "-W", "ignore", "-m", "uvicorn", "app:app", "--port", str(port)]
    environment = {**os.environ, "BOTWIRE_URL": url}
    with subprocess.Popen(
        command, cwd=EXAMPLE, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert any("running on" in line for line in process.stderr)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                yield client
        finally:
            process.kill()


def test_a_session_goes_on_in_another_process(tmp_path: Path, unused_tcp_port: int) -> None:
    place_url, session = f"sqlite:///{tmp_path / 'memory.db'}", "user-42"
    for turn in range(2):
        with serving(unused_tcp_port, place_url) as client:
            path = f"/sessions/{session}/messages"
            said = client.post(path, json={"text": f"turn {turn}"}).raise_for_status().json()
            assert (said["role"], said["text"]) == ("ai", "Noted.")
            if not turn:
                continue
            shown = client.get(path).json()
            texts = [message["text"] for message in shown]
            assert texts == ["turn 0", "Noted.", "turn 1", "Noted."]
            earlier = client.get(path, params={"limit": 2, "before": shown[3]["id"]}).json()
            assert [message["text"] for message in earlier] == ["Noted.", "turn 1"]
            client.delete(f"/sessions/{session}").raise_for_status()
            assert client.get(path).json() == []
