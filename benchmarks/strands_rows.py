"""Strands: sessions against its own FileSessionManager.

Each side runs with its defaults: BotWire syncs what it reports as stored, while the files are only
handed to the operating system.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from strands.session import FileSessionManager
from strands.types.session import SessionAgent, SessionMessage

from benchmarks.comparing import Compare
from botwire_strands import BotWireSessionManager

ROUNDS = 200
LONG = 2_000
TEXT = "word " * 40


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{Path(name) / 'ours.db'}"

        def both(session: str, messages: int) -> list[_Session]:
            ours = BotWireSessionManager(session, namespace="bench", url=url)
            theirs = FileSessionManager(session, storage_dir=name)
            return [_Session(manager, messages) for manager in (ours, theirs)]

        for length in (10, LONG):
            ours, theirs = both(f"session-{length}", length)
            compare(f"strands: add to {length}", ours.add, theirs.add, 5)
            compare(f"strands: read {length}", ours.read, theirs.read, 1)


class _Session:
    """A session with messages in it."""

    def __init__(self, manager: Any, messages: int) -> None:
        self.manager = manager
        self.count = 0
        manager.create_agent(manager.session_id, SessionAgent("default", {}, {}))
        for _ in range(messages):
            self.add()

    def add(self) -> None:
        message: Any = {"role": "user", "content": [{"text": f"{self.count} {TEXT}"}]}
        stored = SessionMessage.from_message(message, self.count)
        self.manager.create_message(self.manager.session_id, "default", stored)
        self.count += 1

    def read(self) -> None:
        self.manager.list_messages(self.manager.session_id, "default")


if __name__ == "__main__":
    rows(Compare(ROUNDS))
