"""The operations that move memory exactly: read all of a namespace, and write it as it was.

For keys and items the reads of `Memory` suffice (`ScanKeys`, and `ReadHistory` with `archived`);
what they leave out is here, as ``Dump…``. ``Restore…`` writes it back with the same versions,
sequence numbers, ids and times, and changes nothing that is there already, so it may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from botwire import names
from botwire.clock import MAX_TIME, MIN_TIME, Micros
from botwire.errors import ConfigurationError, NotJSONError
from botwire.exact import encode
from botwire.operations import (
    MAX_PAGE,
    HistoryItem,
    KeyEntry,
    Operation,
    check_count,
    check_page,
)
from botwire.record_operations import RecordEntry, check_scope, check_tags

REFUSE, KEEP, OVERWRITE = "refuse", "keep", "overwrite"
CONFLICTS = (REFUSE, KEEP, OVERWRITE)
"""What a restoration does where something newer, or something else in the same place, is stored:
fail, leave what is stored, or put what is restored in its place."""


# --- reading all of it ----------------------------------------------------------------------


class HistoryState(NamedTuple):
    """A history without its items.

    Attributes:
        last_seq: The greatest sequence number ever given.
        archived_seq: The items up to it are archived.
    """

    name: str
    last_seq: int
    archived_seq: int
    created_at: int
    updated_at: int


class HistoryStates(NamedTuple):
    """Some histories by name, and whether there are more after the last one."""

    histories: Sequence[HistoryState]
    more: bool


@dataclass(frozen=True, slots=True)
class DumpHistories(Operation):
    """Answers `HistoryStates`: all histories there ever were, emptied ones too.

    Attributes:
        names: Only these.
        after: Start after this history; it need not exist.
    """

    names: tuple[str, ...] | None = None
    after: str | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        for name in self.names or ():
            names.check_history(name)
        if self.after is not None:
            names.check_history(self.after)
        check_page(self.limit)


class CollectionState(NamedTuple):
    """A collection without its records.

    Attributes:
        dimension: Of its embeddings; None while it has had none.
    """

    name: str
    dimension: int | None


class CollectionStates(NamedTuple):
    """Some collections by name, and whether there are more after the last one."""

    collections: Sequence[CollectionState]
    more: bool


@dataclass(frozen=True, slots=True)
class DumpCollections(Operation):
    """Answers `CollectionStates`: all collections there ever were, emptied ones too.

    Attributes:
        names: Only these.
        after: Start after this collection; it need not exist.
    """

    names: tuple[str, ...] | None = None
    after: str | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        for name in self.names or ():
            names.check_collection(name)
        if self.after is not None:
            names.check_collection(self.after)
        check_page(self.limit)


@dataclass(frozen=True, slots=True)
class DumpRecords(Operation):
    """Answers a `RecordPage`: records by id, with their embeddings.

    It holds about `botwire.operations.MAX_PAGE_BYTES` at most.

    Attributes:
        after: Start after this id; it need not exist.
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


# --- writing it back ------------------------------------------------------------------------


class Restored(NamedTuple):
    """What came of a restoration.

    Attributes:
        written: How many were not there as they are now.
        kept: How many were left as they are stored, in spite of what was to be restored.
        removed: How many were there and should not be.
    """

    written: int
    kept: int
    removed: int


@dataclass(frozen=True, slots=True)
class RestoreNamespace(Operation):
    """Makes room for what is restored after it: no version will be given a second time.

    Answers None. A namespace that never changed also gets its time of creation.

    Attributes:
        revision: The revision is at least this one afterwards.
    """

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    revision: int
    created_at: Micros

    def __post_init__(self) -> None:
        check_count(self.revision, "revision")
        check_time(self.created_at, "created_at")


@dataclass(frozen=True, slots=True)
class Span:
    """What was read to make a restoration: all names in a range, at a moment.

    What is stored in the range and not among what is restored was deleted there. It is removed,
    unless it was written after that moment: then it is newer.

    Attributes:
        after: The range begins after this name or id; None: it begins with the first.
        until: It ends with this one; None: it has no end.
        revision: Of the namespace that was read, at that moment.
    """

    after: str | None = None
    until: str | None = None
    revision: int = 0

    def __post_init__(self) -> None:
        for name in (self.after, self.until):
            if name is not None:
                names.check_key(name)  # the longest there is
        check_count(self.revision, "revision")


@dataclass(frozen=True, slots=True)
class RestoreKeys(Operation):
    """Writes keys as they were read, and answers a `Restored`.

    A key that is the same already is left alone. One that differs is overwritten if the stored
    one has a lower version and no later time; else it is newer, and `conflict` decides.

    Attributes:
        conflict: One of `CONFLICTS`.
        span: Remove the other keys of this range.
    """

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    entries: tuple[KeyEntry, ...]
    conflict: str = REFUSE
    span: Span | None = None

    def __post_init__(self) -> None:
        for entry in self.entries:
            names.check_key(entry.key)
            _check_version(entry.version, f"key {entry.key!r:.80}")
            for time in (entry.created_at, entry.updated_at, entry.expires_at):
                if time is not None:
                    check_time(time, f"a time of key {entry.key!r:.80}")
        _check_distinct([entry.key for entry in self.entries], "keys")
        check_conflict(self.conflict)


@dataclass(frozen=True, slots=True)
class RestoreHistory(Operation):
    """Writes a history and some of its items as they were read, and answers a `Restored`.

    An item that is there already is left alone; another one under its number or id is a conflict.

    Attributes:
        state: Taken unless what is stored changed later.
        conflict: One of `CONFLICTS`.
        after: With `until`: remove other items after this number.
        until: And up to this one.
    """

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    state: HistoryState
    items: tuple[HistoryItem, ...] = ()
    conflict: str = REFUSE
    after: int = 0
    until: int | None = None

    def __post_init__(self) -> None:
        check_history_state(self.state)
        where = f"history {self.state.name!r:.80}"
        for item in self.items:
            check_count(item.seq, f"a number in {where}", least=1)
            if item.seq > self.state.last_seq:
                raise ConfigurationError(
                    f"{where} ends at {self.state.last_seq}, and item {item.seq} is beyond it"
                )
            if item.id is not None:
                names.check_id(item.id)
            check_time(item.created_at, f"a time in {where}")
        _check_distinct([item.seq for item in self.items], f"numbers in {where}")
        _check_distinct([i.id for i in self.items if i.id is not None], f"ids in {where}")
        check_conflict(self.conflict)
        check_count(self.after, "after")
        if self.until is not None:
            check_count(self.until, "until")


@dataclass(frozen=True, slots=True)
class RestoreRecords(Operation):
    """Writes a collection and some of its records as they were read, and answers a `Restored`.

    What is stored already is treated as by `RestoreKeys`.

    Attributes:
        conflict: One of `CONFLICTS`.
        span: Remove the other records of this range of ids.
    """

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    collection: CollectionState
    records: tuple[RecordEntry, ...] = ()
    conflict: str = REFUSE
    span: Span | None = None

    def __post_init__(self) -> None:
        check_collection_state(self.collection)
        dimension = self.collection.dimension
        for record in self.records:
            names.check_id(record.id)
            where = f"record {record.id!r:.80}"
            _check_version(record.version, where)
            check_tags(tuple(record.tags))
            check_scope(record.scope)
            check_time(record.created_at, f"a time of {where}")
            check_time(record.updated_at, f"a time of {where}")
            if not isinstance(record.metadata.value, dict):
                raise ConfigurationError(f"the metadata of {where} is not an object")
            try:
                encode(record.text, f"the text of {where}")
            except NotJSONError as error:
                raise ConfigurationError(str(error)) from None
            if record.embedding is not None and record.embedding.dimension != dimension:
                raise ConfigurationError(
                    f"{where} has an embedding of dimension {record.embedding.dimension} in a "
                    f"collection of dimension {dimension}"
                )
        _check_distinct([record.id for record in self.records], "ids of records")
        check_conflict(self.conflict)


def check_history_state(state: HistoryState) -> None:
    """Raises `ConfigurationError` unless there can be such a history."""
    where = f"history {names.check_history(state.name)!r:.80}"
    check_count(state.last_seq, f"last_seq of {where}")
    check_count(state.archived_seq, f"archived_seq of {where}")
    check_time(state.created_at, f"a time of {where}")
    check_time(state.updated_at, f"a time of {where}")
    if state.archived_seq > state.last_seq:
        raise ConfigurationError(
            f"{where} ends at {state.last_seq} and cannot be archived up to {state.archived_seq}"
        )


def check_collection_state(state: CollectionState) -> None:
    """Raises `ConfigurationError` unless there can be such a collection."""
    names.check_collection(state.name)
    if state.dimension is not None:
        check_count(state.dimension, f"dimension of collection {state.name!r:.80}", least=1)


def check_conflict(conflict: object) -> None:
    """Raises `ConfigurationError` unless `conflict` is one of `CONFLICTS`."""
    if conflict not in CONFLICTS:
        raise ConfigurationError(f"conflict is one of {', '.join(CONFLICTS)}, not {conflict!r:.40}")


def check_time(time: object, what: str) -> None:
    """Raises `ConfigurationError` unless `time` is microseconds within the calendar."""
    if isinstance(time, bool) or not isinstance(time, int) or not MIN_TIME <= time <= MAX_TIME:
        raise ConfigurationError(f"{what} is not a time of the years 1 to 9999")


def _check_version(version: object, what: str) -> None:
    check_count(version, f"the version of {what}", least=1)


def _check_distinct(values: Sequence[object], what: str) -> None:
    if len(set(values)) != len(values):
        raise ConfigurationError(f"the {what} of one restoration must differ from one another")
