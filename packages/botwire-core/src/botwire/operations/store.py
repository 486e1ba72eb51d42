"""The operations of an administrator: what a store contains, checking it, erasing from it.

Operations on the whole store are applied in the namespace `names.SYSTEM_NAMESPACE` only, which
holds no user's memory. The database itself carries out some of them; each of these is alone in its
batch, see `Operation.maintains`.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

from botwire.operations.annotations import Rule
from botwire.operations.base import Operation, Paged, operation
from botwire.operations.fields import (
    MAX_PAGE,
    AnyNamespace,
    CollectionName,
    Count,
    Id,
    Key,
    Limit,
    Namespace,
    Prefix,
    Time,
    one_of,
)

UsageOrder = Annotated[str, one_of(("bytes", "writes"))]
"""The orders of a list of namespaces."""

# --- the whole store ------------------------------------------------------------------------


class NamespaceEntry(NamedTuple):
    """A namespace of a store.

    Attributes:
        revision: The number of its last change.
        created_at: When it was first written to.
    """

    name: AnyNamespace
    revision: Count
    created_at: Time


class NamespacePage(NamedTuple):
    """Namespaces by name, and whether there are more after the last one."""

    namespaces: Sequence[NamespaceEntry]
    more: bool


@operation
class ListNamespaces(Paged[NamespacePage]):
    """Returns the namespaces of the store, by name, without the system namespace.

    Attributes:
        after: Start after this name, which need not exist; None: at the first.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    prefix: Prefix = ""
    after: AnyNamespace | None = None
    limit: Limit = MAX_PAGE

    @property
    def reach(self) -> str:
        """The namespaces that start with the prefix."""
        return self.prefix + "*"


class NamespaceUsage(NamedTuple):
    """A namespace and its usage.

    Attributes:
        revision: The number of its last change.
        created_at: When it was first written to.
        bytes: The bytes that a quota counts; see `botwire.engines.sql.sizes`.
        writes: Writes made today (UTC).
    """

    name: AnyNamespace
    revision: Count
    created_at: Time
    bytes: Count
    writes: Count


class StoreUsage(NamedTuple):
    """The total usage of all namespaces in a store, and the namespaces that use most.

    Attributes:
        namespaces: How many there are.
        bytes: The bytes that their quotas count, in total.
        largest: The namespaces that use most, in order.
    """

    namespaces: Count
    bytes: Count
    largest: Sequence[NamespaceUsage]


@operation
class ListUsage(Operation[StoreUsage]):
    """Returns the namespaces that use most, without the system namespace.

    Attributes:
        order: ``bytes``: the largest first. ``writes``: those with the most writes today first.
        limit: Most namespaces to return.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    needs_snapshot: ClassVar[bool] = True
    order: UsageOrder = "bytes"
    limit: Limit = 100


class RowCount(NamedTuple):
    """The number of rows of one kind."""

    kind: str
    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses


@operation
class ForgetNamespace(Operation[tuple[RowCount, ...]]):
    """Erases every row of a namespace; returns how many of each kind there were.

    That includes keys, histories and their items, records and their indexes, the log of changes,
    recorded answers to requests, and the namespace itself. If it is written to again, its versions
    continue above the old ones. The erased bytes may remain in free space of the database's files;
    see `CompactStore`.

    Attributes:
        limit: Most changes, and most recorded answers, to erase; None: all. If there are more,
            nothing else is erased yet. Repeat until fewer are erased.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    name: Namespace
    limit: Limit | None = None

    def is_over(self, counts: Sequence[RowCount]) -> bool:
        """Returns whether nothing is left, after these rows were erased."""
        logs = ("changes", "answers")
        return self.limit is None or all(
            one.count < self.limit for one in counts if one.kind in logs
        )


class StoreStat(NamedTuple):
    """A summary of a store.

    Attributes:
        engine: ``sqlite`` or ``postgresql``.
        bytes: The disk space of its tables, indexes included.
    """

    engine: str
    bytes: Count


@operation
class StatStore(Operation[StoreStat]):
    """Returns a summary of the store."""

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


@operation
class CheckStore(Operation[tuple[str, ...]]):
    """Has the database check its files; returns the problems found.

    SQLite compares every index with its table. PostgreSQL has no check that any user may run, so no
    problem is ever found there.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


class Compaction(NamedTuple):
    """The result of `CompactStore`.

    Attributes:
        rewritten: Whether the files now hold only what is stored.
        detail: If not, the reason, and what to do.
    """

    rewritten: bool
    detail: str


@operation
class CompactStore(Operation[Compaction]):
    """Rewrites the database's files without what was deleted.

    SQLite rewrites its file and empties its log; meanwhile writers wait, and it needs as much free
    disk space as the store occupies. PostgreSQL does this with its own ``VACUUM``.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


# --- a namespace ----------------------------------------------------------------------------


class Expiring(NamedTuple):
    """A key, a history or a record that expires.

    Attributes:
        shape: ``key``, ``history`` or ``record``.
        name: The name of the key or history, or the id of the record.
        collection: The collection of the record; None for others.
    """

    shape: Annotated[str, Rule(None, {"enum": ["key", "history", "record"]})]
    name: Key
    expires_at: Time
    collection: CollectionName | None = None


@operation
class ListExpiring(Operation[tuple[Expiring, ...]]):
    """Returns what expires next in the namespace, in order of expiry.

    Attributes:
        limit: Most keys, histories and records to return.
    """

    needs_snapshot: ClassVar[bool] = True
    limit: Limit = 100


class NamespaceStat(NamedTuple):
    """The contents of a namespace, counted.

    Attributes:
        revision: The number of its last change.
        created_at: When it was first written to; None if it never was.
        items: The number of items, archived ones included.
        bytes: The bytes that a quota counts; see `botwire.engines.sql.sizes`.
    """

    revision: Count
    created_at: Time | None
    keys: Count
    histories: Count
    items: Count
    collections: Count
    records: Count
    bytes: Count


@operation
class StatNamespace(Operation[NamespaceStat]):
    """Returns the counts of what the namespace contains."""

    needs_snapshot: ClassVar[bool] = True


@operation
class CheckNamespace(Operation[tuple[str, ...]]):
    """Returns the faults in the rows of a namespace; none if it is sound.

    Compares counts with what they count, versions with the revision, and dimensions with
    embeddings.
    """

    needs_snapshot: ClassVar[bool] = True


class RecordCheck(NamedTuple):
    """The faults in a page of records, and the page's last record; None if there are no more."""

    problems: Sequence[str]
    last: Id | None


@operation
class CheckRecords(Operation[RecordCheck]):
    """Checks a page of records, by id: whether every word of their texts is indexed."""

    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    after: Id | None = None
    limit: Limit = MAX_PAGE
