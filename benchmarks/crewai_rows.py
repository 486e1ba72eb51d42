"""CrewAI: its memory over loopback HTTP, against its own LanceDB in the process."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crewai import BaseLLM
from crewai.memory import Memory
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord

from benchmarks.comparing import Compare
from botwire_crewai import BotWireStorage
from scripts.serving import serve

RECORDS, DIMENSION, SCOPES = 1000, 384, 27
ROUNDS = 50  # of a recall, which takes 100 ms or more


class _Silent(BaseLLM):
    """A model that answers immediately, with nothing."""

    def call(self, *args: Any, **kwargs: Any) -> str:
        return ""


class _Embedder:
    """Gives every text the same vector."""

    def __init__(self, vector: list[float]) -> None:
        self._vector = vector

    def __call__(self, texts: list[str]) -> list[list[float]]:
        return [self._vector for _ in texts]


def rows(compare: Compare) -> None:
    """Measures recalls and saves on the same thousand records.

    Args:
        compare: Prints a row.
    """
    source = random.Random(1)  # noqa: S311 - the same numbers in every run

    def vector() -> list[float]:
        return [source.gauss(0, 1) for _ in range(DIMENSION)]

    records = [
        MemoryRecord(content=f"fact {i}", scope=f"/s{i % SCOPES}", embedding=vector())
        for i in range(RECORDS)
    ]
    query = vector()
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'ours.db'}"
        with serve(database) as server:
            ours = BotWireStorage("bench", url=server.url)
            theirs = LanceDBStorage(path=Path(folder) / "theirs")
            memories = []
            silent = _Silent(model="silent")
            for storage in (ours, theirs):
                storage.save(records)
                embedder = _Embedder(query)
                memories.append(Memory(storage=storage, llm=silent, embedder=embedder))
            mine, its = memories
            compare("crewai: deep recall, 27 scopes", _recall(mine), _recall(its), 1)
            compare("crewai: search", _search(ours, query), _search(theirs, query), 1)
            compare("crewai: save 1, durable", _save(ours, query), _save(theirs, query), 1)


def _recall(memory: Any) -> Callable[[], Any]:
    return lambda: memory.recall("fact", limit=5)


def _search(storage: Any, query: list[float]) -> Callable[[], Any]:
    return lambda: storage.search(query, limit=10)


def _save(storage: Any, query: list[float]) -> Callable[[], Any]:
    return lambda: storage.save([MemoryRecord(content="new", embedding=query)])


if __name__ == "__main__":
    rows(Compare(ROUNDS))
