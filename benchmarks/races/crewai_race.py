"""CrewAI: memories saved in one storage, through its LanceDB and ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord

from benchmarks.races.frame import Contender, Place
from botwire_crewai import BotWireStorage

DIMENSION = 8


class _Storage(Contender):
    """Saves memories."""

    framework = "CrewAI"
    what = "a memory"
    storage: Any

    def write(self, token: str) -> None:
        record = MemoryRecord(content=token, embedding=[1.0] * DIMENSION)
        self.storage.save([record])

    def tokens(self) -> Iterable[str]:
        return [record.content for record in self.storage.list_records(limit=100_000)]


class OurStorage(_Storage):
    """Ours, on a file."""

    title = "BotWireStorage"
    distribution = "botwire-crewai"
    ours = True

    def __init__(self, place: Place) -> None:
        self.storage = BotWireStorage("race", url=f"sqlite:///{place.folder / 'ours.db'}")


class StockStorage(_Storage):
    """CrewAI's default."""

    title = "LanceDBStorage"
    distribution = "crewai"

    def __init__(self, place: Place) -> None:
        self.storage = LanceDBStorage(path=place.folder / "stock")


CONTENDERS = (OurStorage, StockStorage)
