"""Converts CrewAI's queries to filters of records, and matches to CrewAI's results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.types import MemoryRecord

from botwire import BotWireError, InvalidRequestError, Match, Record
from botwire.arguments import check_mapping
from botwire.client.encoding import encode_each
from botwire.filters import equals_in_python
from botwire_crewai.convert import from_record, to_tags
from botwire_crewai.fitting import fit_scope


def embeddings_of(records: Iterable[MemoryRecord]) -> list[list[float] | None]:
    """Returns the embedding of each memory."""
    return [record.embedding for record in records]


def refuse_empty(dimension: int | None) -> None:
    """Raises the error for a search with an empty vector, unless the collection has no vectors."""
    if dimension is not None:
        raise EmbeddingDimensionMismatchError(dimension, 0)


def scored(found: list[Match]) -> list[tuple[MemoryRecord, float]]:
    """Returns the matches of a search as CrewAI expects them."""
    return [(from_record(match.record), match.score) for match in found]


def protected(new: Record, old: Record | None) -> Record:
    """Returns a record that stays private, with its source, if it replaces a private one."""
    if old is None or not old.metadata.get("private"):
        return new
    kept = {"source": old.metadata.get("source"), "private": True}
    return replace(new, metadata={**new.metadata, **kept})


def mismatch(
    error: BotWireError, stored: int | None, embeddings: Iterable[Sequence[float] | None]
) -> tuple[int, int] | None:
    """Returns the expected dimension and that of an embedding that differs, if any does."""
    if not isinstance(error, InvalidRequestError):
        return None
    given = [len(one) for one in embeddings if one is not None and len(one)]
    first = stored or (given[0] if given else None)
    other = next((dimension for dimension in given if dimension != first), None)
    return None if first is None or other is None else (first, other)


def selection(
    scope: str | None,
    categories: list[str] | None,
    metadata: dict[str, Any] | None,
    ids: list[str] | None = None,
    older_than: datetime | None = None,
) -> dict[str, Any]:
    """Returns the given filters as arguments of `Records`."""
    where: dict[str, Any] = {}
    if scope is not None and fit_scope(scope) != "/":
        where["scope"] = fit_scope(scope)
    if categories is not None:
        where["tags"] = to_tags(encode_each(categories, str, "categories"))
    if metadata:
        where["filter"] = {
            "$and": [
                equals_in_python(f"metadata.{name}", part)
                for name, part in check_mapping(metadata, "metadata_filter").items()
            ]
        }
    if ids is not None:
        where["ids"] = ids
    if older_than is not None:
        where["created_before"] = older_than
    return where
