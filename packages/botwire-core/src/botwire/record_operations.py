"""The operations on records: searchable texts with metadata, tags, a scope and an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from botwire import filters, names, scopes
from botwire.errors import ConfigurationError, TooComplexError
from botwire.exact import Json
from botwire.operations import MAX_PAGE, Operation, check_count, check_page, check_part
from botwire.vectors import Vector

MAX_SELECTED = 30_000
"""Most ids, and most tags, of one `Selection`."""
MAX_METADATA = 100_000
"""Most values, at all levels together, in the metadata of a record."""
MAX_PATCHED = 64 * 1024 * 1024
"""Most bytes that one `PatchRecords` writes into all its records."""
METRICS = ("cosine", "l2")
"""How vectors are compared; see `SearchRecords`."""


def check_tags(tags: tuple[str, ...]) -> None:
    """Raises `ConfigurationError` if one of them cannot be a tag."""
    for tag in tags:
        names.check_tag(tag)


def check_metadata(metadata: Json) -> None:
    """Raises `TooComplexError` if metadata holds more values than a filter should look at."""
    text = metadata.text
    most = text.count(",") + text.count("[") + text.count("{")  # signs in strings are counted too
    if most > MAX_METADATA and _count(metadata.value) > MAX_METADATA:
        raise TooComplexError(
            f"metadata holds {MAX_METADATA:,} values at most: keep large data in a key or the text"
        )


def _count(value: Any) -> int:
    total = 0
    left = [value]
    while left:
        part = left.pop()
        total += 1
        if isinstance(part, (dict, list)):
            left.extend(part.values() if isinstance(part, dict) else part)
    return total


def check_scope(scope: str) -> None:
    """Raises `ConfigurationError` unless it is a normal path; see `botwire.scopes`."""
    if scopes.normalise(scope) != scope:
        raise ConfigurationError(f"the scope path {scope!r:.80} is {scopes.normalise(scope)!r:.80}")


class RecordEntry(NamedTuple):
    """A record as it is stored."""

    id: str
    text: str
    metadata: Json
    tags: Sequence[str]
    scope: str
    embedding: Vector | None
    version: int
    created_at: int
    updated_at: int


class RecordPage(NamedTuple):
    """Some records in the order asked for, and whether there are more after the last one."""

    records: Sequence[RecordEntry]
    more: bool


class RecordMatch(NamedTuple):
    """A record that a search found, and how well it fits; more is better."""

    record: RecordEntry
    score: float


class RecordStat(NamedTuple):
    """How many records there are.

    Attributes:
        oldest: When the oldest of them was created; None if there is none.
        newest: When the newest of them was created.
        dimension: Of the collection's embeddings; None while there is none.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    oldest: int | None
    newest: int | None
    dimension: int | None


class TagCount(NamedTuple):
    """A tag and how many records have it."""

    tag: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses


class CollectionPage(NamedTuple):
    """Some collections by name, and whether there are more after the last one."""

    collections: Sequence[str]
    more: bool


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be put.

    Attributes:
        metadata: A JSON object.
        scope: A normal path; see `botwire.scopes`.
        created_at: None is the present time for a new record, and the old one for a known one.
        if_version: Put only if the record has this version; 0 if there is no such record.
    """

    id: str
    text: str
    metadata: Json
    tags: tuple[str, ...] = ()
    scope: str = scopes.ROOT
    embedding: Vector | None = None
    created_at: int | None = None
    if_version: int | None = None

    def __post_init__(self) -> None:
        names.check_id(self.id)
        check_tags(self.tags)
        check_scope(self.scope)
        if not self.metadata.is_object:
            raise ConfigurationError(f"the metadata of record {self.id!r:.80} is not an object")
        check_metadata(self.metadata)
        if self.if_version is not None:
            check_count(self.if_version, "if_version")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records of a collection: those for which everything given here holds.

    Attributes:
        ids: Only these; an empty tuple is none.
        scope: Only this scope and those below it, a normal path.
        tags: Only records with one of these tags; an empty tuple is none.
        filter: Only records whose metadata match; see `botwire.filters`.
        created_after: Only records created after this time.
        created_before: Only records created before this time.
    """

    ids: tuple[str, ...] | None = None
    scope: str = scopes.ROOT
    tags: tuple[str, ...] | None = None
    filter: Json | None = None
    created_after: int | None = None
    created_before: int | None = None

    def __post_init__(self) -> None:
        for what, listed in (("ids", self.ids), ("tags", self.tags)):
            if listed is not None and len(listed) > MAX_SELECTED:
                raise TooComplexError(
                    f"a selection has {MAX_SELECTED:,} {what} at most, not {len(listed):,}: "
                    "select in parts"
                )
        for id in self.ids or ():
            names.check_id(id)
        check_tags(self.tags or ())
        check_scope(self.scope)
        if self.filter is not None:
            filters.read_filter(self.filter)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out, not even by a filter: `{}` is one that all pass."""
        if self.filter is None:
            return self == EVERYTHING
        return filters.passes_all(self.filter.value) and replace(self, filter=None) == EVERYTHING


EVERYTHING = Selection()
"""The selection of all records."""


@dataclass(frozen=True, slots=True)
class PutRecords(Operation):
    """Adds records, or puts them in the place of those with the same id.

    Answers the new version of each (tuple of int).

    Attributes:
        keep_embedding: A record put without an embedding keeps the one that is stored.
    """

    writes: ClassVar[bool] = True
    collection: str
    records: tuple[NewRecord, ...]
    keep_embedding: bool = True

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        if len({record.id for record in self.records}) != len(self.records):
            raise ConfigurationError("the ids of one batch must differ from one another")


@dataclass(frozen=True, slots=True)
class PatchRecords(Operation):
    """Sets fields of the metadata of those of these records that there are.

    Other fields stay. Answers how many records there were (int).

    Attributes:
        metadata: A JSON object; its fields replace those of the same name.
    """

    writes: ClassVar[bool] = True
    collection: str
    ids: tuple[str, ...]
    metadata: Json

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        for id in self.ids:
            names.check_id(id)
        if not self.metadata.is_object:
            raise ConfigurationError("metadata is an object")
        check_metadata(self.metadata)
        if len(self.ids) * len(self.metadata.text) > MAX_PATCHED:
            raise TooComplexError(
                f"a patch writes {MAX_PATCHED:,} bytes of metadata at most, in all records: patch "
                "them in parts"
            )


@dataclass(frozen=True, slots=True)
class GetRecords(Operation):
    """Answers a tuple with a `RecordEntry` or None for each id, in that order.

    A server refuses what would hold too much; see `botwire.operations.GetKeys`.

    Attributes:
        embeddings: Whether to answer embeddings; without, they are None.
    """

    needs_snapshot: ClassVar[bool] = True
    collection: str
    ids: tuple[str, ...]
    embeddings: bool = True

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        for id in self.ids:
            names.check_id(id)


@dataclass(frozen=True, slots=True)
class DeleteRecords(Operation):
    """Deletes records and answers how many (int).

    Attributes:
        all: Must be said to delete without a selection, and then only.
        limit: How many to delete at most, the newest; None: all. A caller goes on until there are
            fewer.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    collection: str
    where: Selection = EVERYTHING
    all: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        check_part(self.limit)
        if self.where.is_everything is not self.all:
            raise ConfigurationError(
                "all=True deletes every record, and takes no filter"
                if self.all
                else "a delete without any filter would delete every record: say all=True, or clear"
            )


@dataclass(frozen=True, slots=True)
class ListRecords(Operation):
    """Answers a `RecordPage`: records by the time of their creation, newest first.

    It holds about `botwire.operations.MAX_PAGE_BYTES` at most.

    Attributes:
        embeddings: Whether to answer embeddings; without, they are None.
    """

    needs_snapshot: ClassVar[bool] = True
    collection: str
    where: Selection = EVERYTHING
    limit: int = MAX_PAGE
    offset: int = 0
    embeddings: bool = True

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        check_page(self.limit)
        check_count(self.offset, "offset")


@dataclass(frozen=True, slots=True)
class SearchRecords(Operation):
    """Answers the records that fit best (tuple of `RecordMatch`), the best first.

    The selection is applied before the limit. Records without an embedding are not found by a
    vector. With a vector and a text, the score is the mean of both, 0 where one does not find it.
    A server refuses what would hold too much; see `botwire.operations.GetKeys`.

    Attributes:
        vector: The nearest embeddings are found, exactly.
        text: Records are found that hold one of its words; scored by BM25, mapped to 0 … 1.
        metric: ``cosine``: the score is the cosine of the angle, -1 to 1, and 0 for a vector of
            zeros. ``l2``: it is 1 / (1 + the squared Euclidean distance), 0 to 1.
        min_score: Only matches with at least this score.
        embeddings: Whether to answer embeddings; without, they are None.
    """

    needs_snapshot: ClassVar[bool] = True
    collection: str
    vector: Vector | None = None
    text: str | None = None
    where: Selection = EVERYTHING
    limit: int = 10
    offset: int = 0
    min_score: float | None = None
    metric: str = "cosine"
    embeddings: bool = True

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        check_page(self.limit)
        check_count(self.offset, "offset")
        if self.vector is None and self.text is None:
            raise ConfigurationError("a search needs a vector or a text; without, list records")
        if self.metric not in METRICS:
            raise ConfigurationError(f"metric is one of {', '.join(METRICS)}, not {self.metric!r}")
        score: Any = self.min_score
        if isinstance(score, bool) or not (score is None or isinstance(score, (int, float))):
            raise ConfigurationError(f"min_score is a number, not {score!r:.80}")


@dataclass(frozen=True, slots=True)
class StatRecords(Operation):
    """Answers the `RecordStat` of the records selected."""

    needs_snapshot: ClassVar[bool] = True
    collection: str
    where: Selection = EVERYTHING

    def __post_init__(self) -> None:
        names.check_collection(self.collection)


@dataclass(frozen=True, slots=True)
class ListScopes(Operation):
    """Answers the paths one segment below `parent` that lead to records (tuple of str)."""

    collection: str
    parent: str = scopes.ROOT

    def __post_init__(self) -> None:
        names.check_collection(self.collection)
        check_scope(self.parent)


@dataclass(frozen=True, slots=True)
class ListTags(Operation):
    """Answers each tag of the records selected (tuple of `TagCount`), by tag."""

    collection: str
    where: Selection = EVERYTHING

    def __post_init__(self) -> None:
        names.check_collection(self.collection)


@dataclass(frozen=True, slots=True)
class ListCollections(Operation):
    """Answers a `CollectionPage`: the collections that hold records, by name."""

    prefix: str = ""
    after: str | None = None
    limit: int = MAX_PAGE

    def __post_init__(self) -> None:
        names.check_prefix(self.prefix)
        if self.after is not None:
            names.check_collection(self.after)
        check_page(self.limit)
