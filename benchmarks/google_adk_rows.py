"""Google ADK: sessions against its own SqliteSessionService.

Each side runs with its defaults; both sync what they report as stored.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from google.adk.events import Event, EventActions
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from benchmarks.comparing import Compare
from botwire_google_adk import BotWireSessionService

ROUNDS = 100
LONG = 1_000
TEXT = "word " * 40


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        ours = BotWireSessionService("bench", url=f"sqlite:///{Path(name) / 'ours.db'}")
        theirs = SqliteSessionService(str(Path(name) / "theirs.db"))
        for length in (10, LONG):
            sides = [_Session(service, length, runner) for service in (ours, theirs)]
            compare(f"google-adk: append to {length}", sides[0].add, sides[1].add, 3)
            compare(f"google-adk: read {length}", sides[0].read, sides[1].read, 3)


class _Session:
    """A session with events in it."""

    def __init__(self, service: Any, events: int, runner: asyncio.Runner) -> None:
        self.service, self.run = service, runner.run
        self.where = {"app_name": "app", "user_id": "ada", "session_id": f"session-{events}"}
        self.session = self.run(service.create_session(**self.where))
        for _ in range(events):
            self.add()

    def add(self) -> None:
        content = types.Content(role="user", parts=[types.Part(text=TEXT)])
        actions = EventActions(state_delta={"count": len(self.session.events)})
        event = Event(author="user", content=content, actions=actions)
        self.run(self.service.append_event(self.session, event))

    def read(self) -> None:
        self.run(self.service.get_session(**self.where))


if __name__ == "__main__":
    rows(Compare(ROUNDS))
