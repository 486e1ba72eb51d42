"""LlamaIndex's vector store, with one record per node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self, Unpack

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from botwire import AsyncRecords, ConfigurationError, ConflictError, Match, Memory, Record, Records
from botwire.arguments import check_type
from botwire.client.encoding import encode_each
from botwire.connection import Connection, ConnectionOptions, takes_connection
from botwire.matching import Test, asearch_passing, search_passing
from botwire.operations import RECORDS_PART, check_count
from botwire.splitting import (
    awrite_records,
    in_batches,
    latest,
    size_of_record,
    write_records,
)
from botwire_llamaindex.nodes import Predicate, all_of, from_record, to_filter, to_record
from botwire_llamaindex.place import PlacedStore
from botwire_llamaindex.vector_files import SavedVectors

_COLLECTION = "llamaindex"
_TEXT_MODES = (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE)


class BotWireVectorStore(SavedVectors, PlacedStore, BasePydanticVectorStore):
    """The nodes of a namespace with their texts, for ``StorageContext.from_defaults``.

    Searches are exact. Filters are applied before the best are chosen. The modes are ``default``
    (vectors), ``text_search`` or ``sparse`` (words), and ``hybrid`` (a mean of both).

    Args:
        namespace: The namespace of the nodes. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        collection: Tells several stores of a namespace apart. All embeddings of one have the same
            dimension.
        **connection: See `ConnectionOptions`. A dump never contains the API key.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    stores_text: bool = True
    collection: str = _COLLECTION

    @takes_connection
    def __init__(
        self,
        namespace: str | None = None,
        *,
        collection: str = _COLLECTION,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self.collection = collection
        self._records()  # refuses an invalid name now, not in the middle of an import

    @classmethod
    def class_name(cls) -> str:
        """Returns the name of this class in dumps."""
        return "BotWireVectorStore"

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Returns a reference to this store, without any node or key."""
        return {**super().to_dict(), "collection": self.collection}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **kwargs: Any) -> Self:
        """Returns the store that a dump refers to; see `Connection.from_reference` for its key."""
        memory = Connection.from_reference(data).memory
        return cls(client=memory, collection=data.get("collection", _COLLECTION))

    @property
    def client(self) -> Memory:
        """The blocking client."""
        return self._connection.memory

    def _records(self) -> Records:
        return self._connection.memory.records(self.collection)

    def _async_records(self) -> AsyncRecords:
        return self._connection.async_memory.records(self.collection)

    # --- adding and deleting ------------------------------------------------------------------

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Adds nodes, replacing those with the same id, and returns the id of each.

        Of several with the same id, the last is stored. Many nodes take several steps, each no
        larger than a server accepts.

        Raises:
            ConfigurationError: A node has no embedding; nothing was added.
            InvalidRequestError: An embedding has another dimension than the collection's.
        """
        made = _made(nodes)
        write_records(latest(made), partial(self._records().put, keep_embedding=False))
        return [record.id for record in made]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Like `add`."""
        made = _made(nodes)
        put = partial(self._async_records().put, keep_embedding=False)
        await awrite_records(latest(made), put)
        return [record.id for record in made]

    def add_missing(self, nodes: Sequence[BaseNode]) -> None:
        """Adds nodes whose ids do not exist yet.

        Raises:
            ConflictError: The store holds a different node under one of the ids; nothing was added.
        """
        missing = []
        for batch in in_batches(latest(_made(nodes)), RECORDS_PART, size_of_record):
            there = self._records().get([record.id for record in batch], embeddings=False)
            for new, old in zip(batch, there, strict=True):
                if old is None:
                    missing.append(new)
                elif (old.text, dict(old.metadata)) != (new.text, dict(new.metadata)):
                    raise ConflictError(
                        f"node {new.id!r:.80} differs from the one to load: the store has changed "
                        "since the copy was made; open the store without loading, or load into an "
                        "empty namespace"
                    )
        write_records(missing, partial(self._records().put, keep_embedding=False))

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Deletes the nodes of a document."""
        self._records().delete(filter=_of_document(ref_doc_id))

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Like `delete`."""
        await self._async_records().delete(filter=_of_document(ref_doc_id))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Deletes the nodes that have these ids and pass the filters.

        Raises:
            ConfigurationError: Neither ids nor filters are given; use `clear` to delete all nodes.
        """
        condition, predicate = _to_delete(node_ids, filters)
        if predicate is None:
            self._records().delete(ids=node_ids, filter=condition)
            return
        found = self.get_nodes(node_ids, filters)
        self._records().delete(ids=[node.node_id for node in found])

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Like `delete_nodes`."""
        condition, predicate = _to_delete(node_ids, filters)
        if predicate is None:
            await self._async_records().delete(ids=node_ids, filter=condition)
            return
        found = await self.aget_nodes(node_ids, filters)
        await self._async_records().delete(ids=[node.node_id for node in found])

    def clear(self) -> None:
        """Deletes all nodes; embeddings may then have any dimension."""
        self._records().clear()

    async def aclear(self) -> None:
        """Like `clear`."""
        await self._async_records().clear()

    # --- reading and searching ----------------------------------------------------------------

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Returns the nodes that have these ids and pass the filters, with their embeddings."""
        condition, predicate = to_filter(filters)
        found = self._records().list(ids=node_ids, filter=condition, limit=None)
        return [from_record(one) for one in found if _passes(predicate, one)]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Like `get_nodes`."""
        condition, predicate = to_filter(filters)
        found = await self._async_records().list(ids=node_ids, filter=condition, limit=None)
        return [from_record(one) for one in found if _passes(predicate, one)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Returns the best matches among the nodes that pass every filter, best first.

        Raises:
            ConfigurationError: The store does not support the mode, or the query lacks what its
                mode searches for.
        """
        search, passes, limit = _read(query)
        return _result(search_passing(partial(self._records().search, **search), passes, limit))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Like `query`."""
        search, passes, limit = _read(query)
        asked = partial(self._async_records().search, **search)
        return _result(await asearch_passing(asked, passes, limit))


def _of_document(ref_doc_id: object) -> dict[str, Any]:
    # None would match nodes of no document.
    return {"ref_doc_id": check_type(ref_doc_id, str, "ref_doc_id")}


def _made(nodes: Sequence[BaseNode]) -> list[Record]:
    given = encode_each(nodes, BaseNode, "nodes", "nodes")
    return [to_record(node, f"nodes[{i}]") for i, node in enumerate(given)]


def _to_delete(
    node_ids: list[str] | None, filters: MetadataFilters | None
) -> tuple[dict[str, Any] | None, Predicate | None]:
    condition, predicate = to_filter(filters)
    if node_ids is None and condition is None and predicate is None:
        raise ConfigurationError("delete_nodes needs node_ids or filters; clear() deletes all")
    return condition, predicate


def _passes(predicate: Predicate | None, record: Record) -> bool:
    return predicate is None or predicate(record.metadata)


def _read(query: VectorStoreQuery) -> tuple[dict[str, Any], Test | None, int]:
    """Returns the arguments of a search, a further test for records, and how many to find."""
    check_type(query, VectorStoreQuery, "query")
    condition, predicate = to_filter(query.filters)
    # Indexes over a store that holds texts pass empty lists to mean any node.
    documents = {"ref_doc_id": {"$in": list(query.doc_ids)}} if query.doc_ids else None
    search: dict[str, Any] = {
        "filter": all_of((condition, documents)),
        "ids": query.node_ids or None,
        "embeddings": False,
    }
    limit = query.similarity_top_k
    by_vector, by_text = True, False
    if query.mode in _TEXT_MODES:
        by_vector, by_text = False, True
        limit = query.sparse_top_k or limit
    elif query.mode == VectorStoreQueryMode.HYBRID:
        limit = query.hybrid_top_k or limit
        if query.alpha not in (None, 0, 0.5, 1):
            raise ConfigurationError(
                f"alpha must be 0 (words only), 0.5 (both equally) or 1 (vectors only), not "
                f"{query.alpha}"
            )
        by_vector, by_text = query.alpha != 0, query.alpha != 1
    elif query.mode != VectorStoreQueryMode.DEFAULT:
        raise ConfigurationError(
            f"mode {query.mode.value} is not supported: use default, text_search, sparse or hybrid"
        )
    check_count(limit, "the number of nodes to find")
    if by_vector:
        search["vector"] = _given(query.query_embedding, query, "query_embedding")
    if by_text:
        search["text"] = _given(query.query_str, query, "query_str")
    passes = None if predicate is None else partial(_passes, predicate)
    return search, passes, limit


def _given(value: Any, query: VectorStoreQuery, name: str) -> Any:
    if value is None:
        raise ConfigurationError(f"a query of mode {query.mode.value} needs {name}")
    return value


def _result(found: list[Match]) -> VectorStoreQueryResult:
    return VectorStoreQueryResult(
        nodes=[from_record(match.record) for match in found],
        similarities=[match.score for match in found],
        ids=[match.record.id for match in found],
    )
