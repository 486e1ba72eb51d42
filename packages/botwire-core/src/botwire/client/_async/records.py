"""Records: searchable memories with metadata, tags, a scope and an embedding."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from botwire import operations as ops
from botwire import scopes
from botwire.client._async.calls import AsyncCalls
from botwire.client.encoding import encode_object, encode_records, encode_selection
from botwire.engines.protocol import AsyncEngine
from botwire.models import Match, Record, RecordsInfo
from botwire.names import check_collection
from botwire.vectors import Vector

_PAGE = 200  # records read at a time with what they hold, which may be much


class AsyncRecords:
    """The records of one collection, made by `AsyncMemory.records`.

    Methods that select records take the same filters, all of which must hold:

    - ``ids``: only these; an empty list is none.
    - ``scope``: only this path and those below it. ``/crew/al`` does not hold ``/crew/alice``.
    - ``tags``: only records with one of these.
    - ``filter``: only records whose metadata match, for example ``{"year": {"$gte": 2020}}``; see
      `botwire.filters` for the operators.
    - ``created_after``, ``created_before``: only records created then; a naive time is UTC.

    Attributes:
        collection: The collection's name.
    """

    def __init__(self, engine: AsyncEngine, namespace: str, collection: str) -> None:
        self.collection = check_collection(collection)
        self._calls = AsyncCalls(engine, namespace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.collection!r}, namespace={self._calls.namespace!r})"

    async def put(
        self,
        records: Iterable[Record],
        *,
        keep_embedding: bool = True,
        if_versions: Iterable[int | None] | None = None,
    ) -> builtins.list[int]:
        """Adds records, or puts them in the place of those with the same id: all or none.

        The first embedding fixes the dimension of the collection's embeddings.

        Args:
            records: The records.
            keep_embedding: A record without an embedding keeps the one that is stored.
            if_versions: For each record, put only if it still has this version; 0 if there is
                no such record yet, None in any case.

        Returns:
            The new version of each.

        Raises:
            ConflictError: A version is another; someone else wrote first.
            InvalidRequestError: An embedding has another dimension than the collection's.
            NotJSONError: JSON cannot hold the metadata of one; it says where.
        """
        encoded = encode_records(records, if_versions)
        return list(
            await self._calls.apply(ops.PutRecords(self.collection, encoded, keep_embedding))
        )

    async def patch(self, ids: Iterable[str], metadata: Mapping[str, Any]) -> int:
        """Sets fields of the metadata of those of these records that there are.

        Everything else about them stays, whoever changes it at the same time.

        Returns:
            How many records there were.
        """
        patch = encode_object(metadata, "metadata")
        return await self._calls.apply(ops.PatchRecords(self.collection, tuple(ids), patch))

    async def get(
        self, ids: Iterable[str], *, embeddings: bool = True
    ) -> builtins.list[Record | None]:
        """Returns the record of each id, or None where there is none, as of one moment.

        More than about 32 MB are read from a server in parts; see `AsyncMemory.get_many`.

        Args:
            ids: The ids.
            embeddings: Whether to read embeddings.
        """
        operation = ops.GetRecords(self.collection, tuple(ids), embeddings)
        entries = await self._calls.apply(operation)
        return [None if entry is None else Record.of(entry) for entry in entries]

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
        """Deletes the records that pass every filter, and returns how many.

        Args:
            ids: See the class.
            scope: See the class.
            tags: See the class.
            filter: See the class.
            created_after: See the class.
            created_before: See the class.
            all: Delete every record; must be said, as no filter could be a mistake.

        Raises:
            ConfigurationError: No filter was given and not `all` either, or both.
        """
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        delete = ops.DeleteRecords(self.collection, where, all, ops.RECORDS_PART if all else None)
        return await self._calls.in_parts(delete)

    async def clear(self) -> int:
        """Deletes every record and returns how many; embeddings may then have any dimension.

        More than 200 are deleted in parts, between which others write; what they put before the
        last part is deleted too.
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
        """Returns the records that fit best, of those that pass every filter; the best first.

        Args:
            vector: Find the nearest embeddings, exactly; records without one are left out.
            text: Find texts that hold one of its words, the more and the rarer the better (BM25,
                mapped to 0 … 1). With a vector too, the score is the mean of both, 0 for the one
                that does not find the record.
            filter: See the class.
            scope: See the class.
            tags: See the class.
            ids: See the class.
            created_after: See the class.
            created_before: See the class.
            limit: How many at most; above 1,000 they are read in pages, one after the other.
            offset: How many of the best to leave out.
            min_score: Only matches with at least this score.
            metric: ``cosine``: the score is the cosine of the angle between the vectors.
                ``l2``: it is 1 / (1 + their squared Euclidean distance).
            embeddings: Whether to read embeddings.

        Raises:
            InvalidRequestError: The vector has another dimension than the collection's.
            ConfigurationError: An argument is not valid, or numpy is not installed where the
                search is done (extra ``vector``).
        """
        ops.check_count(limit, "limit")
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        query = None if vector is None else Vector.of(vector, "vector")
        found: builtins.list[Match] = []
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
        """Returns what an agent is told: what fits, and then the newest others, up to `limit`.

        They come in the order in which they were last written, without embeddings.

        Args:
            text: What they are searched for; without words, the newest are all there is.
            vector: Its embedding, to find by meaning too.
            filter: See the class.
            scope: See the class.
            tags: See the class.
            limit: How many at most; 1,000 at most.
        """
        where: dict[str, Any] = {"filter": filter, "scope": scope, "tags": tags}
        found: builtins.list[Record] = []
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
        """Returns the records that pass every filter, the newest first.

        Args:
            ids: See the class.
            scope: See the class.
            tags: See the class.
            filter: See the class.
            created_after: See the class.
            created_before: See the class.
            limit: How many at most; None returns all, in pages read one after the other.
            offset: How many of the newest to leave out.
            embeddings: Whether to read embeddings.
        """
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        read = ops.ListRecords(self.collection, where, _PAGE, offset, embeddings)
        pages = self._calls.pages(read, limit)
        return [Record.of(entry) async for page in pages for entry in page.records]

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
        """Returns how many records pass every filter; see the class."""
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        return (await self._stat(where)).count

    async def info(self, scope: str | None = None) -> RecordsInfo:
        """Returns how many records a scope holds, from when to when, and their dimension.

        Args:
            scope: A path; unset, all of them.
        """
        return RecordsInfo.of(await self._stat(encode_selection(scope=scope)))

    async def scopes(self, parent: str = scopes.ROOT) -> builtins.list[str]:
        """Returns the full paths one segment below `parent` that lead to records."""
        return list(
            await self._calls.apply(ops.ListScopes(self.collection, scopes.normalise(parent)))
        )

    async def tags(self, *, scope: str | None = None) -> dict[str, int]:
        """Returns each tag and how many records have it.

        Args:
            scope: Only records of this path and below it; unset, all of them.
        """
        where = encode_selection(scope=scope)
        return dict(await self._calls.apply(ops.ListTags(self.collection, where)))

    async def _stat(self, where: ops.Selection) -> ops.RecordStat:
        return await self._calls.apply(ops.StatRecords(self.collection, where))
