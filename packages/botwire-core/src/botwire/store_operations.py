"""The operations of whoever keeps a store: what is in it, is it sound, erase it.

Some are about the whole store. They are answered in the namespace `names.SYSTEM_NAMESPACE` only,
which is nobody's memory. A few of those are the database's own business and no statements on its
tables; they stand alone in their batch, see `Operation.maintains`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from botwire import names
from botwire.operations import MAX_PAGE, Operation, check_page

# --- the whole store ------------------------------------------------------------------------


class NamespaceEntry(NamedTuple):
    """A namespace that a store knows.

    Attributes:
        revision: How many changes it has seen.
        created_at: When it was first written to.
    """

    name: str
    revision: int
    created_at: int


class NamespacePage(NamedTuple):
    """Some namespaces by name, and whether there are more after the last one."""

    namespaces: Sequence[NamespaceEntry]
    more: bool


@dataclass(frozen=True, slots=True)
class ListNamespaces(Operation):
    """Answers a `NamespacePage`: the namespaces of the store, without its own."""

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    prefix: str = ""
    after: str | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        names.check_prefix(self.prefix)
        if self.after is not None:
            names.check_any_namespace(self.after)
        check_page(self.limit)


class RowCount(NamedTuple):
    """How many rows of a kind there were."""

    kind: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses


@dataclass(frozen=True, slots=True)
class ForgetNamespace(Operation):
    """Erases every row that belongs to a namespace and answers a tuple of `RowCount`.

    What is erased is keys, histories and their items, records and their indexes, the log of
    changes, kept answers to requests, and that there ever was such a namespace. Should it
    be written to again, its versions go on above those it had. The bytes may still be in free
    space of the database's files; see `CompactStore`.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    name: str

    def __post_init__(self) -> None:
        names.check_namespace(self.name)


class StoreStat(NamedTuple):
    """What is known of a store as a whole.

    Attributes:
        engine: ``sqlite`` or ``postgresql``.
        bytes: What its tables take on disk, indexes included.
    """

    engine: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StatStore(Operation):
    """Answers the `StoreStat`."""

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class CheckStore(Operation):
    """Has the database check its files and answers what is wrong (tuple of str).

    SQLite compares every index with its table. PostgreSQL has no check of its own that every
    user may run; nothing is answered there.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


class Compaction(NamedTuple):
    """What a `CompactStore` did.

    Attributes:
        rewritten: Whether the files now hold nothing but what is stored.
        detail: Why not, and what to do.
    """

    rewritten: bool
    detail: str


@dataclass(frozen=True, slots=True)
class CompactStore(Operation):
    """Rewrites the database's files without what was deleted, and answers a `Compaction`.

    SQLite rewrites its file and empties its log; writers wait meanwhile, and as much free disk is
    needed as the store takes. On PostgreSQL this is left to its own ``VACUUM``.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    maintains: ClassVar[bool] = True


# --- a namespace ----------------------------------------------------------------------------


class NamespaceStat(NamedTuple):
    """What a namespace holds.

    Attributes:
        revision: How many changes it has seen.
        created_at: When it was first written to; None if it never was.
        items: Archived ones too.
        bytes: What a quota counts; see `botwire.engines.sizes`.
    """

    revision: int
    created_at: int | None
    keys: int
    histories: int
    items: int
    collections: int
    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StatNamespace(Operation):
    """Answers the `NamespaceStat`."""

    needs_snapshot: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class CheckNamespace(Operation):
    """Answers what is wrong with the rows of a namespace (tuple of str), nothing if it is sound.

    Counts are compared with what they count, versions with the revision, dimensions with
    embeddings.
    """

    needs_snapshot: ClassVar[bool] = True


class RecordCheck(NamedTuple):
    """What is wrong with some records, and the last of them; None if there are no more."""

    problems: Sequence[str]
    last: str | None


@dataclass(frozen=True, slots=True)
class CheckRecords(Operation):
    """Answers the `RecordCheck` of a page of records, by id.

    Is every word of theirs indexed, and every vector, where PostgreSQL has them, their embedding?
    """

    needs_snapshot: ClassVar[bool] = True
    collection: str
    after: str | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        if self.after is not None:
            names.check_id(self.after)
        check_page(self.limit)
