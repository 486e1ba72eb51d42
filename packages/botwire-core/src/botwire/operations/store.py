"""The operations of an administrator: what is in a store, whether it is sound, erasing it.

Those about the whole store are applied in the namespace `names.SYSTEM_NAMESPACE` only, which is
nobody's memory. Some of them are done by the database itself rather than by statements on its
tables; each is alone in its batch, see `Operation.maintains`.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

from botwire.errors import ConfigurationError
from botwire.operations.base import Operation, Paged, operation
from botwire.operations.codecs import Rule
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
)


def _check_order(order: object, what: str) -> None:
    if order not in ("bytes", "writes"):
        raise ConfigurationError(f"{what} is 'bytes' or 'writes', not {order!r:.80}")


UsageOrder = Annotated[str, Rule(_check_order, {"enum": ["bytes", "writes"]})]
"""What namespaces are ordered by."""

# --- the whole store ------------------------------------------------------------------------


class NamespaceEntry(NamedTuple):
    """A namespace that a store knows.

    Attributes:
        revision: The number of changes made in it.
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
    """Returns the namespaces of the store, by name, without the system's own.

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
    """A namespace and what it uses.

    Attributes:
        revision: The number of changes made in it.
        created_at: When it was first written to.
        bytes: What a quota counts; see `botwire.engines.sql.sizes`.
        writes: Writes made today (UTC).
    """

    name: AnyNamespace
    revision: Count
    created_at: Time
    bytes: Count
    writes: Count


class StoreUsage(NamedTuple):
    """What the namespaces of a store use together, and those that use most.

    Attributes:
        namespaces: How many there are.
        bytes: What their quotas count together.
        largest: Those that use most, in order.
    """

    namespaces: Count
    bytes: Count
    largest: Sequence[NamespaceUsage]


@operation
class ListUsage(Operation[StoreUsage]):
    """Returns the namespaces that use most, without the system's own.

    Attributes:
        order: ``bytes``: the largest first. ``writes``: those written to most today first.
        limit: Most namespaces to return.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    needs_snapshot: ClassVar[bool] = True
    order: UsageOrder = "bytes"
    limit: Limit = 100


class RowCount(NamedTuple):
    """How many rows of a kind there were."""

    kind: str
    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses


@operation
class ForgetNamespace(Operation[tuple[RowCount, ...]]):
    """Erases every row that belongs to a namespace; returns how many of each kind.

    That is: keys, histories and their items, records and their indexes, the log of changes, kept
    answers to requests, and the namespace itself. If it is written to again, its versions continue
    above those it had. The erased bytes may remain in free space of the database's files; see
    `CompactStore`.

    Attributes:
        limit: Most changes, and most answers, to erase; None: all. If there are more, nothing else
            is erased yet. Repeat until fewer are.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    name: Namespace
    limit: Limit | None = None

    def is_over(self, counts: Sequence[RowCount]) -> bool:
        """Returns whether nothing is left, after so much was erased."""
        logs = ("changes", "answers")
        return self.limit is None or all(
            one.count < self.limit for one in counts if one.kind in logs
        )


class StoreStat(NamedTuple):
    """What is known of a store as a whole.

    Attributes:
        engine: ``sqlite`` or ``postgresql``.
        bytes: What its tables take on disk, indexes included.
    """

    engine: str
    bytes: Count


@operation
class StatStore(Operation[StoreStat]):
    """Returns what is known of the store as a whole."""

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


@operation
class CheckStore(Operation[tuple[str, ...]]):
    """Has the database check its files; returns the problems found.

    SQLite compares every index with its table. PostgreSQL has no check that every user may run, so
    it finds nothing.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


class Compaction(NamedTuple):
    """What a `CompactStore` did.

    Attributes:
        rewritten: Whether the files now hold only what is stored.
        detail: If not, why, and what to do.
    """

    rewritten: bool
    detail: str


@operation
class CompactStore(Operation[Compaction]):
    """Rewrites the database's files without what was deleted.

    SQLite rewrites its file and empties its log; writers wait meanwhile, and it needs as much free
    disk space as the store takes. PostgreSQL does this with its own ``VACUUM``.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


# --- a namespace ----------------------------------------------------------------------------


class Expiring(NamedTuple):
    """A key, a history or a record that expires.

    Attributes:
        shape: ``key``, ``history`` or ``record``.
        name: The key, the history, or the id of the record.
        collection: The collection of the record; None for others.
    """

    shape: Annotated[str, Rule(None, {"enum": ["key", "history", "record"]})]
    name: Key
    expires_at: Time
    collection: CollectionName | None = None


@operation
class ListExpiring(Operation[tuple[Expiring, ...]]):
    """Returns what expires next in the namespace, the soonest first.

    Attributes:
        limit: Most keys, histories and records to return.
    """

    needs_snapshot: ClassVar[bool] = True
    limit: Limit = 100


class NamespaceStat(NamedTuple):
    """What a namespace holds.

    Attributes:
        revision: The number of changes made in it.
        created_at: When it was first written to; None if it never was.
        items: Archived ones too.
        bytes: What a quota counts; see `botwire.engines.sql.sizes`.
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
    """Returns what the namespace holds."""

    needs_snapshot: ClassVar[bool] = True


@operation
class CheckNamespace(Operation[tuple[str, ...]]):
    """Returns what is wrong with the rows of a namespace; nothing if it is sound.

    Compares counts with what they count, versions with the revision, and dimensions with
    embeddings.
    """

    needs_snapshot: ClassVar[bool] = True


class RecordCheck(NamedTuple):
    """What is wrong with a page of records, and the last of them; None if there are no more."""

    problems: Sequence[str]
    last: Id | None


@operation
class CheckRecords(Operation[RecordCheck]):
    """Checks a page of records, by id: whether every word of their texts is indexed."""

    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    after: Id | None = None
    limit: Limit = MAX_PAGE
