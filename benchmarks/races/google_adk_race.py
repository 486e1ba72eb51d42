"""Google ADK: events of one session, through its session services and ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.events import Event
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from benchmarks.races.frame import Contender, Place
from botwire_google_adk import BotWireSessionService

WHERE: Any = {"app_name": "app", "user_id": "ada", "session_id": "chat"}


class _Service(Contender):
    """Appends events; each request loads the session first, as a runner does."""

    framework = "Google ADK"
    what = "an event of a session"
    # All three services raise it for a session that has changed since it was loaded.
    refusals = (StaleSessionError,)
    service: Any

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def prepare(self) -> None:
        self.runner.run(self.service.create_session(**WHERE))

    def write(self, token: str) -> None:
        self.runner.run(self._append(token))

    async def _append(self, token: str) -> None:
        session = await self.service.get_session(**WHERE)
        content = types.Content(role="user", parts=[types.Part(text=token)])
        await self.service.append_event(session, Event(author="user", content=content))

    def tokens(self) -> Iterable[str]:
        events = self.runner.run(self.service.get_session(**WHERE)).events
        return [event.content.parts[0].text for event in events]


class OurService(_Service):
    """Ours, on a file."""

    title = "BotWireSessionService"
    distribution = "botwire-google-adk"
    ours = True

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.service = BotWireSessionService("race", url=f"sqlite:///{place.folder / 'ours.db'}")


class StockSqliteService(_Service):
    """ADK's own, on a file."""

    title = "SqliteSessionService"
    distribution = "google-adk"

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.service = SqliteSessionService(str(place.folder / "stock.db"))


class _DatabaseService(_Service):
    distribution = "google-adk"

    def __init__(self, url: str) -> None:
        super().__init__()
        from google.adk.sessions import (  # noqa: PLC0415 - needs the extra `db`
            DatabaseSessionService,
        )

        self.service = DatabaseSessionService(url)

    def close(self) -> None:
        self.runner.run(self.service.db_engine.dispose())


class StockDatabaseService(_DatabaseService):
    """ADK's own on SQLAlchemy, on a file."""

    title = "DatabaseSessionService, SQLite"

    def __init__(self, place: Place) -> None:
        super().__init__(f"sqlite+aiosqlite:///{place.folder / 'database.db'}")


class StockPostgresService(_DatabaseService):
    """ADK's own on SQLAlchemy, on PostgreSQL."""

    title = "DatabaseSessionService, PostgreSQL"
    needs_postgres = True

    def __init__(self, place: Place) -> None:
        assert place.postgres
        super().__init__(place.postgres.replace("postgresql:", "postgresql+psycopg:"))


class OurPostgresService(_Service):
    """Ours, on PostgreSQL."""

    title = "BotWireSessionService, PostgreSQL"
    distribution = "botwire-google-adk"
    ours = True
    needs_postgres = True

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.service = BotWireSessionService("race", url=place.postgres)


CONTENDERS = (
    *(OurService, StockSqliteService, StockDatabaseService),
    *(OurPostgresService, StockPostgresService),
)
