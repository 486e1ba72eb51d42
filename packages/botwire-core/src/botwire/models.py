"""What `Memory` returns, for people: times are datetimes, values are objects."""

from __future__ import annotations

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


class Change(NamedTuple):
    """That something changed; read it to know what it is now.

    Attributes:
        revision: Counts the changes of the namespace; `AsyncMemory.watch` goes on after it.
        shape: ``key`` or ``history``; ``namespace`` for a ``reset``.
        action: What was done, for example ``put``, ``delete``, ``append`` or ``clear``. After a
            ``reset`` anything may have changed: too many changes were missed to know which.
        name: Of the key or history; of a ``clear``, what the cleared names start with.
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
