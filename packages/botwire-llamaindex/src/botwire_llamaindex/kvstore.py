"""The document and index stores of LlamaIndex's `StorageContext`, on BotWire's keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Unpack

from llama_index.core.storage.docstore import types as docstore
from llama_index.core.storage.docstore.keyval_docstore import KVDocumentStore
from llama_index.core.storage.index_store import types as index_store
from llama_index.core.storage.index_store.keyval_index_store import KVIndexStore
from llama_index.core.storage.kvstore.types import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_COLLECTION,
    BaseKVStore,
)

from botwire import ConfigurationError, ConflictError
from botwire.client.encoding import encode_pairs
from botwire.connection import Connected, ConnectionOptions, takes_connection
from botwire.deleting import adelete_keys, delete_keys
from botwire.names import check_string
from botwire.operations import check_count
from botwire.splitting import awrite, in_batches, size_of, write
from botwire.tagged import from_json, to_json
from botwire_llamaindex.acting import acting
from botwire_llamaindex.files import Collections, SavedAsFile
from botwire_llamaindex.place import MadeFromPlace

_PREFIX = "llamaindex/"
FACTS = "memory/facts"
CLAIMS = "memory/claims"
RENEWED = "renewed"
_RESERVED = (FACTS, CLAIMS, RENEWED)  # collections of this package's memories
_BATCH_SIZE = 100


class BotWireKVStore(
    Connected, MadeFromPlace, SavedAsFile, BaseKVStore, framework="llamaindex", acting=acting
):
    """The collections of a namespace; a key may contain any characters.

    Args:
        namespace: The namespace of the stored data. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    file_name: ClassVar[str] = "kvstore.json"

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Stores a value under a key."""
        self.put_all([(key, val)], collection)

    async def aput(
        self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION
    ) -> None:
        """Like `put`."""
        await self.aput_all([(key, val)], collection)

    def put_all(
        self,
        kv_pairs: list[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        """Stores values under keys, `batch_size` of them per step, each step atomically.

        Large values take more steps, each no larger than a server accepts.
        """
        for batch in _batches(kv_pairs, collection, batch_size):
            write(batch, lambda pairs: self.connection.memory.set_many(dict(pairs)))

    async def aput_all(
        self,
        kv_pairs: list[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        """Like `put_all`."""
        for batch in _batches(kv_pairs, collection, batch_size):
            await awrite(batch, lambda pairs: self.connection.async_memory.set_many(dict(pairs)))

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Returns the value of a key, or None."""
        return _value(self.connection.memory.get(key_of(collection, key)))

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Like `get`."""
        return _value(await self.connection.async_memory.get(key_of(collection, key)))

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Returns every key of a collection with its value."""
        start = key_of(collection, "")
        return {
            entry.key.removeprefix(start): from_json(entry.value)
            for entry in self.connection.memory.iter_entries(start)
        }

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Like `get_all`."""
        start = key_of(collection, "")
        return {
            entry.key.removeprefix(start): from_json(entry.value)
            async for entry in self.connection.async_memory.iter_entries(start)
        }

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Deletes a key and returns whether it existed."""
        return self.connection.memory.delete(key_of(collection, key))

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Like `delete`."""
        return await self.connection.async_memory.delete(key_of(collection, key))

    def to_dict(self) -> Collections:
        """Returns the values of all collections of the namespace, by collection and key."""
        found: Collections = {}
        for entry in self.connection.memory.iter_entries(_PREFIX):
            collection, key = _split(entry.key)
            if collection not in _RESERVED:
                found.setdefault(collection, {})[key] = from_json(entry.value)
        return found

    def add_missing(self, collections: Collections) -> None:
        """Adds values whose keys do not exist yet.

        Large ones take several steps; repeat the call after an interruption.

        Raises:
            ConflictError: The store holds a different value for one of the keys. If that was so
                before the call, nothing was written.
        """
        missing = {}
        for collection, values in collections.items():
            there = self.get_all(collection) if values else {}
            for key, value in values.items():
                if key not in there:
                    missing[key_of(collection, key)] = to_json(value, f"{key!r:.80}")
                elif there[key] != value:
                    raise ConflictError(
                        f"{key!r:.80} in collection {collection!r:.80} has another value in the "
                        "store than in the copy to load: the store has changed since the copy was "
                        "made; open the store without loading, or load into an empty namespace"
                    )
        for batch in in_batches(missing.items(), _BATCH_SIZE, size_of):
            write(batch, self._create)

    def _create(self, pairs: list[tuple[str, Any]]) -> None:
        with self.connection.memory.transaction() as transaction:
            for key, value in pairs:
                transaction.set(key, value, if_version=0)


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
        batch_size: int = _BATCH_SIZE,
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
        delete_keys(memory, self._keys(ref_doc_id, info))

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
        await adelete_keys(memory, self._keys(ref_doc_id, info))

    def _metadata_keys(self, info: docstore.RefDocInfo) -> list[str]:
        return [key_of(self._metadata_collection, id) for id in info.node_ids]

    def _moved(self, ref_doc_id: str, metadata: Mapping[str, Any]) -> list[str]:
        """Returns the nodes that belong to another document by now, whose list names them too."""
        return [
            _split(key)[1]
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


def key_of(collection: str, key: str) -> str:
    """Returns BotWire's key for a key of a collection."""
    check_string(key, "key")
    check_string(collection, "collection")
    # Both a collection's name and a key may contain slashes. Escaping those of the collection makes
    # the first slash the separator.
    return f"{_PREFIX}{collection.replace('%', '%25').replace('/', '%2F')}/{key}"


def _split(key: str) -> tuple[str, str]:
    """Returns the collection and the key that `key_of` made a key from."""
    collection, _, rest = key.removeprefix(_PREFIX).partition("/")
    return collection.replace("%2F", "/").replace("%25", "%"), rest


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _value(stored: Any) -> dict[str, Any] | None:
    value: dict[str, Any] | None = from_json(stored)
    return value


def _batches(
    pairs: list[tuple[str, dict[str, Any]]], collection: str, size: int
) -> Iterator[list[tuple[str, Any]]]:
    """Returns batches of keys and values, all converted before the first is written."""
    check_count(size, "batch_size", least=1)
    given = encode_pairs(pairs, "kv_pairs", "a key and a value")
    named = [(key_of(collection, key), to_json(value, f"{key!r:.80}")) for key, value in given]
    return in_batches(named, size, size_of)
