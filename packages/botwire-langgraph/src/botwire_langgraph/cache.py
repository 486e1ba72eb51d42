"""What nodes and tasks returned, as LangGraph's cache."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, Unpack

from langgraph.cache.base import BaseCache, FullKey, Namespace
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import ConfigurationError, PayloadTooLargeError
from botwire.arguments import check_mapping, check_type
from botwire.client.encoding import encode_list
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_prefix, check_string, join_parts, shown
from botwire.off_loop import off_loop
from botwire.operations import PART, DeleteKey, PutKey, check_ttl
from botwire.splitting import in_batches
from botwire_langgraph.acting import acting
from botwire_langgraph.running import BatchProgram, arun, run
from botwire_langgraph.runs import calling_graph
from botwire_langgraph.schemas import allow
from botwire_langgraph.serializer import from_blob_exactly, read_serde, to_blob

logger = logging.getLogger("botwire.langgraph")

V = TypeVar("V")

_MOST_PARTS = 4
"""Longest namespace whose parts fit in a key; LangGraph's own have three."""


class BotWireCache(Connected, BaseCache[V], framework="langgraph", acting=acting, shows="prefix"):
    """A cache of what nodes and tasks returned, which all processes share.

    Pass it as ``cache=`` to `create_agent`, `StateGraph.compile` or `entrypoint`, and give nodes
    and tasks a `CachePolicy`.

    A value that cannot be read, or would not come back as it was, counts as missing: a warning is
    logged, and the node runs again. A value that cannot be stored is not cached. Stored data is
    never executed; see `BotWireSaver` for the classes that are restored.

    Args:
        namespace: The namespace of the cache. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: The prefix of the cache's keys in the namespace; other keys are left alone.
        serde: A serializer to use instead of the strict one.
        allowed_types: Your own classes that may be restored from stored data, besides those that
            the graph names.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        prefix: str = "node-cache/",
        serde: SerializerProtocol | None = None,
        allowed_types: Collection[type] = (),
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if not check_prefix(prefix):
            raise ConfigurationError(
                "prefix must not be empty: clear() would delete every key of the namespace"
            )
        BaseCache.__init__(self, serde=read_serde(serde, allowed_types))
        super().__init__(namespace, **connection)
        self.prefix = prefix

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, V]:
        """Returns the values of those keys that have one."""
        wanted = self._wanted(keys)
        allow(self, calling_graph())
        return self._values(wanted, self.connection.memory.get_many(wanted.values()))

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, V]:
        """Like `get`."""
        wanted = self._wanted(keys)
        allow(self, calling_graph())
        found = await self.connection.async_memory.get_many(wanted.values())
        return await off_loop(self._values, wanted, found)

    def set(self, pairs: Mapping[FullKey, tuple[V, int | None]]) -> None:
        """Sets keys, each to a value and the seconds until it expires, or None for never."""
        run(self.connection, _store(self._puts(self._given(pairs))))

    async def aset(self, pairs: Mapping[FullKey, tuple[V, int | None]]) -> None:
        """Like `set`."""
        puts = await off_loop(self._puts, self._given(pairs))
        await arun(self.connection, _store(puts))

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Deletes the values of these namespaces; None: every value of this cache."""
        for prefix in self._prefixes(namespaces):
            self.connection.memory.clear(prefix + "*")

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Like `clear`."""
        for prefix in self._prefixes(namespaces):
            await self.connection.async_memory.clear(prefix + "*")

    def _wanted(self, keys: Sequence[FullKey]) -> dict[FullKey, str]:
        """Returns the key in the namespace of each key of LangGraph's."""
        listed = enumerate(encode_list(keys, "keys", "pairs of a namespace and a key"))
        return dict(self._named(key, f"keys[{i}]") for i, key in listed)

    def _named(self, given: Any, what: str) -> tuple[FullKey, str]:
        if not (isinstance(given, tuple) and len(given) == 2):
            raise ConfigurationError(
                f"{what} must be a pair of a namespace and a key, not {shown(given)}"
            )
        namespace, key = given
        folder = self._folder(namespace, f"{what}[0]")
        name = folder + join_parts(check_string(key, f"{what}[1]"))
        return (tuple(namespace), key), name

    def _folder(self, namespace: Namespace, what: str) -> str:
        """Returns the prefix of exactly the keys of a namespace."""
        parts = check_type(namespace, (tuple, list), what, "a tuple of strings")
        # With their number, no namespace's prefix is the beginning of another's.
        if len(parts) > _MOST_PARTS:
            return f"{self.prefix}{len(parts)}/{join_parts(join_parts(*parts))}/"
        return f"{self.prefix}{join_parts(str(len(parts)), *parts)}/"

    def _prefixes(self, namespaces: Sequence[Namespace] | None) -> list[str]:
        if namespaces is None:
            return [self.prefix]
        listed = enumerate(encode_list(namespaces, "namespaces", "tuples of strings"))
        return [self._folder(one, f"namespaces[{i}]") for i, one in listed]

    def _values(self, wanted: Mapping[FullKey, str], found: Mapping[str, Any]) -> dict[FullKey, V]:
        values: dict[FullKey, V] = {}
        for full_key, key in wanted.items():
            if key not in found:
                continue
            try:
                blob = check_type(found[key], bytes, "it", "bytes")
                values[full_key] = from_blob_exactly(self.serde, blob)
            except Exception as error:  # noqa: BLE001 - whatever it is, the node can run again
                logger.warning(
                    "The value that is cached under %r cannot be used, so it is made again: %s",
                    *(full_key, error),
                )
        return values

    def _given(self, pairs: Mapping[FullKey, tuple[V, int | None]]) -> list[_Given]:
        given = []
        for full_key, pair in check_mapping(pairs, "pairs").items():
            key, name = self._named(full_key, "a key of pairs")
            if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
                raise ConfigurationError(
                    f"pairs[{shown(key)}] must be a pair of a value and a ttl, not {shown(pair)}"
                )
            value, ttl = pair
            # What lives for no time is gone at once, in LangGraph's own caches as well.
            expired = isinstance(ttl, (int, float)) and ttl <= 0
            if ttl is not None and not expired:
                check_ttl(ttl)
            given.append(_Given(key, name, value, ttl, expired))
        return given

    def _puts(self, given: Sequence[_Given]) -> list[_Put]:
        puts = []
        for one in given:
            # What was cached before is deleted if nothing replaces it.
            put = _Put(one.full_key, DeleteKey(one.key), len(one.key))
            if not one.expired:
                try:
                    blob = to_blob(self.serde, one.value)
                    put = _Put(one.full_key, PutKey(one.key, blob, one.ttl), len(blob) * 4 // 3)
                except Exception as error:  # noqa: BLE001 - it would fail a run that is over
                    _warn_of_put(one.full_key, error)
            puts.append(put)
        return puts


class _Given(NamedTuple):
    """A value to cache, whose key and ttl are valid."""

    full_key: FullKey
    key: str
    value: Any
    ttl: float | None
    expired: bool


class _Put(NamedTuple):
    """The operation that caches a value, or deletes the one that was cached.

    Attributes:
        size: About how many bytes it takes in a request: bytes are sent as Base64.
    """

    full_key: FullKey
    operation: PutKey | DeleteKey
    size: int


def _store(puts: Sequence[_Put]) -> BatchProgram[None]:
    for batch in in_batches(puts, PART, lambda put: put.size):
        yield from _store_batch(batch)


def _store_batch(batch: Sequence[_Put]) -> BatchProgram[None]:
    try:
        yield tuple(put.operation for put in batch)
    except PayloadTooLargeError as error:
        if len(batch) == 1:
            _warn_of_put(batch[0].full_key, error)
            return
        for one in batch:
            yield from _store_batch([one])


def _warn_of_put(full_key: FullKey, error: Exception) -> None:
    logger.warning(
        "What a node or task returned is not cached under %r, so it will run again: %s",
        *(full_key, error),
    )
