"""The operations that move memory exactly: read all of a namespace, and write it as it was.

``Dump…`` reads what the operations of `Memory` do not return (for keys and items, `ScanKeys` and
`ReadHistory` suffice). ``Restore…`` writes it back with the same versions, sequence numbers, ids
and times. It leaves alone what is already the same, so it can be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, NamedTuple, Self

from botwire import names
from botwire.errors import ConfigurationError, NotJSONError
from botwire.exact import encode
from botwire.operations.annotations import Checked, Rule
from botwire.operations.base import Operation, Paged, operation
from botwire.operations.fields import (
    MAX_PAGE,
    CollectionName,
    Count,
    HistoryMetadata,
    HistoryName,
    Id,
    Key,
    Limit,
    Time,
    check_choice,
    check_count,
    check_history_metadata,
    check_scope,
    check_time,
)
from botwire.operations.histories import NO_METADATA, HistoryItem
from botwire.operations.keys import KeyEntry
from botwire.operations.records import RecordEntry, RecordPage

REFUSE, KEEP, OVERWRITE = "refuse", "keep", "overwrite"
CONFLICTS = (REFUSE, KEEP, OVERWRITE)
"""How a restoration proceeds if the store has something newer, or something else in the same place:
fail, keep what is stored, or replace it."""


def check_conflict(conflict: object, what: str = "conflict") -> None:
    """Raises `ConfigurationError` unless `conflict` is one of `CONFLICTS`."""
    check_choice(conflict, CONFLICTS, what)


Conflict = Annotated[str, Rule(check_conflict, {"enum": list(CONFLICTS)})]


# --- reading all of it ----------------------------------------------------------------------


class HistoryState(NamedTuple):
    """A history without its items.

    Attributes:
        last_seq: The highest sequence number ever assigned.
        archived_seq: The items up to this number are archived.
        metadata: See `HistoryStat`.
        metadata_version: See `HistoryStat`.
        expires_at: When the history expires; None if never.
    """

    name: HistoryName
    last_seq: Count
    archived_seq: Count
    created_at: Time
    updated_at: Time
    metadata: HistoryMetadata = NO_METADATA
    metadata_version: Count = 0
    expires_at: Time | None = None


class HistoryStates(NamedTuple):
    """Histories by name, and whether there are more after the last one."""

    histories: Sequence[HistoryState]
    more: bool


@operation
class DumpHistories(Paged[HistoryStates]):
    """Returns all histories that ever existed, by name, including emptied ones.

    Attributes:
        names: Only these.
        after: Start after this name, which need not exist; None: at the first.
    """

    names: tuple[HistoryName, ...] | None = None
    after: HistoryName | None = None
    limit: Limit = MAX_PAGE


class CollectionState(NamedTuple):
    """A collection without its records.

    Attributes:
        dimension: The dimension of its embeddings; None if it never had any.
    """

    name: CollectionName
    dimension: int | None


class CollectionStates(NamedTuple):
    """Collections by name, and whether there are more after the last one."""

    collections: Sequence[CollectionState]
    more: bool


@operation
class DumpCollections(Paged[CollectionStates]):
    """Returns all collections that ever existed, by name, including emptied ones.

    Attributes:
        names: Only these.
        after: Start after this name, which need not exist; None: at the first.
    """

    names: tuple[CollectionName, ...] | None = None
    after: CollectionName | None = None
    limit: Limit = MAX_PAGE


@operation
class DumpRecords(Paged[RecordPage]):
    """Returns records by id, with their embeddings.

    A page holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        after: Start after this id, which need not exist; None: at the first.
    """

    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    after: Id | None = None
    limit: Limit = MAX_PAGE


@operation
class DumpRecordsSince(Paged[RecordPage]):
    """Returns the records written after a revision, by version and id, with their embeddings.

    A page holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        since: The revision.
        after: Start after this id among the records whose version is `since`; None: with the next
            version.
    """

    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    since: Count
    after: Id | None = None
    limit: Limit = MAX_PAGE

    def following(self, page: RecordPage) -> Self | None:
        """Returns the operation that reads the page after `page`; None if that was the last."""
        if not page.more:
            return None
        last = page.records[-1]
        return replace(self, since=last.version, after=last.id)


class IdPage(NamedTuple):
    """Ids in order, and whether there are more after the last one."""

    ids: Sequence[Id]
    more: bool


@operation
class DumpRecordIds(Paged[IdPage]):
    """Returns the ids of a collection's records, in order.

    Attributes:
        after: Start after this id, which need not exist; None: at the first.
    """

    collection: CollectionName
    after: Id | None = None
    limit: Limit = MAX_PAGE


# --- writing it back ------------------------------------------------------------------------


class Restored(NamedTuple):
    """The result of a restoration.

    Attributes:
        written: Elements inserted or overwritten.
        kept: Elements that were left as stored although the restoration had something else.
        removed: Elements deleted because the restoration did not include them.
    """

    written: Count
    kept: Count
    removed: Count


@operation
class RestoreNamespace(Operation[None]):
    """Prepares a namespace for a restoration, so that no version is assigned twice.

    If the namespace never changed, this also sets its creation time.

    Attributes:
        revision: The minimum revision of the namespace afterwards.
    """

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    revision: Count
    created_at: Time


@dataclass(frozen=True, slots=True)
class Span(Checked):
    """The range of names that a restoration covers, and when it was read.

    Whatever is stored in the range but not restored was deleted at the source. It is removed,
    unless it was written after the range was read and so is newer.

    Attributes:
        after: The range begins after this name or id; None: with the first.
        until: It ends with this one; None: it has no end.
        revision: The revision of the source namespace when the range was read.
    """

    after: Key | None = None  # a key is the longest of all names
    until: Key | None = None
    revision: Count = 0


@operation
class RestoreKeys(Operation[Restored]):
    """Writes keys as they were read.

    A stored key that is the same is left alone. One that differs is overwritten if it has a lower
    version and no later time; otherwise it is newer, and `conflict` decides.

    Attributes:
        conflict: One of `CONFLICTS`.
        span: Remove the other keys of this range.
    """

    writes: ClassVar[bool] = True
    may_remove: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    entries: tuple[KeyEntry, ...]
    conflict: Conflict = REFUSE
    span: Span | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` if such keys cannot exist."""
        for entry in self.entries:
            names.check_key(entry.key)
            _check_version(entry.version, f"key {entry.key!r:.80}")
            for time in (entry.created_at, entry.updated_at, entry.expires_at):
                if time is not None:
                    check_time(time, f"a time of key {entry.key!r:.80}")
        _check_distinct([entry.key for entry in self.entries], "keys")


@operation
class RestoreHistory(Operation[Restored]):
    """Writes a history and some of its items as they were read.

    An item that is already there is left alone, and one with a lower version is overwritten;
    another one under its number or id is a conflict.

    Attributes:
        state: The history's state; written unless the stored history changed later.
        conflict: One of `CONFLICTS`.
        after: With `until`: remove other items after this number…
        until: …up to and including this one.
    """

    writes: ClassVar[bool] = True
    may_remove: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    state: HistoryState
    items: tuple[HistoryItem, ...] = ()
    conflict: Conflict = REFUSE
    after: Count = 0
    until: Count | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` if such a history cannot exist."""
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
            check_count(item.version, f"a version in {where}")
        _check_distinct([item.seq for item in self.items], f"numbers in {where}")
        _check_distinct([i.id for i in self.items if i.id is not None], f"ids in {where}")


@operation
class RestoreRecords(Operation[Restored]):
    """Writes a collection and some of its records as they were read; see `RestoreKeys`.

    Attributes:
        conflict: One of `CONFLICTS`.
        span: Remove the other records of this range of ids.
    """

    writes: ClassVar[bool] = True
    may_remove: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    collection: CollectionState
    records: tuple[RecordEntry, ...] = ()
    conflict: Conflict = REFUSE
    span: Span | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` if such records cannot exist."""
        check_collection_state(self.collection)
        dimension = self.collection.dimension
        for record in self.records:
            names.check_id(record.id)
            where = f"record {record.id!r:.80}"
            _check_version(record.version, where)
            for tag in record.tags:
                names.check_tag(tag)
            check_scope(record.scope)
            check_time(record.created_at, f"a time of {where}")
            check_time(record.updated_at, f"a time of {where}")
            if record.expires_at is not None:
                check_time(record.expires_at, f"a time of {where}")
            if not record.metadata.is_object:
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


def check_history_state(state: HistoryState) -> None:
    """Raises `ConfigurationError` if such a history cannot exist."""
    where = f"history {names.check_history(state.name)!r:.80}"
    check_count(state.last_seq, f"last_seq of {where}")
    check_count(state.archived_seq, f"archived_seq of {where}")
    check_time(state.created_at, f"a time of {where}")
    check_time(state.updated_at, f"a time of {where}")
    check_history_metadata(state.metadata, f"metadata of {where}")
    check_count(state.metadata_version, f"metadata_version of {where}")
    if state.expires_at is not None:
        check_time(state.expires_at, f"a time of {where}")
    if state.archived_seq > state.last_seq:
        raise ConfigurationError(
            f"{where} ends at {state.last_seq} and cannot be archived up to {state.archived_seq}"
        )


def check_collection_state(state: CollectionState) -> None:
    """Raises `ConfigurationError` if such a collection cannot exist."""
    names.check_collection(state.name)
    if state.dimension is not None:
        check_count(state.dimension, f"dimension of collection {state.name!r:.80}", least=1)


def _check_version(version: object, what: str) -> None:
    check_count(version, f"the version of {what}", least=1)


def _check_distinct(values: Sequence[object], what: str) -> None:
    if len(set(values)) != len(values):
        raise ConfigurationError(f"the {what} of one restoration must differ from one another")
