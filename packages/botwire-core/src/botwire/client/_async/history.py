"""A history: an ordered, append-only list of JSON items, such as a conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Self

from botwire import operations as ops
from botwire.client._async.calls import AsyncCalls
from botwire.client.encoding import (
    encode_ids,
    encode_item_name,
    encode_items,
    encode_list,
    encode_object,
)
from botwire.client.operators import AsyncHistoryOperators
from botwire.engines.protocol import AsyncEngine
from botwire.exact import Json
from botwire.models import HistoryInfo, Item, ItemVersion
from botwire.names import check_history

_PAGE = 200  # items per page when reading backwards: a token window is rarely longer


class AsyncHistory(AsyncHistoryOperators):
    """An ordered list of JSON items, returned by `AsyncMemory.history`.

    The cost of `append` and `tail` does not depend on the history's length.

    Attributes:
        name: The history's name.
        ttl: Seconds until the history expires, counted from each write through this object; None
            leaves its expiry as it is.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        namespace: str,
        name: str,
        *,
        ttl: float | None = None,
        author: ops.Author | None = None,
        at: ops.Moment | None = None,
    ) -> None:
        self.name = check_history(name)
        if ttl is not None:
            ops.check_ttl(ttl)
        self.ttl = ttl
        self._calls = AsyncCalls(engine, namespace, author, at)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, namespace={self._calls.namespace!r})"

    async def append(self, value: Any, *, id: str | None = None) -> int:
        """Appends an item and returns its sequence number.

        Args:
            value: A JSON value.
            id: Makes a retry safe: if an item with this id exists, nothing is written.

        Raises:
            NotJSONError: JSON cannot hold the value; the message says where.
        """
        ids = None if id is None else (id,)
        operation = ops.ExtendHistory(self.name, (Json.of(value),), ids, ttl=self.ttl)
        return (await self._calls.apply(operation))[0]

    async def extend(
        self,
        values: Iterable[Any],
        *,
        ids: Iterable[str | None] | None = None,
        if_last: int | None = None,
    ) -> list[int]:
        """Appends items atomically and next to each other.

        Args:
            values: JSON values.
            ids: One id per value; a value whose id already exists is not written again.
            if_last: Append only if this is still the last sequence number, 0 for a new history;
                required even if there is nothing to append.

        Returns:
            The sequence number of each item, including those that already existed.

        Raises:
            ConflictError: Someone else appended after `if_last`.
            NotJSONError: JSON cannot hold a value; the message says which and where.
        """
        operation = ops.ExtendHistory(
            self.name, encode_items(values), encode_ids(ids), if_last, self.ttl
        )
        return list(await self._calls.apply(operation))

    async def replace(
        self,
        values: Iterable[Any],
        *,
        ids: Iterable[str | None] | None = None,
        if_last: int | None = None,
    ) -> list[int]:
        """Replaces all items, archived ones included, atomically. The metadata stays.

        Args:
            values: JSON values.
            ids: One id per value.
            if_last: Replace only if this is still the last sequence number.

        Returns:
            The sequence number of each item. Numbers continue after the old items.

        Raises:
            ConflictError: Someone else appended after `if_last`.
            NotJSONError: JSON cannot hold a value; nothing was replaced.
        """
        operation = ops.ReplaceHistory(
            self.name, encode_items(values), encode_ids(ids), if_last, self.ttl
        )
        return list(await self._calls.apply(operation))

    async def update(
        self, seq_or_id: int | str, value: Any, if_value_version: int | None = None
    ) -> int:
        """Replaces the value of an item in place: it keeps its number, id and time.

        Args:
            seq_or_id: The item's sequence number, or its id.
            value: A JSON value.
            if_value_version: Replace only if the item still has this version (`Item.version`).

        Returns:
            The item's new version.

        Raises:
            NotFoundError: There is no such item.
            ConflictError: Someone else updated the item first.
            NotJSONError: JSON cannot hold the value; the message says where.
        """
        seq, id = encode_item_name(seq_or_id)
        operation = ops.UpdateItem(self.name, Json.of(value), seq, id, if_value_version, self.ttl)
        return await self._calls.apply(operation)

    async def versions(
        self, seq_or_id: int | str, *, limit: int | None = None
    ) -> list[ItemVersion]:
        """Returns what an item is and was, the newest first.

        Where the past is not kept, that is the present item at most. In a fork, these are the
        versions since the history was forked.

        Args:
            seq_or_id: The item's sequence number, or its id.
            limit: How many at most; None returns all.
        """
        seq, id = encode_item_name(seq_or_id)
        versions: list[ItemVersion] = []
        async for page in self._calls.pages(ops.ReadItemVersions(self.name, seq, id), limit):
            versions += [ItemVersion.of(version) for version in page.versions]
        return versions

    async def fork(self, name: str, up_to: int | None = None) -> Self:
        """Returns a new history that begins with the items of this one.

        The items keep their numbers, ids and times. Later changes to one of the two do not affect
        the other. The cost does not depend on the number of items.

        Args:
            name: The name of the new history, which must never have been written to.
            up_to: The sequence number of the last item to include; None includes all.

        Raises:
            ConflictError: A history with this name exists or existed.
            NotFoundError: This history does not exist.
        """
        calls = self._calls
        await calls.apply(ops.ForkHistory(self.name, name, up_to))
        return type(self)(calls.engine, calls.namespace, name, ttl=self.ttl, author=calls.author)

    async def metadata(self) -> dict[str, Any]:
        """Returns the metadata, an empty dict if none was set; see `set_metadata`."""
        return dict((await self.info()).metadata)

    async def set_metadata(
        self, metadata: Mapping[str, Any], *, if_version: int | None = None
    ) -> int:
        """Replaces the metadata: a small JSON object for listings, such as title and owner.

        Args:
            metadata: A JSON object of at most 16 KB; an empty one removes the metadata.
            if_version: Set only if `HistoryInfo.metadata_version` is still this; 0 means no
                metadata.

        Returns:
            The new version.

        Raises:
            ConflictError: Someone else set the metadata first.
            NotJSONError: JSON cannot hold a value; the message says where.
        """
        encoded = encode_object(metadata, "metadata")
        return await self._calls.apply(ops.SetHistoryMetadata(self.name, encoded, if_version))

    async def expire(self, ttl: float | None) -> bool:
        """Sets when the history expires and returns whether it exists.

        An expired history is empty and has no metadata. Appending starts it again; its sequence
        numbers continue.

        Args:
            ttl: Seconds from now; None keeps the history until it is cleared.
        """
        return await self._calls.apply(ops.ExpireHistory(self.name, ttl))

    async def tail(self, n: int) -> list[Any]:
        """Returns the values of the last `n` items, oldest first."""
        return [item.value for item in await self.read_last(n)]

    async def read_last(self, n: int) -> list[Item]:
        """Returns the last `n` items, oldest first."""
        ops.check_count(n, "n")
        items: list[Item] = []
        async for page in self._calls.pages(ops.ReadHistory(self.name, newest_first=True), n):
            items += map(Item, page.items)
        return items[::-1]

    async def read(
        self, after: int = 0, limit: int | None = None, *, archived: bool = False
    ) -> list[Item]:
        """Returns items, oldest first.

        Args:
            after: Start after this sequence number.
            limit: The most items to return; None reads to the end.
            archived: Include archived items.
        """
        if limit is not None:
            ops.check_count(limit, "limit")
        read = ops.ReadHistory(self.name, after=after, archived=archived)
        pages = self._calls.pages(read, limit)
        return [Item(item) async for page in pages for item in page.items]

    async def newest_first(
        self, before: int | None = None, *, archived: bool = False, page_size: int = _PAGE
    ) -> AsyncIterator[Item]:
        """Yields items, newest first; pages are read as needed.

        Args:
            before: Start before this sequence number; None starts with the last item.
            archived: Include archived items.
            page_size: Items per page, 1 to 1,000.
        """
        read = ops.ReadHistory(
            self.name, before=before, limit=page_size, newest_first=True, archived=archived
        )
        async for page in self._calls.pages(read):
            for item in page.items:
                yield Item(item)

    async def delete(self, seq: int) -> bool:
        """Deletes the item with this sequence number and returns whether it existed."""
        return bool(await self._calls.apply(ops.DeleteItems(self.name, (seq,))))

    async def delete_many(self, seqs: Iterable[int]) -> int:
        """Deletes the items with these sequence numbers, atomically, and returns how many."""
        delete = ops.DeleteItems(self.name, encode_list(seqs, "seqs", "ints"))
        return await self._calls.apply(delete)

    async def pop(self, default: Any = None) -> Any:
        """Deletes the last item and returns its value, or `default` if the history is empty."""
        item = await self._calls.apply(ops.PopItem(self.name))
        return default if item is None else item.value.value

    async def archive(self, up_to: int) -> int:
        """Archives items, hiding them from most reads, and returns how many.

        Args:
            up_to: The last sequence number to archive.
        """
        return await self._calls.apply(ops.ArchiveHistory(self.name, up_to))

    async def info(self) -> HistoryInfo:
        """Returns counts, times and metadata without reading any item."""
        return HistoryInfo.of(await self._calls.apply(ops.StatHistory(self.name)))

    async def count(self) -> int:
        """Returns the number of items, without archived ones."""
        return (await self.info()).count

    async def clear(self) -> int:
        """Deletes all items, archived ones included, and the metadata; returns the number of items.

        More than 1,000 items are first hidden from readers and then deleted in parts. Others can
        write in between; items they append before the last part are deleted too.
        """
        return await self._calls.in_parts(ops.ClearHistory(self.name, ops.PART))
