"""Records: searchable memories with metadata, tags, a scope and an embedding."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal

from botwire import operations as ops
from botwire import scopes
from botwire.arguments import check_type
from botwire.client._async.calls import AsyncCalls
from botwire.client.encoding import encode_list, encode_object, encode_records, encode_selection
from botwire.client.spans import MemorySpan, memory_span
from botwire.engines.protocol import AsyncEngine
from botwire.models import Match, Record, RecordsInfo, RecordVersion
from botwire.names import check_collection
from botwire.vectors import Vector

_PAGE = 200  # records per page


class AsyncRecords:
    """The records of one collection, returned by `AsyncMemory.records`.

    Methods that select records take the same filters. A record must pass all that are given:

    - ``ids``: it has one of these ids; an empty list selects nothing.
    - ``scope``: it is at this path or below. ``/crew/al`` does not contain ``/crew/alice``.
    - ``tags``: it has at least one of these tags.
    - ``filter``: its metadata matches, for example ``{"year": {"$gte": 2020}}``; see
      `botwire.filters` for the operators.
    - ``created_after``, ``created_before``: it was created then; a naive datetime means UTC.

    Attributes:
        collection: The collection's name.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        namespace: str,
        collection: str,
        *,
        author: ops.Author | None = None,
        at: ops.Moment | None = None,
    ) -> None:
        self.collection = check_collection(collection)
        self._calls = AsyncCalls(engine, namespace, author, at)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.collection!r}, namespace={self._calls.namespace!r})"

    def _span(self, operation: str) -> AbstractContextManager[MemorySpan]:
        calls = self._calls
        return memory_span(operation, calls.engine, calls.namespace, self.collection)

    async def put(
        self,
        records: Iterable[Record],
        *,
        keep_embedding: bool = True,
        if_versions: Iterable[int | None] | None = None,
        ttl: float | None = None,
    ) -> builtins.list[int]:
        """Adds records, replacing those with the same id, all or none.

        The first embedding fixes the dimension of the collection's embeddings.

        Args:
            records: The records.
            keep_embedding: A record without an embedding keeps the stored one.
            if_versions: One version per record: put it only if the stored record still has this
                version; 0 means it must not exist, None does not check.
            ttl: Seconds until the records expire; None keeps them until they are deleted.

        Returns:
            The new version of each record.

        Raises:
            ConflictError: A record has another version: someone else wrote first.
            InvalidRequestError: An embedding's dimension differs from the collection's.
            NotJSONError: JSON cannot hold a record's metadata; the message says where.
        """
        encoded = encode_records(records, if_versions, ttl)
        put = ops.PutRecords(self.collection, encoded, keep_embedding)
        with self._span("upsert_memory") as span:
            span.stores(encoded)
            return list(await self._calls.apply(put))

    async def patch(
        self, ids: Iterable[str], metadata: Mapping[str, Any], *, ttl: float | None = None
    ) -> int:
        """Sets metadata fields of the records that exist and returns how many.

        Everything else in a record stays as it is, even if someone changes it at the same time.

        Args:
            ids: The records.
            metadata: The fields to set; empty to set only the expiry.
            ttl: Seconds until those of the records expire that already have an expiry; None leaves
                it as it is. Records without an expiry stay without one.
        """
        fields = encode_object(metadata, "metadata")
        patch = ops.PatchRecords(self.collection, encode_list(ids, "ids"), fields, ttl)
        with self._span("update_memory") as span:
            span.names(patch.ids)
            span.counts(len(patch.ids))
            return await self._calls.apply(patch)

    async def get(
        self, ids: Iterable[str], *, embeddings: bool = True
    ) -> builtins.list[Record | None]:
        """Returns the record of each id, or None if it does not exist, all as of one moment.

        From a server, more than about 32 MB is read in parts; see `AsyncMemory.get_many`.

        Args:
            ids: The ids.
            embeddings: Whether to read embeddings.
        """
        operation = ops.GetRecords(self.collection, encode_list(ids, "ids"), embeddings)
        entries = await self._calls.apply(operation)
        return [None if entry is None else Record.of(entry) for entry in entries]

    async def versions(
        self, id: str, *, limit: int | None = None, embeddings: bool = True
    ) -> builtins.list[RecordVersion]:
        """Returns what a record is and was, the newest first.

        Where the past is not kept, that is the present record at most.

        Args:
            id: The record's id.
            limit: How many at most; None returns all.
            embeddings: Whether to read embeddings.
        """
        operation = ops.ReadRecordVersions(self.collection, id, embeddings=embeddings)
        versions: builtins.list[RecordVersion] = []
        async for page in self._calls.pages(operation, limit):
            versions += [RecordVersion.of(version) for version in page.versions]
        return versions

    async def delete(
        self,
        *,
        ids: Iterable[str] | None = None,
        scope: str | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        all: bool = False,  # noqa: A002 - what it says
    ) -> int:
        """Deletes the records that pass every filter and returns how many.

        More than 200 records, or fewer with long texts, are deleted in parts, so that others can
        write in between. A transaction deletes them together.

        Args:
            ids: See the class.
            scope: See the class.
            tags: See the class.
            filter: See the class.
            created_after: See the class.
            created_before: See the class.
            all: Delete every record. Required if there is no filter, because that may be a mistake.

        Raises:
            ConfigurationError: Neither a filter nor `all` was given, or both were.
        """
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        few = where.ids is not None and len(where.ids) <= ops.RECORDS_PART
        delete = ops.DeleteRecords(self.collection, where, all, None if few else ops.RECORDS_PART)
        with self._span("delete_memory") as span:
            span.names(where.ids)
            count = await self._calls.in_parts(delete)
            span.counts(count)
            return count

    async def clear(self) -> int:
        """Deletes every record and returns how many. Embeddings may then have a new dimension.

        More than 200 records are deleted in parts. Others can write in between; records they put
        before the last part are deleted too.
        """
        return await self.delete(all=True)

    async def search(
        self,
        *,
        vector: Sequence[float] | None = None,
        text: str | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        scope: str | None = None,
        tags: Iterable[str] | None = None,
        ids: Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 10,
        offset: int = 0,
        min_score: float | None = None,
        metric: Literal["cosine", "l2"] = "cosine",
        embeddings: bool = True,
    ) -> builtins.list[Match]:
        """Returns the best matches among the records that pass every filter, best first.

        Args:
            vector: Find the nearest embeddings, exactly. Records without an embedding are skipped.
            text: Find texts that contain one of its words, in any form, ranked by BM25, mapped to
                0 … 1. Stop words are ignored unless the query has no other words. With a vector as
                well, the score is a weighted mean that favors the text; a search that does not find
                the record counts as 0.
            filter: See the class.
            scope: See the class.
            tags: See the class.
            ids: See the class.
            created_after: See the class.
            created_before: See the class.
            limit: The most matches to return; more than 1,000 are read in pages.
            offset: The number of best matches to skip.
            min_score: Only return matches with at least this score.
            metric: ``cosine``: the score is the cosine of the angle between the vectors.
                ``l2``: it is 1 / (1 + their squared Euclidean distance).
            embeddings: Whether to read embeddings.

        Raises:
            InvalidRequestError: The vector's dimension differs from the collection's.
            ConfigurationError: An argument is not valid, or numpy (extra ``vector``) is not
                installed where the search runs.
        """
        ops.check_count(limit, "limit")
        ops.check_count(offset, "offset")
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        query = None if vector is None else Vector.of(vector, "vector")
        found: builtins.list[Match] = []
        with self._span("search_memory") as span:
            span.asks(text)
            while limit > len(found):
                size = min(limit - len(found), ops.MAX_PAGE)
                page = await self._calls.apply(
                    ops.SearchRecords(
                        self.collection,
                        query,
                        text,
                        where,
                        size,
                        offset + len(found),
                        min_score,
                        metric,
                        embeddings,
                    )
                )
                found += [Match.of(match) for match in page]
                if len(page) < size:
                    break
            span.matches(found)
        return found

    async def recall(
        self,
        text: str = "",
        *,
        vector: Sequence[float] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        scope: str | None = None,
        tags: Iterable[str] | None = None,
        limit: int = 10,
    ) -> builtins.list[Record]:
        """Returns records to show an agent: the best matches, filled up with the newest records.

        The records come in the order of their last write, without embeddings.

        Args:
            text: What to search for; if it has no words, only the newest records are returned.
            vector: The embedding of the text, to search by meaning too.
            filter: See the class.
            scope: See the class.
            tags: See the class.
            limit: The most records to return, up to 1,000.
        """
        check_type(text, str, "text")
        ops.check_count(limit, "limit")
        where: dict[str, Any] = {"filter": filter, "scope": scope, "tags": tags}
        found: builtins.list[Record] = []
        with self._span("search_memory") as span:
            span.asks(text)
            if text.strip() or vector is not None:
                matches = await self.search(
                    text=text if text.strip() else None,
                    vector=vector,
                    limit=limit,
                    embeddings=False,
                    **where,
                )
                found = [match.record for match in matches]
            if len(found) < limit:
                known = {record.id for record in found}
                newest = await self.list(limit=limit, embeddings=False, **where)
                others = [record for record in newest if record.id not in known]
                found += others[: limit - len(found)]
            span.finds(found)
        return sorted(found, key=lambda record: record.version)

    async def list(
        self,
        *,
        ids: Iterable[str] | None = None,
        scope: str | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        offset: int = 0,
        embeddings: bool = True,
    ) -> builtins.list[Record]:
        """Returns the records that pass every filter, newest first.

        Args:
            ids: See the class.
            scope: See the class.
            tags: See the class.
            filter: See the class.
            created_after: See the class.
            created_before: See the class.
            limit: The most records to return; None returns all, read in pages.
            offset: The number of newest records to skip.
            embeddings: Whether to read embeddings.
        """
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        if limit is not None:
            ops.check_count(limit, "limit")
        read = ops.ListRecords(self.collection, where, _PAGE, offset, embeddings)
        with self._span("search_memory") as span:
            pages = self._calls.pages(read, limit)
            found = [Record.of(entry) async for page in pages for entry in page.records]
            span.finds(found)
        return found

    async def count(
        self,
        *,
        ids: Iterable[str] | None = None,
        scope: str | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> int:
        """Returns the number of records that pass every filter; see the class."""
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        return (await self._stat(where)).count

    async def info(self, scope: str | None = None) -> RecordsInfo:
        """Returns the number of records, the times of the oldest and newest, and the dimension.

        Args:
            scope: Only count records at this path and below; default: all.
        """
        return RecordsInfo.of(await self._stat(encode_selection(scope=scope)))

    async def scopes(self, parent: str = scopes.ROOT) -> builtins.list[str]:
        """Returns the full paths one segment below `parent` that contain records."""
        return list(
            await self._calls.apply(ops.ListScopes(self.collection, scopes.normalise(parent)))
        )

    async def tags(self, *, scope: str | None = None) -> dict[str, int]:
        """Returns each tag with the number of records that have it.

        Args:
            scope: Only count records at this path and below; default: all.
        """
        where = encode_selection(scope=scope)
        return dict(await self._calls.apply(ops.ListTags(self.collection, where)))

    async def _stat(self, where: ops.Selection) -> ops.RecordStat:
        return await self._calls.apply(ops.StatRecords(self.collection, where))
