"""Gives a vector of zeros to memories without one, as CrewAI's own store does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from botwire import Record
from botwire_crewai.convert import NO_VECTOR, PENDING, ZEROS


def ids_of(records: Iterable[Record]) -> list[str]:
    """Returns the ids of records."""
    return [record.id for record in records]


def by_id(records: Iterable[Record | None]) -> dict[str, Record]:
    """Returns the records that exist, by their ids."""
    return {record.id: record for record in records if record is not None}


def with_zeros(new: list[Record], old: dict[str, Record], dimension: int | None) -> list[Record]:
    """Returns records with a vector of zeros where they had none.

    A search then finds them with the score that CrewAI's own store gives them. A record that
    replaces another keeps the stored vector.
    """
    given = next((len(one.embedding) for one in new if one.embedding is not None), None)
    zeros = [0.0] * (dimension or given or 0)
    filled: list[Record] = []
    for record in new:
        if record.embedding is None:
            known = old.get(record.id)
            if known is None or NO_VECTOR in known.metadata:
                mark = {NO_VECTOR: ZEROS if zeros else PENDING}
                whole = {**record.metadata, **mark}
                filled.append(replace(record, embedding=zeros or None, metadata=whole))
                continue
        filled.append(record)
    return filled


def zeroed(records: list[Record], dimension: int) -> list[Record]:
    """Returns records with a vector of zeros."""
    return [
        replace(one, embedding=[0.0] * dimension, metadata={**one.metadata, NO_VECTOR: ZEROS})
        for one in records
    ]
