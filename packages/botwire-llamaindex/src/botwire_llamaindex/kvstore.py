"""The document and index stores of LlamaIndex's `StorageContext`, on BotWire's keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Unpack

from llama_index.core.storage.docstore.keyval_docstore import KVDocumentStore
from llama_index.core.storage.index_store.keyval_index_store import KVIndexStore
from llama_index.core.storage.kvstore.types import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_COLLECTION,
    BaseKVStore,
)

from botwire.connection import Connected, ConnectionOptions, takes_connection
from botwire.operations import check_count
from botwire.tagged import from_json, to_json
from botwire_llamaindex.batches import awrite, in_batches, size_of, write
from botwire_llamaindex.place import MadeFromPlace

_PREFIX = "llamaindex/"
_BATCH_SIZE = 100


class BotWireKVStore(Connected, MadeFromPlace, BaseKVStore, framework="llamaindex"):
    """The collections of a namespace; a key may contain any characters.

    Args:
        namespace: Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

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


class BotWireDocumentStore(MadeFromPlace, KVDocumentStore):
    """The documents and nodes of a namespace, for ``StorageContext.from_defaults(docstore=…)``.

    Args:
        namespace: Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        name: Separates several stores of a namespace. Defaults to ``docstore``.
        batch_size: Number of nodes written in one step; fewer if they are large.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

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


class BotWireIndexStore(MadeFromPlace, KVIndexStore):
    """The indexes of a namespace, for ``StorageContext.from_defaults(index_store=…)``.

    Args:
        namespace: Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        name: Separates several stores of a namespace. Defaults to ``index_store``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

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


def key_of(collection: str, key: str) -> str:
    """Returns BotWire's key for a key of a collection."""
    # Both a collection's name and a key may contain slashes. Escaping those of the collection makes
    # the first slash the separator.
    return f"{_PREFIX}{collection.replace('%', '%25').replace('/', '%2F')}/{key}"


def _value(stored: Any) -> dict[str, Any] | None:
    value: dict[str, Any] | None = from_json(stored)
    return value


def _batches(
    pairs: list[tuple[str, dict[str, Any]]], collection: str, size: int
) -> Iterator[list[tuple[str, Any]]]:
    """Returns batches of keys and values, all converted before the first is written."""
    check_count(size, "batch_size", least=1)
    named = [(key_of(collection, key), to_json(value, f"{key!r:.80}")) for key, value in pairs]
    return in_batches(named, size, size_of)
