"""Writes what a reader found, and leaves existing notes and files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from botwire import Memory, Record
from botwire.errors import ConflictError
from botwire_mcp.importing.found import Contents

_AT_ONCE = 200
_T = TypeVar("_T")


@dataclass
class Outcome:
    """The outcome of an import.

    Attributes:
        new: How many notes and files were written, or would be.
        known: How many already existed.
        changed: Those changed here since an earlier import, which stay as they are.
    """

    new: int = 0
    known: int = 0
    changed: list[str] = field(default_factory=list)


def write(memory: Memory, found: Contents, *, dry_run: bool = False) -> Outcome:
    """Writes the notes and files that do not exist yet.

    Repeating an interrupted import completes it.

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
