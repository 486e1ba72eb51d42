# Generated from client/_async/history.py by scripts/generate_blocking.py: do not edit.
"""A history: an ordered, append-only list of JSON items, such as a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from botwire import operations as ops
from botwire.client._sync.calls import Calls
from botwire.client.access import HistoryAccess
from botwire.client.encoding import encode_ids, encode_items
from botwire.engines.protocol import Engine
from botwire.errors import ConfigurationError
from botwire.exact import Json
from botwire.models import HistoryInfo, Item
from botwire.names import check_history

_PAGE = 200  # items read at a time when walking backwards: a window of tokens is rarely longer


class History(HistoryAccess):
    """The items under one name, made by `Memory.history`.

    What an append or a `tail` costs does not depend on how long the history is.

    Attributes:
        name: The history's name.
    """

    def __init__(self, engine: Engine, namespace: str, name: str) -> None:
        self.name = check_history(name)
        self._calls = Calls(engine, namespace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, namespace={self._calls.namespace!r})"

    def append(self, value: Any, *, id: str | None = None) -> int:
        """Adds an item at the end.

        Args:
            value: A JSON value.
            id: Makes a retry safe: if an item of this id is there already, nothing is written.

        Returns:
            The item's sequence number.

        Raises:
            NotJSONError: JSON cannot hold the value; it says where.
        """
        ids = None if id is None else (id,)
        operation = ops.ExtendHistory(self.name, (Json.of(value),), ids)
        return (self._calls.apply(operation))[0]

    def extend(
        self,
        values: Iterable[Any],
        *,
        ids: Iterable[str | None] | None = None,
        if_last: int | None = None,
    ) -> list[int]:
        """Adds items at the end: all or none, and nobody else's in between.

        Args:
            values: JSON values.
            ids: One for each value; an item whose id is there already is not written twice.
            if_last: Add only if this is still the last sequence number; 0 for a new history.

        Returns:
            The sequence number of each item, also of those that were there.

        Raises:
            ConflictError: Someone else added something after `if_last`.
            NotJSONError: JSON cannot hold a value; it says which and where.
        """
        operation = ops.ExtendHistory(self.name, encode_items(values), encode_ids(ids), if_last)
        return list(self._calls.apply(operation))

    def replace(
        self,
        values: Iterable[Any],
        *,
        ids: Iterable[str | None] | None = None,
        if_last: int | None = None,
    ) -> list[int]:
        """Puts items in the place of all there are, archived ones too, in one step.

        Args:
            values: JSON values.
            ids: One for each value.
            if_last: Replace only if this is still the last sequence number.

        Returns:
            The sequence number of each item; they go on from where the old ones ended.

        Raises:
            ConflictError: Someone else added something after `if_last`.
            NotJSONError: JSON cannot hold a value; nothing was replaced.
        """
        operation = ops.ReplaceHistory(self.name, encode_items(values), encode_ids(ids), if_last)
        return list(self._calls.apply(operation))

    def tail(self, n: int) -> list[Any]:
        """Returns the values of the last `n` items, oldest first."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ConfigurationError(f"tail takes a number of items, not {n!r}")
        values: list[Any] = []
        for page in self._calls.pages(ops.ReadHistory(self.name, newest_first=True), n):
            values += [item.value.value for item in page.items]
        values.reverse()
        return values

    def read(
        self, after: int = 0, limit: int | None = None, *, archived: bool = False
    ) -> list[Item]:
        """Returns items in their order.

        Args:
            after: Start after this sequence number.
            limit: How many at most; None reads to the end.
            archived: Include what `archive` put away.
        """
        if limit is not None:
            ops.check_count(limit, "limit")
        read = ops.ReadHistory(self.name, after=after, archived=archived)
        pages = self._calls.pages(read, limit)
        return [Item.of(item) for page in pages for item in page.items]

    def newest_first(
        self, before: int | None = None, *, archived: bool = False, page_size: int = _PAGE
    ) -> Iterator[Item]:
        """Yields items from the last to the first, read in pages as they are asked for.

        Args:
            before: Begin before this sequence number; None begins with the last item.
            archived: Include what `archive` put away.
            page_size: How many to read at a time, 1 to 1,000.
        """
        read = ops.ReadHistory(
            self.name, before=before, limit=page_size, newest_first=True, archived=archived
        )
        for page in self._calls.pages(read):
            for item in page.items:
                yield Item.of(item)

    def delete(self, seq: int) -> bool:
        """Deletes the item with this sequence number and says whether there was one."""
        return bool(self._calls.apply(ops.DeleteItems(self.name, (seq,))))

    def delete_many(self, seqs: Iterable[int]) -> int:
        """Deletes the items with these sequence numbers, all or none; returns how many."""
        return self._calls.apply(ops.DeleteItems(self.name, tuple(seqs)))

    def pop(self, default: Any = None) -> Any:
        """Deletes the last item and returns its value, or `default` if there is none."""
        item = self._calls.apply(ops.PopItem(self.name))
        return default if item is None else item.value.value

    def archive(self, up_to: int) -> int:
        """Hides items from reads that do not ask for archived ones; returns how many.

        Args:
            up_to: The last sequence number to put away.
        """
        return self._calls.apply(ops.ArchiveHistory(self.name, up_to))

    def info(self) -> HistoryInfo:
        """Returns counts, the last sequence number and times, without reading an item."""
        return HistoryInfo.of(self._calls.apply(ops.StatHistory(self.name)))

    def count(self) -> int:
        """Returns how many items reads return; archived ones are not counted."""
        return (self.info()).count

    def clear(self) -> int:
        """Deletes every item, archived ones too, and returns how many.

        More than 1,000 are hidden from readers at once and deleted in parts, between which others
        write; what they append before the last part is deleted too.
        """
        return self._calls.in_parts(ops.ClearHistory(self.name, ops.PART))
