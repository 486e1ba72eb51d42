"""What a reader found in a source: notes and files to write, and what could not be read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from botwire import Record, scopes
from botwire.clock import from_datetime
from botwire.errors import ConfigurationError
from botwire.memory_files import FileCommandError
from botwire.memory_files.commands import ROOT, to_key
from botwire.names import check_tag
from botwire_mcp.rows import LONGEST

_SHOWN = 20  # faults to show in a message


@dataclass
class Contents:
    """What a reader found.

    Attributes:
        source: The kind of source, such as ``mem0``.
        notes: The notes, by id.
        files: The text of each file, by its key.
        counts: How many things of each kind the source has, such as ``entities``.
        faults: What could not be read, each with its file and line.
    """

    source: str
    notes: dict[str, Record] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def count(self, kind: str) -> None:
        """Counts a thing of the source."""
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def fault(self, path: Path, line: int, why: str) -> None:
        """Records that something cannot be read."""
        self.faults.append(f"{path}:{line}: {why}")

    def add_note(
        self,
        path: Path,
        line: int,
        identity: Iterable[Any],
        text: str,
        *,
        about: str,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        created_at: datetime | None = None,
    ) -> None:
        """Adds a note, or a fault if the note is invalid.

        Args:
            path: The file it comes from.
            line: Its line in the file.
            identity: JSON values that distinguish it from all others of this kind of source. The
                same values in a second import mean the same note.
            text: Its text.
            about: Its topic path.
            tags: Its tags.
            metadata: Its metadata.
            created_at: When it was created at the source.
        """
        digest = hashlib.sha256(json.dumps([self.source, *identity]).encode())
        id = digest.hexdigest()[:32]
        if not text.strip():
            self.fault(path, line, "it has no text")
            return
        if len(text) > LONGEST:
            self.fault(path, line, f"a note has at most {LONGEST:,} characters, not {len(text):,}")
            return
        try:
            scope = scopes.normalise(about)
            tags = tuple(dict.fromkeys(check_tag(tag) for tag in tags))
            if created_at is not None:
                from_datetime(created_at)
        except (ConfigurationError, ValueError) as error:
            self.fault(path, line, str(error))
            return
        known = {"source": self.source, **(metadata or {})}
        self.notes.setdefault(id, Record(text, id, known, tags, scope, created_at=created_at))

    def add_file(self, path: Path, name: str, text: str) -> None:
        """Adds a file for the tool `memory`, or a fault if the name is invalid."""
        try:
            self.files[to_key(f"{ROOT}/{name}")] = text
        except FileCommandError as error:
            self.fault(path, 1, str(error))

    def check(self) -> None:
        """Raises `ConfigurationError` if anything could not be read."""
        if not self.faults:
            return
        shown = self.faults[:_SHOWN]
        if len(self.faults) > len(shown):
            shown.append(f"… and {len(self.faults) - len(shown):,} more")
        raise ConfigurationError(
            "\n".join(["nothing was imported, because some of it cannot be read:", *shown])
            + "\nRepair it, or leave it out with --skip-invalid."
        )


def read_text(path: Path) -> str:
    """Returns the text of a file.

    Raises:
        ConfigurationError: The file cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: this is not UTF-8") from None
