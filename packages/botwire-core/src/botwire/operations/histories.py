"""The operations on histories."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

from botwire.errors import ConfigurationError
from botwire.exact import Json
from botwire.operations.authors import Author
from botwire.operations.base import Operation, Paged, Parted, operation
from botwire.operations.fields import (
    MAX_PAGE,
    Count,
    Filter,
    HistoryMetadata,
    HistoryName,
    HistoryOrder,
    Id,
    Limit,
    Prefix,
    Seconds,
    Time,
)

NO_METADATA = Json.of({})
"""The metadata of a history that has none."""


class HistoryItem(NamedTuple):
    """An item as it is stored.

    Attributes:
        version: The revision of the write that stored the value; 0 if it was written before items
            had versions.
        author: Who wrote the value; None if that is not known.
    """

    seq: Count
    id: Id | None
    value: Json
    created_at: Time
    version: Count = 0
    author: Author | None = None


class ItemPage(NamedTuple):
    """Items in the order asked for, and whether there are more after the last one."""

    items: Sequence[HistoryItem]
    more: bool


class HistoryStat(NamedTuple):
    """A summary of a history.

    Attributes:
        count: Items that reads return.
        archived: Items hidden by `ArchiveHistory`.
        last_seq: The highest sequence number ever assigned; 0 if none was.
        metadata: What `SetHistoryMetadata` set.
        metadata_version: The version that it returned; 0 if there is no metadata.
        expires_at: When the history expires; None if never.
    """

    name: HistoryName
    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    archived: Count
    last_seq: Count
    created_at: Time
    updated_at: Time
    metadata: HistoryMetadata = NO_METADATA
    metadata_version: Count = 0
    expires_at: Time | None = None


class HistoryPage(NamedTuple):
    """Histories in the order asked for, and whether there are more."""

    histories: Sequence[HistoryStat]
    more: bool


class _Appends(Operation[tuple[Count, ...]]):
    """The base of operations that write items, with or without ids."""

    __slots__ = ()

    values: tuple[Json, ...]
    ids: tuple[Id | None, ...] | None

    def check(self) -> None:
        if self.ids is None:
            return
        if len(self.ids) != len(self.values):
            raise ConfigurationError(
                f"{len(self.values)} values need {len(self.values)} ids, not {len(self.ids)}"
            )
        given = [id for id in self.ids if id is not None]
        if len(set(given)) != len(given):
            raise ConfigurationError("the ids of one batch must differ from one another")


@operation
class ExtendHistory(_Appends):
    """Appends items; returns their sequence numbers.

    New items get contiguous numbers. An item whose id is already there is not written again: its
    number is returned, so a repeated call has no further effect.

    Attributes:
        ids: An id or None for each item; None: no item has one.
        if_last: Append only if this is the last sequence number; 0: only if nothing was ever
            appended. Ignored if every item is already there.
        ttl: Seconds until the history expires; None: leave its expiry as it is.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    values: tuple[Json, ...]
    ids: tuple[Id | None, ...] | None = None
    if_last: Count | None = None
    ttl: Seconds | None = None


@operation
class ReplaceHistory(_Appends):
    """Replaces all items, archived ones too; returns the new items' sequence numbers.

    Sequence numbers are not reused.

    Attributes:
        ids: An id or None for each item; None: no item has one.
        if_last: Replace only if this is the last sequence number.
        ttl: Seconds until the history expires; None: leave its expiry as it is.
    """

    writes: ClassVar[bool] = True
    may_remove: ClassVar[bool] = True
    name: HistoryName
    values: tuple[Json, ...]
    ids: tuple[Id | None, ...] | None = None
    if_last: Count | None = None
    ttl: Seconds | None = None


@operation
class UpdateItem(Operation[Count]):
    """Replaces the value of an item, which keeps its number, id and time; returns its new version.

    Raises `NotFoundError` if there is no such item.

    Attributes:
        seq: The item's sequence number; give this or `id`.
        id: The item's id.
        if_version: Replace only if the item has this version.
        ttl: Seconds until the history expires; None: leave its expiry as it is.
    """

    writes: ClassVar[bool] = True
    may_remove: ClassVar[bool] = True
    name: HistoryName
    value: Json
    seq: Count | None = None
    id: Id | None = None
    if_version: Count | None = None
    ttl: Seconds | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` unless exactly one of `seq` and `id` is given."""
        check_item_named(self.seq, self.id)


def check_item_named(seq: int | None, id: str | None) -> None:
    """Raises `ConfigurationError` unless an item is named by one of its number and its id."""
    if (seq is None) == (id is None):
        raise ConfigurationError("an item is addressed by its seq or by its id: give one of them")


@operation
class SetHistoryMetadata(Operation[Count]):
    """Sets the metadata of a history, even an empty one; returns the metadata's version.

    Attributes:
        metadata: Replaces what was set before; an empty object removes it.
        if_version: Set only if the metadata has this version; 0: only if there is none.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    metadata: HistoryMetadata
    if_version: Count | None = None


@operation
class ExpireHistory(Operation[bool]):
    """Sets when a history expires; returns whether it exists.

    An expired history looks as if it had been cleared: no items, no metadata, no expiry.

    Attributes:
        ttl: Seconds from now; None: it does not expire.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    ttl: Seconds | None = None


@operation
class ForkHistory(Operation[Count]):
    """Creates a history that begins with another one's items; returns how many these are.

    The items keep their numbers, ids and times, and archived items stay archived. Changing them in
    one history does not affect the other. Metadata and expiry are not copied. The cost does not
    depend on the number of items. Raises `NotFoundError` if there is no such history, and
    `ConflictError` if the new one was ever written to.

    Attributes:
        name: The history to copy items from.
        to: The new history.
        up_to: The number of the last item to include; None: all.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    to: HistoryName
    up_to: Count | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` if both names are the same."""
        if self.name == self.to:
            raise ConfigurationError(f"a history cannot be forked into itself: {self.to!r:.80}")


@operation
class ReadHistory(Paged[ItemPage]):
    """Returns the items between two sequence numbers, both exclusive.

    A page holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        before: Read only items before this number; None: to the end.
        newest_first: Read from the end; pass `before` to get the next page.
        archived: Include the items hidden by `ArchiveHistory`.
    """

    has_past: ClassVar[bool] = True
    name: HistoryName
    after: Count = 0
    before: Count | None = None
    limit: Limit = MAX_PAGE
    newest_first: bool = False
    archived: bool = False

    @property
    def backwards(self) -> bool:
        """Whether it reads from the newest item to the oldest."""
        return self.newest_first


@operation
class StatHistory(Operation[HistoryStat]):
    """Returns a summary of a history; all zeros if nothing was ever appended."""

    has_past: ClassVar[bool] = True
    name: HistoryName


@operation
class DeleteItems(Operation[Count]):
    """Deletes the items with these sequence numbers; returns how many existed."""

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    name: HistoryName
    seqs: tuple[Count, ...]


@operation
class PopItem(Operation[HistoryItem | None]):
    """Deletes the last item and returns it; None if there is none."""

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    name: HistoryName


@operation
class ArchiveHistory(Operation[Count]):
    """Hides the items up to a sequence number from reads; returns how many.

    Archived items are kept; reads return them on request.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    up_to: Count


@operation
class ClearHistory(Parted[Count]):
    """Deletes all items (archived ones too), metadata and expiry; returns the number of items.

    Attributes:
        limit: Most items to delete, the oldest first; None: all. If there are more, all items are
            archived first, so no reader sees a half-cleared history. Repeat until fewer are
            deleted.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    name: HistoryName
    limit: Limit | None = None


@operation
class ListHistories(Paged[HistoryPage]):
    """Returns the histories that hold items or have metadata.

    Attributes:
        after: Start after this name, which need not exist; None: at the first.
        limit: Most histories to return.
        order: ``name``, or ``updated``: by the time of the last change, and by name where times
            are equal.
        descending: Reverse the order.
        where: Only histories whose metadata matches; see `botwire.filters`.
        after_time: In the order ``updated``, the update time of the history named by `after`.
    """

    has_past: ClassVar[bool] = True
    prefix: Prefix = ""
    after: HistoryName | None = None
    limit: Limit = MAX_PAGE
    order: HistoryOrder = "name"
    descending: bool = False
    where: Filter | None = None
    after_time: Time | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` if `after` and `after_time` do not fit the order."""
        if (self.after_time is not None) != (self.after is not None and self.order == "updated"):
            raise ConfigurationError(
                "a list ordered by updated continues after a name and the time it was updated at "
                "(after, after_time), one ordered by name after a name alone"
            )

    def following(self, page: Any) -> Self | None:
        """Returns the operation that reads the page after `page`; None if that was the last."""
        if not page.more:
            return None
        last = page.histories[-1]
        time = last.updated_at if self.order == "updated" else None
        return replace(self, after=last.name, after_time=time)
