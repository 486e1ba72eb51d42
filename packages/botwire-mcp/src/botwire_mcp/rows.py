"""Notes as the short JSON objects that agents read."""

from __future__ import annotations

from typing import Any

from botwire import Record, scopes

LONGEST = 20_000
"""Characters in a note, so that a note can always be read whole."""


def to_row(note: Record) -> dict[str, Any]:
    """Returns a note as a short JSON object."""
    row: dict[str, Any] = {"id": note.id, "text": note.text, "version": note.version}
    if note.scope != scopes.ROOT:
        row["about"] = note.scope
    if note.tags:
        row["tags"] = list(note.tags)
    if note.updated_at is not None:
        row["updated"] = note.updated_at.strftime("%Y-%m-%d %H:%M")
    return row
