"""Google ADK: a session and an artifact."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable
from typing import Any

from google.adk.events import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from benchmarks.images.frame import IMAGE, MIME, Works, main
from botwire_google_adk import BotWireArtifactService, BotWireSessionService

WHERE: Any = {"app_name": "app", "user_id": "ada", "session_id": "s"}


async def works(url: str) -> Works:
    """Returns what is measured."""
    sessions = BotWireSessionService("images", url=url)
    artifacts = BotWireArtifactService("images", url=url)
    session = await sessions.create_session(**WHERE)
    part = types.Part.from_bytes(data=IMAGE, mime_type=MIME)
    names = itertools.count()

    def append() -> Awaitable[Any]:
        content = types.Content(role="user", parts=[part])
        return sessions.append_event(session, Event(author="user", content=content))

    def save() -> Awaitable[Any]:
        return artifacts.save_artifact(**WHERE, filename=f"f{next(names)}.png", artifact=part)

    last = GetSessionConfig(num_recent_events=1)
    return {
        "`BotWireSessionService.append_event`": append,
        "`get_session`": lambda: sessions.get_session(**WHERE, config=last),
        "`BotWireArtifactService.save_artifact`": save,
        "`load_artifact`": lambda: artifacts.load_artifact(**WHERE, filename="f0.png"),
    }


if __name__ == "__main__":
    main("Google ADK", works)
