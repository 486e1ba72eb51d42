"""The operations on what a namespace keeps of its past."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

from botwire.errors import ConfigurationError
from botwire.operations.authors import Author
from botwire.operations.base import Operation, Paged, Parted, operation
from botwire.operations.codecs import Rule
from botwire.operations.fields import (
    MAX_PAGE,
    Count,
    Id,
    Key,
    Limit,
    Prefix,
    Seconds,
    Time,
    Value,
    check_choice,
    check_count,
    check_time,
)

SHAPES = ("key", "history", "record")
"""What can be restored: a key, a history, or the records of a collection."""


class Moment(NamedTuple):
    """A moment of a namespace's past: by its revision or by the time.

    Attributes:
        revision: As the namespace was with this change.
        time: As it was at this time.
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


def _check_shape(shape: object, what: str) -> None:
    check_choice(shape, SHAPES, what)


Shape = Annotated[str, Rule(_check_shape, {"enum": list(SHAPES)})]
At = Annotated[Moment, Rule(check_moment)]


class PastStat(NamedTuple):
    """What a namespace keeps of its past.

    Attributes:
        keep: Seconds for which it is kept; None if it is not.
        since: The first revision that it can be read at; 0 if nothing is kept.
        began: The first time that it can be read at; None if nothing is kept.
        revision: The namespace's present revision.
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
    """Keeps what is changed and deleted from now on, for so long; returns what is kept.

    Attributes:
        seconds: For how long; None: nothing, and what was kept is deleted.
    """

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    seconds: Seconds | None


class KeyVersion(NamedTuple):
    """A value that a key has or had.

    Attributes:
        version: The revision of the write that stored it.
        author: Who made that write; None if that is not known.
        until: The revision that replaced or deleted it; None if the key has it still.
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
class ReadVersions(Paged[VersionPage]):
    """Returns what a key has and had, the newest first.

    Attributes:
        before: Only versions before this one.
    """

    needs_snapshot: ClassVar[bool] = True
    key: Key
    before: Count | None = None
    limit: Limit = MAX_PAGE

    @property
    def backwards(self) -> bool:
        """Whether it reads from the last version to the first: always."""
        return True


@operation
class FindRevision(Operation[Count]):
    """Returns the revision that the namespace had at a time, where its past is kept."""

    needs_snapshot: ClassVar[bool] = True
    time: Time


class ChangedPage(NamedTuple):
    """Names in order, and whether there are more after the last one."""

    names: Sequence[Key]
    more: bool


@operation
class ListChanged(Paged[ChangedPage]):
    """Returns the keys, the histories or the collections that have changed since a moment.

    Without a prefix, raises `NotFoundError` if the past of one of them was erased since.

    Attributes:
        at: The moment.
        shape: Which of them.
        prefix: What their names start with.
        after: Start after this name.
    """

    needs_snapshot: ClassVar[bool] = True
    at: At
    shape: Shape
    prefix: Prefix = ""
    after: Key | None = None
    limit: Limit = MAX_PAGE


class RestoredPart(NamedTuple):
    """What came of restoring a part.

    Attributes:
        restored: How many elements were written or deleted.
        after: The last record that was looked at, if there are more.
    """

    restored: Count
    after: Id | None = None


@operation
class RestorePast(Operation[RestoredPart]):
    """Makes a key, a history or the records of a collection what they were, by new writes.

    What would have expired since stays away. Raises `NotFoundError` if its past was erased since
    the moment and it could not be told what it was.

    Attributes:
        at: The moment to go back to.
        shape: Whether `name` is a key, a history or a collection.
        only: Restore only what the change of this revision touched. Raises `ConflictError` if it
            was changed again since.
        after: Go on after this record.
        limit: Most records to look at.
    """

    writes: ClassVar[bool] = True
    at: At
    shape: Shape
    name: Key
    only: Count | None = None
    after: Id | None = None
    limit: Limit = MAX_PAGE


@operation
class ErasePast(Parted[Count]):
    """Deletes past versions for good; returns how many rows.

    For one shape or one thing, a change whose action is ``erase`` says where its past begins now.

    Attributes:
        shape: Of a key, a history or the records of a collection; None: of everything.
        name: Its name; None: of all.
        limit: Most rows to delete; None: all. Repeat until fewer are deleted.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    shape: Shape | None = None
    name: Key | None = None
    limit: Limit | None = None
