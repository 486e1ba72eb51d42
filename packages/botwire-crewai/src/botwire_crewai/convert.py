"""Converts CrewAI's memory records to BotWire's and back.

Fields that BotWire's records lack are stored in the metadata. CrewAI's times are naive and in UTC;
BotWire's have a time zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from crewai.memory.types import MemoryRecord

from botwire import Record
from botwire_crewai.fitting import changed, fit_metadata, fit_scope, fit_tag, fit_text

NO_VECTOR = "no_vector"
"""Marks, in its metadata, a record to which CrewAI gave no vector: `ZEROS` or `PENDING`."""
ZEROS = "zeros"
"""The record has a vector of zeros, so that searches find it."""
PENDING = "pending"
"""The record has no vector yet, since the collection's dimension was unknown."""


def to_record(memory: MemoryRecord, notes: list[str] | None = None) -> Record:
    """Returns a memory as a record.

    Args:
        memory: The memory.
        notes: Receives a line for everything that was shortened or left out.
    """
    notes = [] if notes is None else notes
    has_vector = memory.embedding is not None and len(memory.embedding) > 0
    categories = [fit_text(one) for one in memory.categories or ()]
    tags = to_tags(categories)
    notes += changed(dict.fromkeys(filter(None, categories)), tags, "category")
    given_scope = fit_text(memory.scope or "/").strip()
    scope = fit_scope(given_scope)
    notes += changed([given_scope.rstrip("/")], [scope], "scope") if "~" in scope else []
    return Record(
        fit_text(memory.content),
        id=memory.id,
        scope=scope,
        tags=tags,
        metadata={
            "metadata": fit_metadata(memory.metadata, notes),
            "categories": categories,
            "importance": memory.importance,
            "last_accessed": to_text(memory.last_accessed),
            "source": None if memory.source is None else fit_text(memory.source),
            "private": memory.private,
        },
        embedding=memory.embedding if has_vector else None,
        created_at=memory.created_at,
    )


def from_record(record: Record) -> MemoryRecord:
    """Returns a record as a memory."""
    kept: dict[str, Any] = dict(record.metadata)
    has_vector = record.embedding is not None and NO_VECTOR not in kept
    return MemoryRecord(
        id=record.id,
        content=record.text,
        scope=record.scope,
        categories=kept.get("categories", list(record.tags)),
        metadata=kept.get("metadata", {}),
        importance=kept.get("importance", 0.5),
        created_at=naive(record.created_at),
        last_accessed=_from_text(kept.get("last_accessed")) or naive(record.created_at),
        embedding=list(record.embedding or ()) if has_vector else None,
        source=kept.get("source"),
        private=kept.get("private", False),
    )


def to_tags(categories: Iterable[str]) -> tuple[str, ...]:
    """Returns the tags for categories. Empty ones, which a model may make up, are left out."""
    return tuple(dict.fromkeys(map(fit_tag, filter(None, categories))))


def naive(moment: datetime | None) -> datetime:
    """Returns a time as CrewAI expects it: naive, in UTC."""
    if moment is None:
        return datetime.now(UTC).replace(tzinfo=None)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def to_text(moment: datetime) -> str:
    """Returns a time in ISO 8601. A naive time is taken as UTC."""
    return naive(moment).isoformat() + "Z"


def _from_text(text: str | None) -> datetime | None:
    return None if text is None else naive(datetime.fromisoformat(text))
