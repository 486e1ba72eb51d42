"""What `Memory` returns, for people: times are datetimes, values are objects."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire.clock import to_datetime


class Entry(NamedTuple):
    """A key and what is known of it.

    Attributes:
        key: The key.
        value: What was set: a JSON value, or bytes.
        version: Grows with each write of the key and is never reused, not even after a delete.
        created_at: When the key was first set, in UTC.
        updated_at: When it was last set, in UTC.
        expires_at: When it will be gone, in UTC; None if never.
    """

    key: str
    value: Any
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, entry: ops.KeyEntry) -> Entry:
        """Reads an operation's result."""
        return cls(
            entry.key,
            plain(entry.value),
            entry.version,
            to_datetime(entry.created_at),
            to_datetime(entry.updated_at),
            None if entry.expires_at is None else to_datetime(entry.expires_at),
        )


class Item(NamedTuple):
    """An item of a history.

    Attributes:
        seq: Its sequence number; grows along the history and is never reused.
        id: The id it was appended with, or None.
        value: The JSON value that was appended.
        created_at: When it was appended, in UTC.
    """

    seq: int
    id: str | None
    value: Any
    created_at: datetime

    @classmethod
    def of(cls, item: ops.HistoryItem) -> Item:
        """Reads an operation's result."""
        return cls(item.seq, item.id, item.value.value, to_datetime(item.created_at))


class HistoryInfo(NamedTuple):
    """What is known of a history without reading it.

    Attributes:
        name: Its name.
        count: How many items reads return.
        archived: How many items were put away by `archive`.
        last_seq: The greatest sequence number ever given; 0 if none was.
        created_at: When its first item was appended, in UTC; None if there never was one.
        updated_at: When it last changed, in UTC; None if it never did.
    """

    name: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    archived: int
    last_seq: int
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def of(cls, stat: ops.HistoryStat) -> HistoryInfo:
        """Reads an operation's result."""
        known = stat.last_seq > 0
        return cls(
            stat.name,
            stat.count,
            stat.archived,
            stat.last_seq,
            to_datetime(stat.created_at) if known else None,
            to_datetime(stat.updated_at) if known else None,
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A searchable memory.

    Attributes:
        text: What is remembered.
        id: Unset, a new one is made up.
        metadata: A JSON object; searches can filter by it.
        tags: Any strings; each counts once.
        scope: A path such as ``/crew/alice``; slashes at its ends do not count.
        embedding: Finite numbers, kept in 32 bits. None: there is none, or a put keeps the one
            that is stored, or a read was told to leave it out.
        created_at: Given, it is kept (a naive one is taken as UTC). Unset, a put takes the
            present time for a new record and leaves that of a known one.
        updated_at: When it was last written, in UTC; set by the store.
        version: Grows with each write and is never reused; set by the store.
    """

    text: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    scope: str = "/"
    embedding: Sequence[float] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 0

    @classmethod
    def of(cls, entry: ops.RecordEntry) -> Record:
        """Reads an operation's result."""
        return cls(
            entry.text,
            entry.id,
            entry.metadata.value,
            tuple(entry.tags),
            entry.scope,
            None if entry.embedding is None else entry.embedding.values,
            to_datetime(entry.created_at),
            to_datetime(entry.updated_at),
            entry.version,
        )


class Match(NamedTuple):
    """A record that a search found.

    Attributes:
        record: The record.
        score: How well it fits; more is better.
    """

    record: Record
    score: float

    @classmethod
    def of(cls, match: ops.RecordMatch) -> Match:
        """Reads an operation's result."""
        return cls(Record.of(match.record), match.score)


class RecordsInfo(NamedTuple):
    """What is known of records without reading them.

    Attributes:
        count: How many there are.
        oldest: When the oldest was created, in UTC; None if there is none.
        newest: When the newest was created, in UTC; None if there is none.
        dimension: How many numbers an embedding of the collection has; None while it has none.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    oldest: datetime | None
    newest: datetime | None
    dimension: int | None

    @classmethod
    def of(cls, stat: ops.RecordStat) -> RecordsInfo:
        """Reads an operation's result."""
        oldest, newest = stat.oldest, stat.newest
        return cls(
            stat.count,
            None if oldest is None else to_datetime(oldest),
            None if newest is None else to_datetime(newest),
            stat.dimension,
        )


class Change(NamedTuple):
    """That something changed; read it to know what it is now.

    Attributes:
        revision: Counts the changes of the namespace; `AsyncMemory.watch` goes on after it.
        shape: ``key``, ``history`` or ``record``; ``namespace`` for a ``reset``.
        action: What was done, for example ``put``, ``delete``, ``append`` or ``clear``. After a
            ``reset`` anything may have changed: more was missed than is kept.
        name: Of the key, history or collection of records; of a ``clear`` of keys, what their
            names start with.
    """

    revision: int
    shape: str
    action: str
    name: str

    def touches(self, prefix: str) -> bool:
        """Says whether names that start with `prefix` may have changed."""
        if self.name.startswith(prefix) or self.action == "reset":
            return True
        return self.shape == "key" and self.action == "clear" and prefix.startswith(self.name)


def plain(value: ops.Value) -> Any:
    """Returns a stored value as the caller gave it."""
    return value if isinstance(value, bytes) else value.value
