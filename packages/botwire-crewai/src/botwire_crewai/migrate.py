"""Brings what CrewAI kept in LanceDB, its default, over to BotWire."""

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
    """Returns the folder of CrewAI's own store: its `LanceDBStorage` keeps the rule to itself.

    It depends on ``CREWAI_STORAGE_DIR``, else on the name of the present folder.
    """
    folder = os.environ.get("CREWAI_STORAGE_DIR") or db_storage_path()
    return Path(folder) / "memory"


def migrate_lancedb(
    path: str | Path | None, storage: BotWireStorage, *, table: str = "memories"
) -> int:
    """Copies the records of a LanceDB store with their vectors; the store stays as it is.

    What is broken off can be started again: a record that is there already is replaced. Of records
    that the store holds twice under one id, the later one stays; its zero vectors, which stand for
    none, become none.

    Args:
        path: The folder that CrewAI's `LanceDBStorage` was given; None is the one that it has
            when this runs in the folder where the crew was started.
        storage: Where to.
        table: The table's name there.

    Returns:
        How many records there are now of those read.

    Raises:
        ConfigurationError: There is no such store, or lancedb is not installed.
        EmbeddingDimensionMismatchError: The vectors have another dimension than those here.
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
    if not path.is_dir():  # connecting would make it
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
