"""Copies memories from LanceDB, CrewAI's default store, to BotWire."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from crewai.memory.types import MemoryRecord
from crewai_core.paths import db_storage_path

from botwire import ConfigurationError
from botwire_crewai.convert import naive
from botwire_crewai.storage import BotWireStorage

_PAGE = 500  # records read and written at a time


def default_path() -> Path:
    """Returns the folder of CrewAI's own store, by the rule that `LanceDBStorage` does not expose.

    It depends on ``CREWAI_STORAGE_DIR``, else on the name of the current folder.
    """
    folder = os.environ.get("CREWAI_STORAGE_DIR") or db_storage_path()
    return Path(folder) / "memory"


def migrate_lancedb(
    path: str | Path | None, storage: BotWireStorage, *, table: str = "memories"
) -> int:
    """Copies the records of a LanceDB store with their vectors, and leaves the store unchanged.

    Safe to repeat after an interruption: existing records are replaced. If the store holds an id
    twice, the later record wins. Zero vectors, which stand for a missing one, are not copied.

    Args:
        path: The folder of CrewAI's `LanceDBStorage`; None: its default for the current folder,
            which must be the one in which the crew runs.
        storage: The storage to copy to.
        table: Name of the table in LanceDB.

    Returns:
        Number of records copied.

    Raises:
        ConfigurationError: There is no such store, or lancedb is not installed.
        EmbeddingDimensionMismatchError: The vectors differ in dimension from those in `storage`.
    """
    ids: set[str] = set()
    for rows in _pages(default_path() if path is None else Path(path), table):
        storage.save([_record(row) for row in rows])
        ids |= {row["id"] for row in rows}
    return len(ids)


def _pages(path: Path, name: str) -> Iterator[list[dict[str, Any]]]:
    try:
        lancedb: Any = importlib.import_module("lancedb")
    except ImportError as error:
        raise ConfigurationError(f"reading a LanceDB store needs lancedb: {error}") from error
    if not path.is_dir():  # connecting would create it
        raise ConfigurationError(f"there is no folder {path}")
    try:
        table = lancedb.connect(str(path)).open_table(name)
    except ValueError as error:
        raise ConfigurationError(f"{path} holds no LanceDB table {name!r}: {error}") from error
    for batch in table.search().limit(table.count_rows()).to_batches(_PAGE):
        yield batch.to_pylist()


def _record(row: dict[str, Any]) -> MemoryRecord:
    vector = row["vector"]
    return MemoryRecord(
        id=row["id"],
        content=row["content"],
        scope=row["scope"],
        categories=json.loads(row["categories_str"] or "[]"),
        metadata=json.loads(row["metadata_str"] or "{}"),
        importance=row["importance"],
        created_at=_time(row["created_at"]),
        last_accessed=_time(row["last_accessed"]),
        embedding=vector if vector and any(vector) else None,
        source=row["source"] or None,
        private=row["private"],
    )


def _time(text: str) -> datetime:
    return naive(datetime.fromisoformat(text))
