"""CrewAI's memory records to BotWire's and back.

What CrewAI has beside text, scope, embedding and creation is kept in the metadata. Its times are
naive and in UTC; BotWire's are aware.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from crewai.memory.types import MemoryRecord

from botwire import Record


def to_record(memory: MemoryRecord) -> Record:
    """Returns the record that keeps a memory."""
    return Record(
        memory.content,
        id=memory.id,
        scope=memory.scope,
        tags=to_tags(memory.categories),
        metadata={
            "metadata": memory.metadata,
            "categories": memory.categories,
            "importance": memory.importance,
            "last_accessed": to_text(memory.last_accessed),
            "source": memory.source,
            "private": memory.private,
        },
        embedding=memory.embedding or None,
        created_at=memory.created_at,
    )


def from_record(record: Record) -> MemoryRecord:
    """Returns the memory that a record keeps."""
    kept: dict[str, Any] = dict(record.metadata)
    return MemoryRecord(
        id=record.id,
        content=record.text,
        scope=record.scope,
        categories=kept.get("categories", list(record.tags)),
        metadata=kept.get("metadata", {}),
        importance=kept.get("importance", 0.5),
        created_at=naive(record.created_at),
        last_accessed=_from_text(kept.get("last_accessed")) or naive(record.created_at),
        embedding=None if record.embedding is None else list(record.embedding),
        source=kept.get("source"),
        private=kept.get("private", False),
    )


def to_tags(categories: Iterable[str]) -> tuple[str, ...]:
    """Returns the tags that stand for categories; a model may make an empty one, which is none."""
    return tuple(dict.fromkeys(filter(None, categories)))


def naive(moment: datetime | None) -> datetime:
    """Returns a time as CrewAI takes it: naive, in UTC."""
    if moment is None:
        return datetime.now(UTC).replace(tzinfo=None)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def to_text(moment: datetime) -> str:
    """Returns a time in ISO 8601; a naive one is UTC."""
    return naive(moment).isoformat() + "Z"


def _from_text(text: str | None) -> datetime | None:
    return None if text is None else naive(datetime.fromisoformat(text))
