"""The operations on what a namespace keeps of its past."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

from botwire.errors import ConfigurationError
from botwire.operations.annotations import Rule
from botwire.operations.authors import Author
from botwire.operations.base import Operation, Paged, Parted, R_co, operation
from botwire.operations.fields import (
    MAX_PAGE,
    CollectionName,
    Count,
    HistoryName,
    Id,
    Key,
    Limit,
    Prefix,
    Seconds,
    Time,
    Value,
    check_count,
    check_time,
    one_of,
)
from botwire.operations.histories import HistoryItem, check_item_named
from botwire.operations.records import RecordEntry

SHAPES = ("key", "history", "record")
"""What can be restored: a key, a history, or the records of a collection."""


class Moment(NamedTuple):
    """A moment in the past of a namespace, given by its revision or by a time.

    Attributes:
        revision: The namespace right after this change.
        time: The namespace at this time.
    """

    revision: Count | None = None
    time: Time | None = None


def check_moment(moment: Moment, what: str = "at") -> None:
    """Raises `ConfigurationError` unless a moment has either a revision or a time."""
    if not isinstance(moment, Moment) or (moment.revision is None) == (moment.time is None):
        raise ConfigurationError(f"{what} must be either a revision or a time")
    if moment.revision is not None:
        check_count(moment.revision, f"{what}.revision")
    else:
        check_time(moment.time, f"{what}.time")


Shape = Annotated[str, one_of(SHAPES)]
At = Annotated[Moment, Rule(check_moment)]


class PastStat(NamedTuple):
    """What a namespace keeps of its past.

    Attributes:
        keep: For how many seconds; None if it keeps nothing.
        since: The first revision at which it can be read; 0 if it keeps nothing.
        began: The first time at which it can be read; None if it keeps nothing.
        revision: The namespace's current revision.
    """

    keep: Seconds | None
    since: Count
    began: Time | None
    revision: Count


@operation
class StatPast(Operation[PastStat]):
    """Returns what the namespace keeps of its past."""


@operation
class KeepPast(Operation[PastStat]):
    """Sets for how long what is changed or deleted is kept; returns what the namespace keeps now.

    Attributes:
        seconds: For how many seconds; None keeps nothing and deletes what was kept.
    """

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    seconds: Seconds | None


class NewestFirst(Paged[R_co]):
    """Reads a page of versions, from the last one to the first."""

    __slots__ = ()

    needs_snapshot: ClassVar[bool] = True

    @property
    def backwards(self) -> bool:
        """True: the next page precedes the last version of this one."""
        return True


class KeyVersion(NamedTuple):
    """A value that a key has or had.

    Attributes:
        version: The revision of the write or the import that stored it.
        author: Who made that write; None if that is not known.
        until: The revision that replaced or deleted it; None if it is the current value.
    """

    version: Count
    value: Value
    created_at: Time
    updated_at: Time
    expires_at: Time | None
    author: Author | None = None
    until: Count | None = None


class VersionPage(NamedTuple):
    """Versions of a key, the newest first, and whether there are more."""

    versions: Sequence[KeyVersion]
    more: bool


@operation
class ReadVersions(NewestFirst[VersionPage]):
    """Returns the current value and the past values of a key, the newest first.

    Attributes:
        before: Only versions before this one.
    """

    key: Key
    before: Count | None = None
    limit: Limit = MAX_PAGE


class ItemVersion(NamedTuple):
    """An item of a history as it is or was.

    Attributes:
        version: The revision of the write or the import that made it so.
        item: The item.
        until: The revision that changed or deleted it; None if it is still so.
    """

    version: Count
    item: HistoryItem
    until: Count | None = None


class ItemVersionPage(NamedTuple):
    """Versions of an item, the newest first, and whether there are more."""

    versions: Sequence[ItemVersion]
    more: bool


@operation
class ReadItemVersions(NewestFirst[ItemVersionPage]):
    """Returns what an item of a history is and was, the newest first.

    In a fork, these are the versions since the history was forked.

    Attributes:
        name: The history.
        seq: The item's number…
        id: …or its id; one of them is given.
        before: Only versions before this one.
    """

    name: HistoryName
    seq: Count | None = None
    id: Id | None = None
    before: Count | None = None
    limit: Limit = MAX_PAGE

    def check(self) -> None:
        """Raises `ConfigurationError` unless the item is named in one way."""
        check_item_named(self.seq, self.id)


class RecordVersion(NamedTuple):
    """A record as it is or was.

    Attributes:
        version: The revision of the write or the import that made it so.
        record: The record.
        until: The revision that changed or deleted it; None if it is still so.
    """

    version: Count
    record: RecordEntry
    until: Count | None = None


class RecordVersionPage(NamedTuple):
    """Versions of a record, the newest first, and whether there are more."""

    versions: Sequence[RecordVersion]
    more: bool


@operation
class ReadRecordVersions(NewestFirst[RecordVersionPage]):
    """Returns what a record is and was, the newest first.

    Attributes:
        collection: The collection.
        id: The record.
        before: Only versions before this one.
        embeddings: Whether to return embeddings; without, they are None.
    """

    collection: CollectionName
    id: Id
    before: Count | None = None
    limit: Limit = MAX_PAGE
    embeddings: bool = True


@operation
class FindRevision(Operation[Count]):
    """Returns the revision that the namespace had at a time, if its past is kept."""

    needs_snapshot: ClassVar[bool] = True
    time: Time


class ChangedPage(NamedTuple):
    """Names in order, and whether there are more after the last one."""

    names: Sequence[Key]
    more: bool


@operation
class ListChanged(Paged[ChangedPage]):
    """Returns the keys, histories or collections that have changed since a moment.

    Without a prefix, raises `NotFoundError` if the past of one of them was erased since.

    Attributes:
        at: The moment.
        shape: Whether to list keys, histories or collections.
        prefix: Only those whose names start with this.
        after: Start after this name.
    """

    needs_snapshot: ClassVar[bool] = True
    at: At
    shape: Shape
    prefix: Prefix = ""
    after: Key | None = None
    limit: Limit = MAX_PAGE


class RestoredPart(NamedTuple):
    """The result of restoring a part.

    Attributes:
        restored: How many elements were written or deleted.
        after: The last record examined, if there are more.
    """

    restored: Count
    after: Id | None = None


@operation
class RestorePast(Operation[RestoredPart]):
    """Restores a key, a history or the records of a collection by new writes.

    Whatever would have expired since is not restored. Raises `NotFoundError` if its past was erased
    after that moment, so its state is no longer known.

    Attributes:
        at: The moment to go back to.
        shape: Whether `name` is a key, a history or a collection.
        only: Restore only what this revision changed. Raises `ConflictError` if that was changed
            again later.
        after: Continue after this record.
        limit: Most records to examine.
    """

    writes: ClassVar[bool] = True
    may_remove: ClassVar[bool] = True
    at: At
    shape: Shape
    name: Key
    only: Count | None = None
    after: Id | None = None
    limit: Limit = MAX_PAGE


@operation
class ErasePast(Parted[Count]):
    """Deletes past versions for good; returns how many rows.

    If only a part is erased, a change with the action ``erase`` marks where its past begins now.

    Attributes:
        shape: Erase the past of keys, of histories or of records; None: of everything.
        name: The name of one key, history or collection; None: all.
        limit: Most rows to delete; None: all. Repeat until fewer are deleted.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    shape: Shape | None = None
    name: Key | None = None
    limit: Limit | None = None
