"""What the clients return, with datetimes for times and Python objects for values."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, overload

from botwire import operations as ops
from botwire.clock import to_datetime
from botwire.operations import Author


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else to_datetime(micros)


class Entry(NamedTuple):
    """A key with its value, version and times.

    Attributes:
        key: The key.
        value: The value that was set: a JSON value, or bytes.
        version: Grows with each write of the key and is never reused, not even after a delete.
        created_at: When the key was first set, in UTC.
        updated_at: When the key was last set, in UTC.
        expires_at: When the key expires, in UTC; None if never.
        author: Who made the last write; None if that is not known. See `Author`.
    """

    key: str
    value: Any
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    author: Author | None = None

    @classmethod
    def of(cls, entry: ops.KeyEntry) -> Entry:
        """Converts an operation's result."""
        return cls(
            entry.key,
            plain(entry.value),
            entry.version,
            to_datetime(entry.created_at),
            to_datetime(entry.updated_at),
            _moment(entry.expires_at),
            entry.author,
        )


class Item:
    """An item of a history. Its value is decoded when it is first asked for.

    Attributes:
        stored: The item as the engine returned it, its value perhaps still JSON text.
        seq: The sequence number; it grows along the history and is never reused.
        id: The id it was appended with, or None.
        version: Changes when the value is updated; pass it to `AsyncHistory.update`.
        author: Who appended the item, or updated it last; None if that is not known.
    """

    __slots__ = ("_value", "author", "id", "seq", "stored", "version")

    _value: Any

    def __init__(self, stored: ops.HistoryItem) -> None:
        self.stored = stored
        self.seq, self.id, _, _, self.version, self.author = stored

    @property
    def value(self) -> Any:
        """The JSON value that was appended."""
        try:
            return self._value
        except AttributeError:
            self._value = self.stored.value.value
            return self._value

    @property
    def created_at(self) -> datetime:
        """When the item was appended, in UTC."""
        return to_datetime(self.stored.created_at)

    def __eq__(self, other: object) -> bool:
        return self.stored == other.stored if isinstance(other, Item) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.stored)

    def __repr__(self) -> str:
        named = ("seq", "id", "value", "created_at", "version", "author")
        return f"Item({', '.join(f'{name}={getattr(self, name)!r}' for name in named)})"


class HistoryInfo(NamedTuple):
    """The counts, times and metadata of a history.

    Attributes:
        name: The history's name.
        count: The number of items, without archived ones.
        archived: The number of archived items.
        last_seq: The highest sequence number ever assigned; 0 if none was.
        created_at: When the first item was appended, in UTC; None if there never was one.
        updated_at: When the history last changed, in UTC; None if it never did.
        metadata: What `AsyncHistory.set_metadata` set: a JSON object, empty if nothing was set.
        metadata_version: Changes with each `set_metadata`; 0 if there is no metadata.
        expires_at: When the history expires, in UTC; None if never.
    """

    name: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    archived: int
    last_seq: int
    created_at: datetime | None
    updated_at: datetime | None
    metadata: Mapping[str, Any]
    metadata_version: int
    expires_at: datetime | None

    @classmethod
    def of(cls, stat: ops.HistoryStat) -> HistoryInfo:
        """Converts an operation's result."""
        known = stat.created_at > 0
        return cls(
            stat.name,
            stat.count,
            stat.archived,
            stat.last_seq,
            to_datetime(stat.created_at) if known else None,
            to_datetime(stat.updated_at) if known else None,
            stat.metadata.value,
            stat.metadata_version,
            _moment(stat.expires_at),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A searchable memory.

    Attributes:
        text: What is remembered.
        id: The record's id. Default: a random one.
        metadata: A JSON object, which searches can filter by.
        tags: Any strings; duplicates are dropped.
        scope: A path such as ``/crew/alice``. Leading and trailing slashes do not matter.
        embedding: Finite numbers, stored in 32 bits. None if there is none, if a put should keep
            the stored one, or if a read left it out.
        created_at: When the record was created; a naive datetime means UTC. If None, a put uses the
            current time for a new record and keeps the time of an existing one.
        updated_at: When the record was last written, in UTC; set by the store.
        version: Grows with each write and is never reused; set by the store.
        expires_at: When the record expires, in UTC; None if never. Set by the store; see the `ttl`
            of `AsyncRecords.put`.
        author: Who wrote it last, or None if that is not known; set by the store.
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
    expires_at: datetime | None = None
    author: Author | None = None

    @classmethod
    def of(cls, entry: ops.RecordEntry) -> Record:
        """Converts an operation's result."""
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
            _moment(entry.expires_at),
            entry.author,
        )


class Match(NamedTuple):
    """A record that a search found.

    Attributes:
        record: The record.
        score: How well it matches; higher is better.
    """

    record: Record
    score: float

    @classmethod
    def of(cls, match: ops.RecordMatch) -> Match:
        """Converts an operation's result."""
        return cls(Record.of(match.record), match.score)


@dataclass(frozen=True, slots=True)
class Recall(Sequence[Record]):
    """The memories that a recall found, the best first: a sequence of `Record`.

    ``str()`` gives the text to show a model: one memory per line, or what was searched if nothing
    was found.

    Attributes:
        records: The memories.
        scores: The score of each; empty if there was no query, so the newest come first.
        searched: What was searched and how; if nothing was found, also how many memories there are.
    """

    records: tuple[Record, ...]
    scores: tuple[float, ...]
    searched: str

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...

    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __str__(self) -> str:
        if not self.records:
            return f"No memory was found: {self.searched}."
        return "\n".join(f"- {record.text}" for record in self.records)


class RecordsInfo(NamedTuple):
    """A summary of some records.

    Attributes:
        count: How many there are.
        oldest: When the oldest record was created, in UTC; None if there is none.
        newest: When the newest record was created, in UTC; None if there is none.
        dimension: The length of the collection's embeddings; None while it has none.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    oldest: datetime | None
    newest: datetime | None
    dimension: int | None

    @classmethod
    def of(cls, stat: ops.RecordStat) -> RecordsInfo:
        """Converts an operation's result."""
        oldest, newest = stat.oldest, stat.newest
        return cls(
            stat.count,
            _moment(oldest),
            _moment(newest),
            stat.dimension,
        )


class Change(NamedTuple):
    """A change of a namespace. It says what changed, not the new value.

    Attributes:
        revision: The change's number; pass it to `AsyncMemory.watch` as `after` to resume.
        shape: ``key``, ``history`` or ``record``; ``namespace`` for a ``reset``.
        action: What was done, for example ``put``, ``delete``, ``append`` or ``clear``. A ``reset``
            means that older changes are no longer kept, so anything may have changed.
        name: The name of the key, history or collection; for a ``clear`` of keys, their prefix.
        author: Who made the change; None if that is not known.
        changed_at: When it was made, in UTC; None unless the namespace kept its past then.
    """

    revision: int
    shape: str
    action: str
    name: str
    author: Author | None = None
    changed_at: datetime | None = None

    @classmethod
    def of(cls, entry: ops.ChangeEntry) -> Change:
        """Converts an operation's result."""
        at = entry.changed_at
        return cls(
            entry.revision,
            entry.shape,
            entry.action,
            entry.name,
            entry.author,
            _moment(at),
        )

    def touches(self, prefix: str) -> bool:
        """Returns whether anything whose name starts with `prefix` may have changed."""
        if self.name.startswith(prefix) or self.action == "reset":
            return True
        return self.shape == "key" and self.action == "clear" and prefix.startswith(self.name)


class Version(NamedTuple):
    """A value that a key has or had.

    Attributes:
        value: The value: a JSON value, or bytes.
        version: The revision of the write or the import that stored it, for `Memory.at`.
        created_at: When the key was first set, in UTC.
        updated_at: When this value was set, in UTC.
        expires_at: When it was due to expire, in UTC; None if never.
        author: Who set it; None if that is not known.
        until: The revision that replaced or deleted it; None if it is the current value.
    """

    value: Any
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    author: Author | None
    until: int | None

    @classmethod
    def of(cls, version: ops.KeyVersion) -> Version:
        """Converts an operation's result."""
        expires_at = version.expires_at
        return cls(
            plain(version.value),
            version.version,
            to_datetime(version.created_at),
            to_datetime(version.updated_at),
            _moment(expires_at),
            version.author,
            version.until,
        )


class ItemVersion(NamedTuple):
    """An item of a history as it is or was.

    Attributes:
        item: The item.
        version: The revision of the write or the import that made it so, for `Memory.at`.
        until: The revision that changed or deleted it; None if it is still so.
    """

    item: Item
    version: int
    until: int | None

    @classmethod
    def of(cls, version: ops.ItemVersion) -> ItemVersion:
        """Converts an operation's result."""
        return cls(Item(version.item), version.version, version.until)


class RecordVersion(NamedTuple):
    """A record as it is or was.

    Attributes:
        record: The record.
        version: The revision of the write or the import that made it so, for `Memory.at`.
        until: The revision that changed or deleted it; None if it is still so.
    """

    record: Record
    version: int
    until: int | None

    @classmethod
    def of(cls, version: ops.RecordVersion) -> RecordVersion:
        """Converts an operation's result."""
        return cls(Record.of(version.record), version.version, version.until)


class PastInfo(NamedTuple):
    """What a namespace keeps of its past.

    Attributes:
        keep: For how long; None if it keeps nothing.
        since: The first revision at which it can be read.
        began: The first time at which it can be read, in UTC; None if it keeps nothing.
        revision: The namespace's current revision.
    """

    keep: timedelta | None
    since: int
    began: datetime | None
    revision: int

    @classmethod
    def of(cls, stat: ops.PastStat) -> PastInfo:
        """Converts an operation's result."""
        return cls(
            None if stat.keep is None else timedelta(seconds=stat.keep),
            stat.since,
            _moment(stat.began),
            stat.revision,
        )


def plain(value: ops.Value) -> Any:
    """Returns a stored value as a Python object, as the caller gave it."""
    return value if isinstance(value, bytes) else value.value
