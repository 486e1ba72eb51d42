"""The document and index stores of LlamaIndex's `StorageContext`, on its key-value store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Unpack

from llama_index.core.storage.docstore import types as docstore
from llama_index.core.storage.docstore.keyval_docstore import KVDocumentStore
from llama_index.core.storage.index_store import types as index_store
from llama_index.core.storage.index_store.keyval_index_store import KVIndexStore
from llama_index.core.storage.kvstore.types import BaseKVStore

from botwire import ConfigurationError
from botwire.connection import ConnectionOptions, takes_connection
from botwire.deleting import adelete_in_parts, delete_in_parts
from botwire_llamaindex.files import Collections, SavedAsFile
from botwire_llamaindex.kvstore import BATCH_SIZE, BotWireKVStore, key_of, split_key
from botwire_llamaindex.place import MadeFromPlace


class _OnKVStore(MadeFromPlace, SavedAsFile):
    """What the stores made of a key-value store share: a copy holds their own collections only."""

    _kvstore: BaseKVStore

    def _collections(self) -> tuple[str, ...]:
        """Returns the names of this store's collections."""
        raise NotImplementedError

    def to_dict(self) -> Collections:
        """Returns the values of this store, by collection and key."""
        found = {name: self._kvstore.get_all(name) for name in self._collections()}
        return {name: values for name, values in found.items() if values}

    def add_missing(self, collections: Collections) -> None:
        """Adds values whose keys do not exist yet; see `BotWireKVStore.add_missing`.

        Raises:
            ConflictError: The store holds a different value for one of the keys.
            ConfigurationError: The values are those of a store with another name.
        """
        others = collections.keys() - set(self._collections())
        if others:
            raise ConfigurationError(
                f"the copy holds {_listed(others)}, but this {type(self).__name__} reads "
                f"{_listed(self._collections())}: pass the name before the slash as name="
            )
        assert isinstance(self._kvstore, BotWireKVStore)
        self._kvstore.add_missing(collections)


class BotWireDocumentStore(_OnKVStore, KVDocumentStore):
    """The documents and nodes of a namespace, for ``StorageContext.from_defaults(docstore=…)``.

    Args:
        namespace: The namespace of the stored data. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        name: Separates several stores of a namespace. Defaults to ``docstore``.
        batch_size: Number of nodes written in one step; fewer if they are large.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    file_name: ClassVar[str] = docstore.DEFAULT_PERSIST_FNAME

    @takes_connection
    def __init__(
        self,
        namespace: str | None = None,
        *,
        name: str | None = None,
        batch_size: int = BATCH_SIZE,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        store = BotWireKVStore(namespace, **connection)
        super().__init__(store, name, batch_size)

    def _collections(self) -> tuple[str, ...]:
        return self._node_collection, self._ref_doc_collection, self._metadata_collection

    # LlamaIndex deletes one node after another, and each time stores the list of those left.

    def delete_ref_doc(self, ref_doc_id: str, raise_error: bool = True) -> None:
        """Deletes a document and its nodes: all or none of a few, and many in several steps.

        Raises:
            ValueError: There is no such document.
        """
        info = self.get_ref_doc_info(ref_doc_id)
        if info is None:
            _check_missing(ref_doc_id, raise_error=raise_error)
            return
        assert isinstance(self._kvstore, BotWireKVStore)
        memory = self._kvstore.connection.memory
        moved = self._moved(ref_doc_id, memory.get_many(self._metadata_keys(info)))
        for id in moved:
            self.delete_document(id, raise_error=False)
        delete_in_parts(memory, self._keys(ref_doc_id, info))

    async def adelete_ref_doc(self, ref_doc_id: str, raise_error: bool = True) -> None:
        """Like `delete_ref_doc`."""
        info = await self.aget_ref_doc_info(ref_doc_id)
        if info is None:
            _check_missing(ref_doc_id, raise_error=raise_error)
            return
        assert isinstance(self._kvstore, BotWireKVStore)
        memory = self._kvstore.connection.async_memory
        moved = self._moved(ref_doc_id, await memory.get_many(self._metadata_keys(info)))
        for id in moved:
            await self.adelete_document(id, raise_error=False)
        await adelete_in_parts(memory, self._keys(ref_doc_id, info))

    def _metadata_keys(self, info: docstore.RefDocInfo) -> list[str]:
        return [key_of(self._metadata_collection, id) for id in info.node_ids]

    def _moved(self, ref_doc_id: str, metadata: Mapping[str, Any]) -> list[str]:
        """Returns the nodes that belong to another document by now, whose list names them too."""
        return [
            split_key(key)[1]
            for key, value in metadata.items()
            if value.get("ref_doc_id", ref_doc_id) != ref_doc_id
        ]

    def _keys(self, ref_doc_id: str, info: docstore.RefDocInfo) -> list[str]:
        """Returns the keys of a document. Its list of nodes is last, so this can be repeated."""
        own = (self._node_collection, self._metadata_collection)
        return [key_of(one, id) for id in (*info.node_ids, ref_doc_id) for one in own] + [
            key_of(self._ref_doc_collection, ref_doc_id)
        ]


def _check_missing(ref_doc_id: str, *, raise_error: bool) -> None:
    if raise_error:
        raise ValueError(f"ref_doc_id {ref_doc_id} not found.")


class BotWireIndexStore(_OnKVStore, KVIndexStore):
    """The indexes of a namespace, for ``StorageContext.from_defaults(index_store=…)``.

    Args:
        namespace: The namespace of the stored data. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        name: Separates several stores of a namespace. Defaults to ``index_store``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    file_name: ClassVar[str] = index_store.DEFAULT_PERSIST_FNAME

    @takes_connection
    def __init__(
        self,
        namespace: str | None = None,
        *,
        name: str | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        store = BotWireKVStore(namespace, **connection)
        super().__init__(store, name)

    def _collections(self) -> tuple[str, ...]:
        return (self._collection,)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
