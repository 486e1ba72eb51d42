"""The operations on histories."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from botwire.errors import ConfigurationError
from botwire.exact import Json
from botwire.operations.base import Operation, Paged, operation
from botwire.operations.fields import MAX_PAGE, Count, HistoryName, Id, Limit, Prefix, Time


class HistoryItem(NamedTuple):
    """An item as it is stored."""

    seq: Count
    id: Id | None
    value: Json
    created_at: Time


class ItemPage(NamedTuple):
    """Items in the order asked for, and whether there are more after the last one."""

    items: Sequence[HistoryItem]
    more: bool


class HistoryStat(NamedTuple):
    """What is known of a history without reading it.

    Attributes:
        count: Items that reads return.
        archived: Items hidden by `ArchiveHistory`.
        last_seq: The greatest sequence number ever given; 0 if none was.
    """

    name: HistoryName
    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    archived: Count
    last_seq: Count
    created_at: Time
    updated_at: Time


class HistoryPage(NamedTuple):
    """Histories in the order of their names, and whether there are more."""

    histories: Sequence[HistoryStat]
    more: bool


class _Appends(Operation[tuple[Count, ...]]):
    """What writes items, each perhaps with an id."""

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
        if_last: Append only if this is the last sequence number; 0: if nothing was ever appended.
            Ignored if every item is already there.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    values: tuple[Json, ...]
    ids: tuple[Id | None, ...] | None = None
    if_last: Count | None = None


@operation
class ReplaceHistory(_Appends):
    """Replaces all items, archived ones too; returns the new items' sequence numbers.

    Sequence numbers are not reused.

    Attributes:
        ids: An id or None for each item; None: no item has one.
        if_last: Replace only if this is the last sequence number.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    values: tuple[Json, ...]
    ids: tuple[Id | None, ...] | None = None
    if_last: Count | None = None


@operation
class ReadHistory(Paged[ItemPage]):
    """Returns the items between two sequence numbers, both exclusive.

    A page holds about `MAX_PAGE_BYTES` at most.

    Attributes:
        before: None: to the end.
        newest_first: Read from the end; `before` then leads to the next page.
        archived: Include the items hidden by `ArchiveHistory`.
    """

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
    """Returns what is known of a history; all zeros if nothing was ever appended."""

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

    They are kept: a read that asks for archived items returns them.
    """

    writes: ClassVar[bool] = True
    name: HistoryName
    up_to: Count


@operation
class ClearHistory(Operation[Count]):
    """Deletes all items, archived ones too; returns how many.

    Attributes:
        limit: Most items to delete, the oldest first; None: all. If there are more, all items are
            archived first, so that no reader sees a part. Repeat until fewer are deleted.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    name: HistoryName
    limit: Limit | None = None


@operation
class ListHistories(Paged[HistoryPage]):
    """Returns the histories that hold items, by name.

    Attributes:
        after: Start after this name, which need not exist; None: at the first.
    """

    prefix: Prefix = ""
    after: HistoryName | None = None
    limit: Limit = MAX_PAGE
