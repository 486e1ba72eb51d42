"""Bytes by key, as a LangChain store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from langchain_core.stores import ByteStore

from botwire import ConfigurationError
from botwire.client.encoding import encode_list, encode_pairs
from botwire.connection import Connected, ConnectionOptions
from botwire.deleting import adelete_in_parts, delete_in_parts
from botwire.names import check_prefix, check_string
from botwire.operations import read_ttl
from botwire.splitting import awrite, in_batches, write

_BATCH = 1_000  # keys per request


class BotWireByteStore(Connected, ByteStore, framework="langchain", shows="prefix"):
    """A byte store on BotWire, for example for `CacheBackedEmbeddings`.

    Args:
        namespace: The namespace of the values. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: The prefix of the store's keys in the namespace; other keys are left alone.
        ttl: Seconds until a value expires; None: never.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        prefix: str = "bytes/",
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self.prefix = check_prefix(prefix)
        self.ttl = read_ttl(ttl)

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Returns the value of each key, or None where there is none."""
        inside = self._inside(keys)
        found = self.connection.memory.get_many(inside)
        return [found.get(key) for key in inside]

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Like `mget`."""
        inside = self._inside(keys)
        found = await self.connection.async_memory.get_many(inside)
        return [found.get(key) for key in inside]

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Sets keys: all or none of a few, and many large ones in several steps."""
        memory = self.connection.memory
        for batch in in_batches(self._bytes(key_value_pairs).items(), _BATCH, _size):
            write(batch, lambda pairs: memory.set_many(dict(pairs), ttl=self.ttl))

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Like `mset`."""
        memory = self.connection.async_memory
        for batch in in_batches(self._bytes(key_value_pairs).items(), _BATCH, _size):
            await awrite(batch, lambda pairs: memory.set_many(dict(pairs), ttl=self.ttl))

    def mdelete(self, keys: Sequence[str]) -> None:
        """Deletes keys that exist: all or none of a few, and many in several steps."""
        delete_in_parts(self.connection.memory, self._inside(keys))

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Like `mdelete`."""
        await adelete_in_parts(self.connection.async_memory, self._inside(keys))

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yields the keys that start with `prefix`, in order."""
        for key in self.connection.memory.iter_keys(self._pattern(prefix)):
            yield key.removeprefix(self.prefix)

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """Like `yield_keys`."""
        async for key in self.connection.async_memory.iter_keys(self._pattern(prefix)):
            yield key.removeprefix(self.prefix)

    def _inside(self, keys: Sequence[str]) -> list[str]:
        return [self.prefix + check_string(key, "key") for key in encode_list(keys, "keys")]

    def _bytes(self, given: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
        pairs = encode_pairs(given, "key_value_pairs", "a key and bytes")
        for key, value in pairs:
            check_string(key, "key")
            if not isinstance(value, (bytes, bytearray, memoryview)):
                raise ConfigurationError(
                    f"a byte store takes bytes, but {key!r:.80} is a {type(value).__name__}"
                )
        return {self.prefix + key: value for key, value in pairs}

    def _pattern(self, prefix: str | None) -> str:
        # The client ignores one star at the end, so a prefix that ends with a star keeps it.
        return f"{self.prefix}{check_string(prefix or '', 'prefix')}*"


def _size(pair: tuple[str, bytes]) -> int:
    key, value = pair
    return len(key) + len(value) * 4 // 3  # Base64
