"""Documents found by meaning, as a LangChain vector store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self, Unpack

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from botwire import AsyncRecords, ConfigurationError, InvalidRequestError, Match, Records
from botwire.client.encoding import encode_each
from botwire.connection import Connected, ConnectionOptions
from botwire.matching import asearch_passing, search_passing
from botwire.names import check_collection, shown
from botwire.off_loop import off_loop
from botwire.operations import read_ttl
from botwire.splitting import awrite_records, in_batches, write_records
from botwire_langchain.documents import (
    check_dimension,
    embedded,
    to_document,
    to_filter,
    to_records,
)
from botwire_langchain.searches import Search, Searches, refuse_unknown

_DELETED = 10_000  # ids per request


class BotWireVectorStore(Connected, Searches, framework="langchain", shows="collection"):
    """The documents of a namespace, found by meaning.

    Searches are exact, by cosine, and `filter` is applied before the best `k` are chosen. It is a
    dict such as ``{"year": {"$gte": 2020}}`` with the operators ``$eq $ne $gt $gte $lt $lte $in
    $nin $between $exists $not $and $or``, or a function that is given a `Document`, as for
    LangChain's `InMemoryVectorStore`. A dict is faster: a function reads documents until enough
    pass.

    Scores are similarities: 1 is the same direction, and higher is better.

    Args:
        namespace: The namespace of the documents. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        embedding: What embeds texts and queries.
        collection: Tells several stores of a namespace apart. All embeddings of one have the same
            dimension.
        ttl: Seconds until a document expires; None: never.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        embedding: Embeddings,
        collection: str = "langchain",
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if not (hasattr(embedding, "embed_documents") and hasattr(embedding, "embed_query")):
            raise ConfigurationError(
                f"embedding must be an Embeddings of LangChain, not {type(embedding).__name__}: "
                f"{shown(embedding)}"
            )
        super().__init__(namespace, **connection)
        self.embedding = embedding
        self.collection = check_collection(collection)
        self.ttl = read_ttl(ttl)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Returns a store to which texts were added.

        Args:
            texts: The texts.
            embedding: What embeds them.
            metadatas: The metadata of each text.
            ids: The id of each text.
            **kwargs: The other arguments of the class.
        """
        store = cls(embedding=embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Like `from_texts`."""
        store = cls(embedding=embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    @property
    def embeddings(self) -> Embeddings:
        """What embeds texts and queries."""
        return self.embedding

    def _records(self) -> Records:
        return self.connection.memory.records(self.collection)

    def _async_records(self) -> AsyncRecords:
        return self.connection.async_memory.records(self.collection)

    # --- adding and deleting ------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Adds texts, replacing those with the same id, and returns the id of each.

        Of several with the same id, the last is stored. Many texts take several steps, each no
        larger than a server accepts.

        Args:
            texts: The texts.
            metadatas: The metadata of each text.
            ids: The id of each text; random where it is None.
            batch_size: Has no effect; LangChain's `index` passes it.
            **kwargs: There are no other arguments.

        Raises:
            ConfigurationError: An argument is not valid; nothing was added.
            EmbedderMismatchError: The documents there have embeddings of another dimension.
        """
        refuse_unknown(kwargs, ("metadatas", "ids"))
        made = to_records(texts, metadatas, ids)
        if made:
            vectors = self.embedding.embed_documents([record.text for record in made])
            new = embedded(made, vectors)
            records = self._records()
            try:
                write_records(new, partial(records.put, keep_embedding=False, ttl=self.ttl))
            except InvalidRequestError:
                check_dimension(self.collection, records.info().dimension, vectors)
                raise
        return [record.id for record in made]

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Like `add_texts`."""
        refuse_unknown(kwargs, ("metadatas", "ids"))
        made = to_records(texts, metadatas, ids)
        if made:
            vectors = await self.embedding.aembed_documents([record.text for record in made])
            new = await off_loop(embedded, made, vectors)
            records = self._async_records()
            try:
                await awrite_records(new, partial(records.put, keep_embedding=False, ttl=self.ttl))
            except InvalidRequestError:
                check_dimension(self.collection, (await records.info()).dimension, vectors)
                raise
        return [record.id for record in made]

    def delete(
        self,
        ids: list[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> bool:
        """Deletes the documents that have these ids and pass the filter; returns True.

        Raises:
            ConfigurationError: Neither is given; use `clear` to delete all documents.
        """
        for arguments in _to_delete(ids, filter, kwargs):
            self._records().delete(**arguments)
        return True

    async def adelete(
        self,
        ids: list[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> bool:
        """Like `delete`."""
        for arguments in _to_delete(ids, filter, kwargs):
            await self._async_records().delete(**arguments)
        return True

    def clear(self) -> None:
        """Deletes all documents; embeddings may then have any dimension."""
        self._records().clear()

    async def aclear(self) -> None:
        """Like `clear`."""
        await self._async_records().clear()

    # --- reading and searching ----------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Returns the documents that exist, in the order of the ids."""
        found = self._records().get(ids, embeddings=False)
        return [to_document(record) for record in found if record is not None]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Like `get_by_ids`."""
        found = await self._async_records().get(ids, embeddings=False)
        return [to_document(record) for record in found if record is not None]

    def _find(
        self, search: Search, vector: Sequence[float], *, embeddings: bool = False
    ) -> list[Match]:
        records = self._records()
        asked = partial(
            records.search, vector=vector, filter=search.condition, embeddings=embeddings
        )
        try:
            return search_passing(asked, search.passes, search.limit)
        except InvalidRequestError:
            check_dimension(self.collection, records.info().dimension, [vector])
            raise

    async def _afind(
        self, search: Search, vector: Sequence[float], *, embeddings: bool = False
    ) -> list[Match]:
        records = self._async_records()
        asked = partial(
            records.search, vector=vector, filter=search.condition, embeddings=embeddings
        )
        try:
            return await asearch_passing(asked, search.passes, search.limit)
        except InvalidRequestError:
            check_dimension(self.collection, (await records.info()).dimension, [vector])
            raise


def _to_delete(
    ids: Sequence[str] | None, condition: Mapping[str, Any] | None, others: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yields the arguments of each request that deletes documents.

    Raises:
        ConfigurationError: An argument is not valid.
    """
    refuse_unknown(others, ("ids", "filter"))
    if ids is None and condition is None:
        raise ConfigurationError("delete needs ids or a filter; clear() deletes all documents")
    found, passes = to_filter(condition)
    if passes is not None:
        raise ConfigurationError("delete takes a dict as filter, not a function")
    if ids is None:
        yield {"filter": found}
        return
    given = encode_each(ids, str, "ids")
    for batch in in_batches(given, _DELETED, len):
        yield {"ids": batch, "filter": found}
