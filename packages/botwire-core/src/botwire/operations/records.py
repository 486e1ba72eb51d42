"""The operations on records: searchable texts with metadata, tags, a scope and an embedding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

from botwire import filters, scopes
from botwire.errors import ConfigurationError, TooComplexError
from botwire.operations.annotations import Checked
from botwire.operations.authors import Author
from botwire.operations.base import Operation, Paged, Parted, operation
from botwire.operations.fields import (
    MAX_PAGE,
    CollectionName,
    Count,
    Filter,
    Id,
    Limit,
    Metadata,
    Metric,
    Prefix,
    Scope,
    Score,
    Seconds,
    Tag,
    Time,
)
from botwire.vectors import Vector

MAX_SELECTED = 30_000
"""Most ids, and most tags, of one `Selection`."""
MAX_PATCHED = 64 * 1024 * 1024
"""Most bytes of metadata that one `PatchRecords` writes, over all its records."""


class RecordEntry(NamedTuple):
    """A record as it is stored.

    Attributes:
        author: Who made the last write; None if that is not known.
    """

    id: Id
    text: str
    metadata: Metadata
    tags: Sequence[Tag]
    scope: Scope
    embedding: Vector | None
    version: Count
    created_at: Time
    updated_at: Time
    expires_at: Time | None = None
    author: Author | None = None


class RecordPage(NamedTuple):
    """Records in the order asked for, and whether there are more after the last one."""

    records: Sequence[RecordEntry]
    more: bool


class RecordMatch(NamedTuple):
    """A record that a search found, and its score; higher is better."""

    record: RecordEntry
    score: float


class RecordStat(NamedTuple):
    """A summary of the selected records.

    Attributes:
        oldest: When the oldest of them was created; None if there is none.
        newest: When the newest of them was created.
        dimension: The dimension of the collection's embeddings; None while it has none.
    """

    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    oldest: Time | None
    newest: Time | None
    dimension: int | None


class TagCount(NamedTuple):
    """A tag and the number of records that have it."""

    tag: Tag
    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses


class CollectionPage(NamedTuple):
    """Collections by name, and whether there are more after the last one."""

    collections: Sequence[CollectionName]
    more: bool


@dataclass(frozen=True, slots=True)
class NewRecord(Checked):
    """A record to put.

    Attributes:
        created_at: None: now for a new record; an existing record keeps its time.
        if_version: Put only if the record has this version; 0: only if there is no such record.
        ttl: Seconds until the record expires; None: it does not.
    """

    id: Id
    text: str
    metadata: Metadata
    tags: tuple[Tag, ...] = ()
    scope: Scope = scopes.ROOT
    embedding: Vector | None = None
    created_at: Time | None = None
    if_version: Count | None = None
    ttl: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Selection(Checked):
    """Selects the records of a collection that meet all the conditions given here.

    Attributes:
        ids: Only these; an empty tuple selects none.
        scope: Only this scope and those below it.
        tags: Only records with one of these tags; an empty tuple selects none.
        filter: Only records whose metadata matches; see `botwire.filters`.
        created_after: Only records created after this time.
        created_before: Only records created before this time.
    """

    ids: tuple[Id, ...] | None = None
    scope: Scope = scopes.ROOT
    tags: tuple[Tag, ...] | None = None
    filter: Filter | None = None
    created_after: Time | None = None
    created_before: Time | None = None

    def check(self) -> None:
        """Raises `TooComplexError` if there are too many ids or tags."""
        for what, listed in (("ids", self.ids), ("tags", self.tags)):
            if listed is not None and len(listed) > MAX_SELECTED:
                raise TooComplexError(
                    f"a selection has {MAX_SELECTED:,} {what} at most, not {len(listed):,}: "
                    "select in parts"
                )

    @property
    def is_everything(self) -> bool:
        """Whether every record is selected. The filter ``{}`` excludes none."""
        if self.filter is None:
            return self == EVERYTHING
        return filters.passes_all(self.filter.value) and replace(self, filter=None) == EVERYTHING


EVERYTHING = Selection()
"""The selection of all records."""


@operation
class PutRecords(Operation[tuple[Count, ...]]):
    """Adds records, or replaces those with the same id; returns the new version of each.

    Attributes:
        keep_embedding: A record put without an embedding keeps the one that is stored.
    """

    writes: ClassVar[bool] = True
    collection: CollectionName
    records: tuple[NewRecord, ...]
    keep_embedding: bool = True

    def check(self) -> None:
        """Raises `ConfigurationError` if two records have the same id."""
        if len({record.id for record in self.records}) != len(self.records):
            raise ConfigurationError("the ids of one batch must differ from one another")


@operation
class PatchRecords(Operation[Count]):
    """Sets metadata fields of the given records; returns how many of them exist.

    Attributes:
        metadata: Fields to set; other fields stay as they are.
        ttl: Seconds until those of the records expire that already have an expiry; None leaves it
            as it is. Records without an expiry stay without one.
    """

    writes: ClassVar[bool] = True
    collection: CollectionName
    ids: tuple[Id, ...]
    metadata: Metadata
    ttl: Seconds | None = None

    def check(self) -> None:
        """Raises `TooComplexError` if it would write too much."""
        if len(self.ids) * len(self.metadata.text) > MAX_PATCHED:
            raise TooComplexError(
                f"a patch may write at most {MAX_PATCHED:,} bytes of metadata over all records: "
                "patch them in parts"
            )


@operation
class GetRecords(Operation[tuple[RecordEntry | None, ...]]):
    """Returns a record or None for each id, in the order asked for.

    A server refuses an answer that would be too large; see `GetKeys`.

    Attributes:
        embeddings: Whether to return embeddings; if False, they are None.
    """

    has_past: ClassVar[bool] = True
    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    ids: tuple[Id, ...]
    embeddings: bool = True


@operation
class DeleteRecords(Parted[Count]):
    """Deletes records; returns how many.

    Attributes:
        all: Required to delete without a selection, and refused with one.
        limit: Most records to delete, the newest first; None: all. Deletes fewer if their texts are
            long. Repeat until it deletes none.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    collection: CollectionName
    where: Selection = EVERYTHING
    all: bool = False
    limit: Limit | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` if it would delete everything without `all`."""
        if self.where.is_everything is not self.all:
            raise ConfigurationError(
                "all=True deletes every record, and takes no filter"
                if self.all
                else "a delete without any filter would delete every record: say all=True, or clear"
            )

    def is_over(self, count: int) -> bool:
        """Returns whether nothing is left, after `count` were deleted."""
        return self.limit is None or count == 0


@operation
class ListRecords(Paged[RecordPage]):
    """Returns records by creation time, the newest first.

    A page holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        embeddings: Whether to return embeddings; if False, they are None.
    """

    has_past: ClassVar[bool] = True
    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    where: Selection = EVERYTHING
    limit: Limit = MAX_PAGE
    offset: Count = 0
    embeddings: bool = True

    def following(self, page: Any) -> Self | None:
        """Returns the operation that reads the page after `page`; None if that was the last."""
        return replace(self, offset=self.offset + len(page.records)) if page.more else None


@operation
class SearchRecords(Operation[tuple[RecordMatch, ...]]):
    """Returns the best matching records, the best first.

    The selection is applied before the limit. A search by vector does not find records without an
    embedding. With both a vector and a text, the score is a weighted mean that favors the text; a
    part that does not find the record counts as 0. A server refuses an answer that would be too
    large; see `GetKeys`.

    Attributes:
        vector: Finds the nearest embeddings, exactly.
        text: Finds records that contain at least one of its words, in any form; scored by BM25,
            mapped to 0 … 1. An exact word counts more than its other forms. Stop words count only
            in a query that has no other words.
        metric: ``cosine``: the score is the cosine of the angle, -1 to 1, and 0 for a vector of
            zeros. ``l2``: the score is 1 / (1 + the squared Euclidean distance), 0 to 1.
        min_score: Only matches with at least this score.
        embeddings: Whether to return embeddings; if False, they are None.
    """

    has_past: ClassVar[bool] = True
    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    vector: Vector | None = None
    text: str | None = None
    where: Selection = EVERYTHING
    limit: Limit = 10
    offset: Count = 0
    min_score: Score | None = None
    metric: Metric = "cosine"
    embeddings: bool = True

    def check(self) -> None:
        """Raises `ConfigurationError` if there is nothing to search for, or it is no text."""
        if self.text is not None and not isinstance(self.text, str):
            raise ConfigurationError(
                f"text must be a string, not {type(self.text).__name__}: {self.text!r:.80}"
            )
        if self.vector is None and self.text is None:
            raise ConfigurationError(
                "a search needs a vector or a text: to read records without either, list them"
            )


@operation
class StatRecords(Operation[RecordStat]):
    """Returns a summary of the selected records."""

    has_past: ClassVar[bool] = True
    needs_snapshot: ClassVar[bool] = True
    collection: CollectionName
    where: Selection = EVERYTHING


@operation
class ListScopes(Operation[tuple[Scope, ...]]):
    """Returns the paths one segment below `parent` that lead to records."""

    has_past: ClassVar[bool] = True
    collection: CollectionName
    parent: Scope = scopes.ROOT


@operation
class ListTags(Operation[tuple[TagCount, ...]]):
    """Returns the tags of the selected records in order, with the number of records of each."""

    has_past: ClassVar[bool] = True
    collection: CollectionName
    where: Selection = EVERYTHING


@operation
class ListCollections(Paged[CollectionPage]):
    """Returns the collections that hold records, by name.

    Attributes:
        after: Start after this name, which need not exist; None: at the first.
    """

    has_past: ClassVar[bool] = True
    prefix: Prefix = ""
    after: CollectionName | None = None
    limit: Limit = MAX_PAGE
