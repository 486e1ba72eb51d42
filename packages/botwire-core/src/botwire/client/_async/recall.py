"""The implementation of `AsyncMemory.remember` and `AsyncMemory.recall` on records.

A key holds the name of the embedder whose vectors a collection contains. The first memory and that
key are written in one batch, so two embedders cannot both be first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any

from botwire import operations as ops
from botwire import scopes
from botwire.client._async.calls import AsyncCalls
from botwire.client._async.records import AsyncRecords
from botwire.client.encoding import encode_list, encode_records
from botwire.client.spans import MemorySpan, memory_span
from botwire.embedders import AsyncTextEmbedder
from botwire.errors import ConfigurationError, ConflictError, EmbedderMismatchError
from botwire.exact import Json
from botwire.models import Match, Recall, Record, plain
from botwire.vectors import Vector

_EMBEDDER = "$botwire/embedder/"
"""The prefix of the key that holds a collection's embedder; the collection's name follows."""

_ATTEMPTS = 5


class AsyncMemories:
    """The memories of a namespace: texts that it remembers and recalls.

    Args:
        records: The collection that holds them.
        calls: Sends batches.
        embedder: Finds memories by meaning; None: by words only.
    """

    def __init__(
        self, records: AsyncRecords, calls: AsyncCalls, embedder: AsyncTextEmbedder | None
    ) -> None:
        self._records = records
        self._calls = calls
        self._embedder = embedder
        self._key = _EMBEDDER + records.collection

    async def remember(
        self, text: str, about: str, tags: Iterable[str], id: str | None, ttl: float | None
    ) -> str:
        """Puts a memory and returns its id; see `AsyncMemory.remember`."""
        if not isinstance(text, str):
            raise ConfigurationError(f"text must be a string, not {type(text).__name__}")
        if not text.strip():
            raise ConfigurationError("text is blank: give the words to remember")
        named: dict[str, Any] = {} if id is None else {"id": id}
        record = Record(text, tags=encode_list(tags, "tags"), scope=about, **named)
        (new,) = encode_records([record], ttl=ttl)  # refuses bad arguments before embedding
        with self._span("create_memory" if id is None else "upsert_memory") as span:
            span.stores([new])
            if self._embedder is None:
                # A stored vector would belong to the replaced text.
                await self._records.put([record], keep_embedding=False, ttl=ttl)
            else:
                await self._put_embedded(self._embedder, new)
        return record.id

    def _span(self, operation: str) -> AbstractContextManager[MemorySpan]:
        calls = self._calls
        return memory_span(operation, calls.engine, calls.namespace, self._records.collection)

    async def _put_embedded(self, embedder: AsyncTextEmbedder, new: ops.NewRecord) -> None:
        first = await self._first_step(embedder)
        vector = Vector.of(await embedder.vector(new.text), "the embedder's vector")
        put = ops.PutRecords(self._records.collection, (replace(new, embedding=vector),))
        for _ in range(_ATTEMPTS):
            try:
                await self._calls.apply_all((first, put))
            except ConflictError:  # another process wrote the first vector
                first = await self._first_step(embedder)
            else:
                return
        await self._calls.apply_all((first, put))

    async def _first_step(self, embedder: AsyncTextEmbedder) -> ops.CheckKey | ops.PutKey:
        """Returns the operation that checks or sets the embedder's name when a vector is written.

        Raises:
            EmbedderMismatchError: The collection holds another embedder's vectors.
        """
        stored, version, dimension = await self._known()
        if dimension is None:
            return ops.PutKey(self._key, Json.of(embedder.name), None, version)
        self._check_embedder(embedder, stored)
        return ops.CheckKey(self._key, version)

    async def _known(self) -> tuple[object, int, int | None]:
        """Returns the embedder's name, its version, and the dimension of the vectors, if any."""
        read = (ops.GetKeys((self._key,)), ops.StatRecords(self._records.collection))
        (entry,), stat = await self._calls.apply_all(read)
        if entry is None:
            return None, 0, stat.dimension
        return plain(entry.value), entry.version, stat.dimension

    def _check_embedder(self, embedder: AsyncTextEmbedder, stored: object) -> None:
        if stored == embedder.name:
            return
        made_by = "an unknown embedder" if stored is None else f"the embedder {stored!r:.200}"
        raise EmbedderMismatchError(
            f"the memories of namespace {self._calls.namespace!r:.80} have vectors of {made_by}, "
            f"which cannot be compared with those of {embedder.name!r:.200}: use that embedder, "
            f"another namespace, or none. (The key {self._key!r} holds the name.)"
        )

    async def recall(
        self,
        query: str | None,
        about: str | None,
        tags: Iterable[str] | None,
        since: datetime | None,
        limit: int,
        max_chars: int | None,
    ) -> Recall:
        """Finds memories; see `AsyncMemory.recall`."""
        if query is not None and not isinstance(query, str):
            raise ConfigurationError(f"query must be a string or None, not {type(query).__name__}")
        ops.check_count(limit, "limit")
        if max_chars is not None:
            ops.check_count(max_chars, "max_chars")
        if tags is not None:
            tags = encode_list(tags, "tags")
        where: dict[str, Any] = {"scope": about, "tags": tags, "created_after": since}
        matches: Sequence[Match]
        by = "words"
        with self._span("search_memory") as span:
            span.asks(query)
            if query is None or not query.strip():
                query = None
                newest = await self._records.list(**where, limit=limit, embeddings=False)
                matches = [Match(record, 0.0) for record in newest]
            else:
                vector = await self._vector(query)
                by = "words" if vector is None else "words and meaning"
                matches = await self._records.search(
                    text=query, vector=vector, **where, limit=limit, embeddings=False
                )
            fitting = _fitting(matches, max_chars)
            if query is None:
                span.finds([match.record for match in fitting])
            else:
                span.matches(fitting)
        searched = _describe(query, by, about, tags, since)
        if fitting:
            searched = f"searched memories {searched}"
        elif matches:
            searched = f"found {_number(len(matches))} {searched}, each longer than max_chars"
        else:
            searched = f"searched {_number(await self._records.count(**where))} {searched}"
        return Recall(
            tuple([match.record for match in fitting]),
            () if query is None else tuple([match.score for match in fitting]),
            searched,
        )

    async def _vector(self, query: str) -> Sequence[float] | None:
        """Returns the vector of a query; None if there is nothing to compare it with."""
        if self._embedder is None:
            return None
        stored, _, dimension = await self._known()
        if dimension is None:
            return None
        self._check_embedder(self._embedder, stored)
        return await self._embedder.vector(query)


def _fitting(matches: Sequence[Match], max_chars: int | None) -> Sequence[Match]:
    if max_chars is None:
        return matches
    fitting = []
    left = max_chars
    for match in matches:
        size = len(match.record.text)
        if size <= left:
            fitting.append(match)
            left -= size
    return fitting


def _describe(
    query: str | None,
    by: str,
    about: str | None,
    tags: Sequence[str] | None,
    since: datetime | None,
) -> str:
    parts = []
    if about is not None and scopes.normalise(about) != scopes.ROOT:
        parts.append(f"about {scopes.normalise(about)}")
    if tags is not None:
        parts.append(f"tagged {' or '.join(repr(tag) for tag in tags)}" if tags else "with no tag")
    if since is not None:
        parts.append(f"since {since.isoformat()}")
    parts.append("for the newest" if query is None else f"for the {by} of {query!r:.200}")
    return " ".join(parts)


def _number(count: int) -> str:
    return "1 memory" if count == 1 else f"{count:,} memories"
