"""Bytes under string keys: what Strands' snapshots and offloaded contexts are stored in."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Unpack

from strands.storage import Storage, storage
from strands.types.exceptions import StorageError

from botwire import BotWireError
from botwire.arguments import check_type
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_prefix, check_string


class BotWireStorage(Connected, Storage, framework="strands", shows="prefix"):
    """A `strands.storage.Storage` on BotWire, for ``Agent(storage=…)``.

    Args:
        namespace: The namespace of the data. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: What the keys begin with in the namespace; other keys are left alone.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    # Strands adds a prefix of its own to a storage, unless this marks that the user gave it one.
    _namespaced: object = None

    def __init__(
        self,
        namespace: str | None = None,
        *,
        prefix: str = "strands/",
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self.prefix = check_prefix(prefix)

    async def write(self, key: str, data: bytes) -> None:
        """Stores data under a key, durably; what was there is replaced.

        Raises:
            StorageError: It was not stored; the error says why.
        """
        async with _explained(key):
            # Of a number, `bytes` would make that many zeros.
            check_type(data, (bytes, bytearray, memoryview), "data", "bytes")
            await self.connection.async_memory.set(self._key(key), bytes(data))

    async def read(self, key: str) -> bytes | None:
        """Returns what is stored under a key, or None if nothing is.

        Raises:
            StorageError: It could not be read; the error says why.
        """
        async with _explained(key):
            value = await self.connection.async_memory.get(self._key(key))
        if value is not None and not isinstance(value, bytes):
            raise StorageError(f"{key!r} holds a value that another program wrote, not bytes")
        return value

    async def delete(self, key: str) -> None:
        """Deletes a key, if it exists.

        Raises:
            StorageError: It could not be deleted; the error says why.
        """
        async with _explained(key):
            await self.connection.async_memory.delete(self._key(key))

    async def list(self, query: str = "") -> builtins.list[str]:
        """Returns the keys that begin with `query`, sorted.

        Raises:
            StorageError: They could not be listed; the error says why.
        """
        prefix = self.prefix + check_string(query, "query")
        async with _explained(query):
            # An asterisk at the end of a prefix means nothing to the core, but is part of a key.
            keys = [key async for key in self.connection.async_memory.iter_keys(prefix)]
        return [key[len(self.prefix) :] for key in keys if key.startswith(prefix)]

    def namespace(self, prefix: str) -> BotWireStorage:
        """Returns a storage whose keys are those below a prefix of this one."""
        inner = BotWireStorage.__new__(BotWireStorage)
        inner.connection = self.connection
        inner.prefix = f"{self.prefix}{check_string(prefix, 'prefix').strip('/')}/"
        inner._namespaced = getattr(storage, "_NAMESPACED", None)  # noqa: SLF001 - our own
        return inner

    def _key(self, key: str) -> str:
        if not isinstance(key, str) or not key:
            raise StorageError(f"a key must be a non-empty string: {key!r}")
        return self.prefix + key


@asynccontextmanager
async def _explained(key: str) -> AsyncIterator[None]:
    try:
        yield
    except (BotWireError, TypeError) as error:
        raise StorageError(f"{key!r}: {error}") from error
