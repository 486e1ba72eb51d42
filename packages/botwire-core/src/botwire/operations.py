"""The one vocabulary: every operation, and what it answers, as immutable values.

`Memory` builds operations and reads results. The SQLite engine, the PostgreSQL engine and the
HTTP transport are three ways to apply a batch of them. Nothing here does I/O.

Names are checked where an operation is made, so a bad one is refused before anything is sent or
written, on a client and on the server alike. Times are integers, microseconds since 1970 (UTC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from botwire import names
from botwire.errors import ConfigurationError
from botwire.exact import Json
from botwire.terms import Terms

Value = Json | bytes
"""What a key holds: a JSON value, or bytes."""

MAX_PAGE = 1000
"""Most names or items that one operation returns; whoever needs more asks for the next page."""


def check_count(value: object, what: str, *, least: int = 0) -> None:
    """Raises `ConfigurationError` unless `value` is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{what} is an int, not {type(value).__name__}: {value!r:.80}")
    if not least <= value < 2**63:
        raise ConfigurationError(f"{what} must be at least {least} and below 2**63, not {value}")


MAX_PAGE_BYTES = 8 * 1024 * 1024
"""About how many bytes a page holds at most: there are then fewer elements in it than were asked
for, and more after them. One that is larger is a page of its own."""

PART = MAX_PAGE
"""Keys or items that clearing deletes at once: a writer waits for some 10 ms."""

RECORDS_PART = 200
"""Records that clearing deletes at once, with the words of their texts."""

_ONE_STATEMENT = 500  # names that an engine reads by one


class Operation:
    """The base of all operations."""

    __slots__ = ()

    writes: ClassVar[bool] = False
    """Whether the operation may change something."""
    removes: ClassVar[bool] = False
    """Whether all it can do is take away: no quota stops it, and a server writes it down."""
    needs_snapshot: ClassVar[bool] = False
    """Whether it reads more than once, and must find what was there at one moment."""
    admin: ClassVar[bool] = False
    """Whether it is for whoever keeps the store, and no right to read or write is enough."""
    storewide: ClassVar[bool] = False
    """Whether it is about the whole store, and answered in the system's namespace only."""
    maintains: ClassVar[bool] = False
    """Whether the database itself does it, outside of transactions; it is alone in its batch."""


# --- keys -----------------------------------------------------------------------------------


class KeyEntry(NamedTuple):
    """A key as it is stored."""

    key: str
    value: Value
    version: int
    created_at: int
    updated_at: int
    expires_at: int | None


class KeyPage(NamedTuple):
    """Some keys in order, and whether there are more after the last one."""

    keys: Sequence[str]
    more: bool


class EntryPage(NamedTuple):
    """Some keys with what they hold, in the order asked for, and whether there are more."""

    entries: Sequence[KeyEntry]
    more: bool


@dataclass(frozen=True, slots=True)
class PutKey(Operation):
    """Sets a key and answers its new version (int).

    Attributes:
        ttl: Seconds until the key expires; None keeps it for good.
        if_version: Write only if the key has this version; 0 if there is no such key.
    """

    writes: ClassVar[bool] = True
    key: str
    value: Value
    ttl: float | None = None
    if_version: int | None = None

    def __post_init__(self) -> None:
        names.check_key(self.key)
        if self.ttl is not None:
            check_ttl(self.ttl)
        if self.if_version is not None:
            check_count(self.if_version, "if_version")


@dataclass(frozen=True, slots=True)
class GetKeys(Operation):
    """Answers a tuple with a `KeyEntry` or None for each key asked for, in that order.

    A server refuses what would hold too much, with `PayloadTooLargeError`: ask for fewer. Its
    clients do, by themselves.
    """

    keys: tuple[str, ...]

    @property
    def needs_snapshot(self) -> bool:  # type: ignore[override]
        """Whether there are so many that it takes several statements."""
        return len(self.keys) > _ONE_STATEMENT

    def __post_init__(self) -> None:
        for key in self.keys:
            names.check_key(key)


@dataclass(frozen=True, slots=True)
class ListKeys(Operation):
    """Answers a `KeyPage`: the keys that start with `prefix`, in code point order.

    Attributes:
        after: Start after this key (it need not exist); None starts at the first.
        limit: How many at most, 1 to `MAX_PAGE`.
    """

    prefix: str = ""
    after: str | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        names.check_prefix(self.prefix)
        if self.after is not None:
            names.check_key(self.after)
        check_page(self.limit)


@dataclass(frozen=True, slots=True)
class ScanKeys(Operation):
    """Answers an `EntryPage`: the keys that start with `prefix` with what they hold, in order.

    It holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        after: Only keys after this one; it need not exist.
        before: Only keys before this one; it need not exist.
        limit: How many at most, 1 to `MAX_PAGE`.
        descending: From the last to the first; the next page is then before the last one.
    """

    prefix: str = ""
    after: str | None = None
    before: str | None = None
    limit: int = MAX_PAGE
    descending: bool = False

    def __post_init__(self) -> None:
        names.check_prefix(self.prefix)
        for bound in (self.after, self.before):
            if bound is not None:
                names.check_key(bound)
        check_page(self.limit)


@dataclass(frozen=True, slots=True)
class CountKeys(Operation):
    """Answers how many keys start with `prefix` (int)."""

    prefix: str = ""

    def __post_init__(self) -> None:
        names.check_prefix(self.prefix)


@dataclass(frozen=True, slots=True)
class DeleteKey(Operation):
    """Deletes a key and answers whether there was one (bool).

    Attributes:
        if_version: Delete only if the key has this version.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    key: str
    if_version: int | None = None

    def __post_init__(self) -> None:
        names.check_key(self.key)
        if self.if_version is not None:
            check_count(self.if_version, "if_version")


@dataclass(frozen=True, slots=True)
class ClearKeys(Operation):
    """Deletes every key that starts with `prefix` and answers how many there were (int).

    Attributes:
        limit: How many to delete at most; None: all. A caller goes on until there are fewer.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    prefix: str = ""
    limit: int | None = None

    def __post_init__(self) -> None:
        names.check_prefix(self.prefix)
        check_part(self.limit)


@dataclass(frozen=True, slots=True)
class IncrementKey(Operation):
    """Adds to an int, starting from 0, and answers the sum (int). Keeps the expiry."""

    writes: ClassVar[bool] = True
    key: str
    by: int = 1

    def __post_init__(self) -> None:
        names.check_key(self.key)
        if isinstance(self.by, bool) or not isinstance(self.by, int):
            raise ConfigurationError(f"increment adds an int, not {type(self.by).__name__}")


@dataclass(frozen=True, slots=True)
class CheckKey(Operation):
    """Raises `ConflictError` unless the key has this version (0: no such key). Answers None."""

    key: str
    version: int

    def __post_init__(self) -> None:
        names.check_key(self.key)
        check_count(self.version, "version")


# --- histories ------------------------------------------------------------------------------


class HistoryItem(NamedTuple):
    """An item as it is stored."""

    seq: int
    id: str | None
    value: Json
    created_at: int


class ItemPage(NamedTuple):
    """Some items in the order asked for, and whether there are more after the last one."""

    items: Sequence[HistoryItem]
    more: bool


class HistoryStat(NamedTuple):
    """What is known of a history without reading it.

    Attributes:
        count: Items that reads return.
        archived: Items put away by `archive`.
        last_seq: The greatest sequence number ever given; 0 if none was.
    """

    name: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    archived: int
    last_seq: int
    created_at: int
    updated_at: int


class HistoryPage(NamedTuple):
    """Some histories in the order of their names, and whether there are more."""

    histories: Sequence[HistoryStat]
    more: bool


@dataclass(frozen=True, slots=True)
class ExtendHistory(Operation):
    """Appends a batch and answers its sequence numbers (tuple of int).

    New items get contiguous numbers. An item whose id is there already is not written again;
    its number is answered, so the same call made twice has the effect of one.

    Attributes:
        ids: One id or None an item; None when no item has one.
        if_last: Append only if this is the last sequence number (0: nothing ever appended).
            Not held against a call that appends nothing new.
    """

    writes: ClassVar[bool] = True
    name: str
    values: tuple[Json, ...]
    ids: tuple[str | None, ...] | None = None
    if_last: int | None = None

    def __post_init__(self) -> None:
        names.check_history(self.name)
        _check_ids(self.ids, len(self.values))
        if self.if_last is not None:
            check_count(self.if_last, "if_last")


@dataclass(frozen=True, slots=True)
class ReplaceHistory(Operation):
    """Puts these items in the place of all the others and answers their numbers (tuple of int).

    Archived items go too. Sequence numbers are not reused.
    """

    writes: ClassVar[bool] = True
    name: str
    values: tuple[Json, ...]
    ids: tuple[str | None, ...] | None = None
    if_last: int | None = None

    def __post_init__(self) -> None:
        names.check_history(self.name)
        _check_ids(self.ids, len(self.values))
        if self.if_last is not None:
            check_count(self.if_last, "if_last")


@dataclass(frozen=True, slots=True)
class ReadHistory(Operation):
    """Answers an `ItemPage` of the items between two sequence numbers, both exclusive.

    It holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        before: None reads to the end.
        newest_first: Read from the end; pages then go backwards.
        archived: Include what `ArchiveHistory` put away.
    """

    name: str
    after: int = 0
    before: int | None = None
    limit: int = MAX_PAGE
    newest_first: bool = False
    archived: bool = False

    def __post_init__(self) -> None:
        names.check_history(self.name)
        check_count(self.after, "after")
        if self.before is not None:
            check_count(self.before, "before")
        check_page(self.limit)


@dataclass(frozen=True, slots=True)
class StatHistory(Operation):
    """Answers the `HistoryStat` of a history, all zeros if nothing was ever appended."""

    name: str

    def __post_init__(self) -> None:
        names.check_history(self.name)


@dataclass(frozen=True, slots=True)
class DeleteItems(Operation):
    """Deletes the items with these sequence numbers and answers how many there were (int)."""

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    name: str
    seqs: tuple[int, ...]

    def __post_init__(self) -> None:
        names.check_history(self.name)
        for seq in self.seqs:
            check_count(seq, "seq")


@dataclass(frozen=True, slots=True)
class PopItem(Operation):
    """Deletes the last item and answers it, a `HistoryItem`, or None if there is none."""

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    name: str

    def __post_init__(self) -> None:
        names.check_history(self.name)


@dataclass(frozen=True, slots=True)
class ArchiveHistory(Operation):
    """Hides the items up to a sequence number from reads and answers how many (int).

    They stay, and a read that asks for archived items returns them.
    """

    writes: ClassVar[bool] = True
    name: str
    up_to: int

    def __post_init__(self) -> None:
        names.check_history(self.name)
        check_count(self.up_to, "up_to")


@dataclass(frozen=True, slots=True)
class ClearHistory(Operation):
    """Deletes all items, archived ones too, and answers how many (int).

    Attributes:
        limit: How many to delete at most, the oldest; None: all. If there are more, all items are
            archived first, so that no reader gets a part. A caller goes on until there are fewer.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    name: str
    limit: int | None = None

    def __post_init__(self) -> None:
        names.check_history(self.name)
        check_part(self.limit)


@dataclass(frozen=True, slots=True)
class ListHistories(Operation):
    """Answers a `HistoryPage`: the histories that hold items, by name."""

    prefix: str = ""
    after: str | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        names.check_prefix(self.prefix)
        if self.after is not None:
            names.check_history(self.after)
        check_page(self.limit)


# --- changes --------------------------------------------------------------------------------


class ChangeEntry(NamedTuple):
    """That something changed, without what it is now.

    Attributes:
        revision: Counts the changes of the namespace.
        shape: ``key``, ``history`` or ``record``; ``namespace`` for a `reset`.
        action: What was done, for example ``put``, ``delete``, ``append``. ``reset``: so long ago
            or so many that the changes are no longer all known; anything may have changed.
        name: Of the key, history or collection of records; of a ``clear`` of keys, what their
            names start with.
    """

    revision: int
    shape: str
    action: str
    name: str


class ChangePage(NamedTuple):
    """Some changes in their order, and the namespace's revision when they were read."""

    changes: Sequence[ChangeEntry]
    revision: int


@dataclass(frozen=True, slots=True)
class ReadChanges(Operation):
    """Answers a `ChangePage` with the changes after a revision, without those of its own batch.

    Attributes:
        after: None answers no change and the present revision, to begin with.
    """

    needs_snapshot: ClassVar[bool] = True
    after: int | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        if self.after is not None:
            check_count(self.after, "after")
        check_page(self.limit)


@dataclass(frozen=True, slots=True)
class ReadUsage(Operation):
    """Answers the namespace's `botwire.terms.Usage`, without what its own batch changes."""


# --- batches --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations on one namespace that are applied in order, all or none.

    Attributes:
        request_id: Makes a repeated batch harmless: an engine that has applied a batch of this
            id answers what it answered then. None where no answer can get lost.
        digest: Of the request that the batch was made of, in ASCII. The same id with another
            digest is another request under a used name, and is refused. None asks for no check.
        terms: On what terms a server takes it; not part of what is sent to one.
        writes: Whether any operation may change something.
        maintains: Whether this is for the database itself; see `Operation.maintains`.
        needs_snapshot: Whether all that is read must be as it was at one moment.
    """

    namespace: str
    operations: tuple[Operation, ...]
    request_id: str | None = None
    digest: str | None = None
    terms: Terms | None = field(default=None, compare=False)
    writes: bool = field(init=False, repr=False, compare=False)
    maintains: bool = field(init=False, repr=False, compare=False)
    needs_snapshot: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names.check_any_namespace(self.namespace)
        if self.request_id is not None:
            names.check_id(self.request_id)
        writes = maintains = False
        needs_snapshot = len(self.operations) > 1
        for operation in self.operations:
            if operation.storewide:
                self._check_storewide(operation)
            writes = writes or operation.writes
            maintains = maintains or operation.maintains
            needs_snapshot = needs_snapshot or operation.needs_snapshot
        # Asked for often, on the way from a request to the database.
        object.__setattr__(self, "writes", writes)
        object.__setattr__(self, "maintains", maintains)
        object.__setattr__(self, "needs_snapshot", needs_snapshot)

    def on_terms(self, terms: Terms) -> Batch:
        """Returns this batch on other terms."""
        new = object.__new__(Batch)
        # All is checked already, which `dataclasses.replace` would not know.
        for name in self.__slots__:
            object.__setattr__(new, name, getattr(self, name))
        object.__setattr__(new, "terms", terms)
        return new

    def _check_storewide(self, operation: Operation) -> None:
        name = type(operation).__name__
        if self.namespace != names.SYSTEM_NAMESPACE:
            raise ConfigurationError(
                f"{name} is about the whole store and is answered in the namespace "
                f"{names.SYSTEM_NAMESPACE!r}, not in {self.namespace!r:.80}"
            )
        if operation.maintains and len(self.operations) > 1:
            raise ConfigurationError(f"{name} must be the only operation of its batch")


Results = list[Any]
"""One result an operation, in their order; each operation says of what type."""


def check_ttl(ttl: object) -> None:
    """Raises `ConfigurationError` unless `ttl` is a number of seconds above 0."""
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
        raise ConfigurationError(f"ttl is a number of seconds, not {type(ttl).__name__}")
    # The bound keeps microseconds since 1970 inside 63 bits and dates inside the calendar.
    if not 0 < ttl <= MAX_TTL:
        raise ConfigurationError(f"ttl must be above 0 and at most {MAX_TTL:.0f} seconds: {ttl!r}")


MAX_TTL = 100 * 365 * 86_400.0
"""Longest ttl, a hundred years in seconds."""


def check_page(limit: object) -> None:
    """Raises `ConfigurationError` unless `limit` is 1 to `MAX_PAGE`."""
    check_count(limit, "limit", least=1)
    if isinstance(limit, int) and limit > MAX_PAGE:
        raise ConfigurationError(f"limit is at most {MAX_PAGE}, not {limit}")


def check_part(limit: object) -> None:
    """Raises `ConfigurationError` unless `limit` is None or 1 to `MAX_PAGE`."""
    if limit is not None:
        check_page(limit)


def _check_ids(ids: tuple[str | None, ...] | None, count: int) -> None:
    if ids is None:
        return
    if len(ids) != count:
        raise ConfigurationError(f"{count} values need {count} ids, not {len(ids)}")
    given = [id for id in ids if id is not None]
    for id in given:
        names.check_id(id)
    if len(set(given)) != len(given):
        raise ConfigurationError("the ids of one batch must differ from one another")
