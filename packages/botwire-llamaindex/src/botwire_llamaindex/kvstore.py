"""LlamaIndex's key-value store, on BotWire's keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from llama_index.core.storage.kvstore.types import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_COLLECTION,
    BaseKVStore,
)

from botwire import ConflictError
from botwire.client.encoding import encode_pairs
from botwire.connection import Connected
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
BATCH_SIZE = 100
"""The most values in one request."""


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
            collection, key = split_key(entry.key)
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
        for batch in in_batches(missing.items(), BATCH_SIZE, size_of):
            write(batch, self._create)

    def _create(self, pairs: list[tuple[str, Any]]) -> None:
        with self.connection.memory.transaction() as transaction:
            for key, value in pairs:
                transaction.set(key, value, if_version=0)


def key_of(collection: str, key: str) -> str:
    """Returns BotWire's key for a key of a collection."""
    check_string(key, "key")
    check_string(collection, "collection")
    # Both a collection's name and a key may contain slashes. Escaping those of the collection makes
    # the first slash the separator.
    return f"{_PREFIX}{collection.replace('%', '%25').replace('/', '%2F')}/{key}"


def split_key(key: str) -> tuple[str, str]:
    """Returns the collection and the key that `key_of` made a key from."""
    collection, _, rest = key.removeprefix(_PREFIX).partition("/")
    return collection.replace("%2F", "/").replace("%25", "%"), rest


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
