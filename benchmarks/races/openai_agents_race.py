"""OpenAI Agents SDK: items of one session, through its SQLiteSession and ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from agents import SQLiteSession

from benchmarks.races.frame import Contender, Place
from botwire_openai_agents import BotWireSession


class _Session(Contender):
    """Adds a question and its answer."""

    framework = "OpenAI Agents"
    what = "two items of a session"
    session: Any

    def write(self, token: str) -> None:
        items = [{"role": "user", "content": token}, {"role": "assistant", "content": "noted"}]
        asyncio.run(self.session.add_items(items))

    def tokens(self) -> Iterable[str]:
        items = asyncio.run(self.session.get_items())
        return [item["content"] for item in items if item["role"] == "user"]


class OurSession(_Session):
    """Ours, on a file."""

    title = "BotWireSession"
    distribution = "botwire-openai-agents"
    ours = True

    def __init__(self, place: Place) -> None:
        self.session = BotWireSession("chat", url=f"sqlite:///{place.folder / 'ours.db'}")


class StockSession(_Session):
    """The SDK's own."""

    title = "SQLiteSession"
    distribution = "openai-agents"

    def __init__(self, place: Place) -> None:
        self.session = SQLiteSession("chat", place.folder / "stock.db")

    def close(self) -> None:
        self.session.close()


CONTENDERS = (OurSession, StockSession)
