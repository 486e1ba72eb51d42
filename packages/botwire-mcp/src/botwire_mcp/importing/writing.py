"""Writes what a reader found, and leaves alone what is there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from botwire import Memory, Record
from botwire.errors import ConflictError
from botwire_mcp.importing.found import Found

_AT_ONCE = 200
_T = TypeVar("_T")


@dataclass
class Outcome:
    """What became of the notes and files of a source.

    Attributes:
        new: How many were written, or are to be written.
        known: How many are there already.
        changed: What was changed here since an earlier import, and stays as it is.
    """

    new: int = 0
    known: int = 0
    changed: list[str] = field(default_factory=list)


def write(memory: Memory, found: Found, *, dry_run: bool = False) -> Outcome:
    """Writes the notes and files that are not there yet.

    An import that was interrupted is continued by another one.

    Args:
        memory: Where to write.
        found: What to write.
        dry_run: Only count.
    """
    outcome = Outcome()
    for records in _chunks(list(found.notes.values())):
        _write_notes(memory, records, outcome, dry_run=dry_run)
    for keys in _chunks(list(found.files)):
        stored = memory.get_many(keys)
        for key in keys:
            _write_file(memory, key, found.files[key], stored.get(key), outcome, dry_run=dry_run)
    return outcome


def _write_notes(
    memory: Memory, records: Sequence[Record], outcome: Outcome, *, dry_run: bool
) -> None:
    notes = memory.records()
    while True:
        stored = notes.get([record.id for record in records], embeddings=False)
        new = [record for record, old in zip(records, stored, strict=True) if old is None]
        try:
            if new and not dry_run:
                notes.put(new, if_versions=[0] * len(new))
        except ConflictError:
            continue  # another import has just written one of them
        break
    outcome.new += len(new)
    for record, old in zip(records, stored, strict=True):
        if old is not None and (old.text, old.scope) == (record.text, record.scope):
            outcome.known += 1
        elif old is not None:
            outcome.changed.append(f"the note {old.id}")


def _write_file(
    memory: Memory, key: str, text: str, stored: object, outcome: Outcome, *, dry_run: bool
) -> None:
    if stored is None and not dry_run:
        try:
            memory.set(key, text, if_version=0)
        except ConflictError:
            stored = memory.get(key)
    if stored is None:
        outcome.new += 1
    elif stored == text:
        outcome.known += 1
    else:
        outcome.changed.append(f"the file {key}")


def _chunks(values: Sequence[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk
