"""The operations on keys."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from botwire.operations.authors import Author
from botwire.operations.base import Operation, Paged, Parted, operation
from botwire.operations.fields import (
    MAX_PAGE,
    Count,
    Integer,
    Key,
    Limit,
    Prefix,
    Seconds,
    Time,
    Value,
)

_ONE_STATEMENT = 500  # keys that an engine reads with one


class KeyEntry(NamedTuple):
    """A key as it is stored.

    Attributes:
        author: Who made the last write; None if that is not known.
    """

    key: Key
    value: Value
    version: Count
    created_at: Time
    updated_at: Time
    expires_at: Time | None
    author: Author | None = None


class KeyPage(NamedTuple):
    """Keys in order, and whether there are more after the last one."""

    keys: Sequence[Key]
    more: bool


class EntryPage(NamedTuple):
    """Keys with their values, in the order asked for, and whether there are more."""

    entries: Sequence[KeyEntry]
    more: bool


class KeyStat(NamedTuple):
    """A summary of a key, without its value.

    Attributes:
        size: The size of the stored value, in bytes.
        binary: Whether the value is bytes instead of JSON.
        author: Who made the last write; None if that is not known.
    """

    key: Key
    size: Count
    binary: bool
    version: Count
    created_at: Time
    updated_at: Time
    expires_at: Time | None
    author: Author | None = None


class KeyStatPage(NamedTuple):
    """Keys in order, without their values, and whether there are more after the last one."""

    keys: Sequence[KeyStat]
    more: bool


@operation
class PutKey(Operation[Count]):
    """Sets a key; returns its new version.

    Attributes:
        ttl: Seconds until the key expires; None: never.
        if_version: Write only if the key has this version; 0: only if there is no such key.
    """

    writes: ClassVar[bool] = True
    key: Key
    value: Value
    ttl: Seconds | None = None
    if_version: Count | None = None


@operation
class GetKeys(Operation[tuple[KeyEntry | None, ...]]):
    """Returns an entry or None for each key, in the order asked for.

    A server refuses an answer that would be too large with `PayloadTooLargeError`; its clients
    then ask for fewer keys at a time.
    """

    has_past: ClassVar[bool] = True
    keys: tuple[Key, ...]

    @property
    def needs_snapshot(self) -> bool:  # type: ignore[override]
        """Whether reading this many keys takes several statements."""
        return len(self.keys) > _ONE_STATEMENT


@operation
class ListKeys(Paged[KeyPage]):
    """Returns the keys that start with `prefix`, in code point order.

    Attributes:
        after: Start after this key, which need not exist; None: at the first.
    """

    has_past: ClassVar[bool] = True
    prefix: Prefix = ""
    after: Key | None = None
    limit: Limit = MAX_PAGE


@operation
class ListKeyStats(Paged[KeyStatPage]):
    """Returns the keys that start with `prefix`, with sizes but without values, in order.

    Attributes:
        after: Start after this key, which need not exist; None: at the first.
    """

    has_past: ClassVar[bool] = True
    prefix: Prefix = ""
    after: Key | None = None
    limit: Limit = MAX_PAGE


@operation
class ScanKeys(Paged[EntryPage]):
    """Returns the keys that start with `prefix`, with their values, in code point order.

    A page holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        after: Only keys after this one, which need not exist.
        before: Only keys before this one, which need not exist.
        descending: From the last key to the first; pass `before` to get the next page.
    """

    has_past: ClassVar[bool] = True
    prefix: Prefix = ""
    after: Key | None = None
    before: Key | None = None
    limit: Limit = MAX_PAGE
    descending: bool = False

    @property
    def backwards(self) -> bool:
        """Whether it reads from the last key to the first."""
        return self.descending


@operation
class CountKeys(Operation[Count]):
    """Returns the number of keys that start with `prefix`."""

    has_past: ClassVar[bool] = True
    prefix: Prefix = ""


@operation
class DeleteKey(Operation[bool]):
    """Deletes a key; returns whether it existed.

    Attributes:
        if_version: Delete only if the key has this version.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    key: Key
    if_version: Count | None = None


@operation
class ClearKeys(Parted[Count]):
    """Deletes every key that starts with `prefix`; returns how many.

    Attributes:
        limit: Most keys to delete; None: all. Repeat until fewer are deleted.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    prefix: Prefix = ""
    limit: Limit | None = None


@operation
class IncrementKey(Operation[int]):
    """Adds to an int, starting from 0; returns the sum. Leaves the expiry as it is."""

    writes: ClassVar[bool] = True
    key: Key
    by: Integer = 1


@operation
class CheckKey(Operation[None]):
    """Raises `ConflictError` unless the key has this version; 0: unless there is no such key."""

    key: Key
    version: Count
