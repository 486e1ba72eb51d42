"""The files of the harness's memory, each a key."""

from __future__ import annotations

import uuid
from typing import Any

from pydantic_ai_harness.memory import (
    MemoryConflictError,
    MemoryFile,
    MemoryMutation,
    MemoryOperation,
    MemoryOperationConflictError,
)

from botwire import ConfigurationError, ConflictError
from botwire.arguments import check_type
from botwire.connection import Connected
from botwire.names import check_prefix, check_string
from botwire.operations import check_count

_FILES = "pydantic-ai/files/"
_OPERATIONS = "pydantic-ai/operations/"
_REMEMBERED = 30 * 24 * 3600.0
"""Seconds during which a repeated operation returns its first result."""


class BotWireMemoryStore(Connected, framework="pydantic-ai"):
    """A `MemoryStore` of Pydantic AI's harness on BotWire, for any number of processes.

    A write is applied only to the version it was made for, and a repeated operation returns its
    first result for thirty days. File and result are stored in one transaction.

    Args:
        namespace: The namespace of the memories. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    async def read(self, path: str, *, max_chars: int) -> MemoryFile | None:
        """Returns a file, or None.

        Args:
            path: Its path.
            max_chars: The most characters of its content to return.
        """
        check_count(max_chars, "max_chars", least=1)
        value = await self.connection.async_memory.get(_FILES + _checked(path))
        if value is None:
            return None
        content = value["content"]
        return MemoryFile(
            content=content[:max_chars],
            version=value["version"],
            operation_id=value["operation"],
            truncated=len(content) > max_chars,
        )

    async def get_operation(self, operation: MemoryOperation) -> MemoryMutation | None:
        """Returns the result of an operation, or None if it was not applied.

        Raises:
            MemoryOperationConflictError: The operation had other arguments.
        """
        key = _OPERATIONS + check_type(operation, MemoryOperation, "operation").id
        return _replayed(await self.connection.async_memory.get(key), operation)

    async def write(
        self,
        path: str,
        content: str,
        *,
        expected_version: str | None,
        operation: MemoryOperation | None = None,
    ) -> MemoryMutation:
        """Creates or replaces a file.

        Args:
            path: Its path.
            content: Its content.
            expected_version: The version it must have; None: it must not exist.
            operation: Makes a retry safe: a repeated operation is not applied again.

        Raises:
            MemoryConflictError: The file has another version.
            MemoryOperationConflictError: The operation had other arguments.
        """
        value = {
            "content": check_type(content, str, "content"),
            "version": uuid.uuid4().hex,
            "operation": getattr(operation, "id", None),
        }
        return await self._mutate(path, value, expected_version, operation)

    async def delete(
        self,
        path: str,
        *,
        expected_version: str | None,
        operation: MemoryOperation | None = None,
    ) -> MemoryMutation:
        """Deletes a file; see `write`."""
        return await self._mutate(path, None, expected_version, operation)

    async def list_paths(self, prefix: str = "", *, limit: int) -> list[str]:
        """Returns the paths that start with a prefix, sorted.

        Args:
            prefix: The prefix; empty: all.
            limit: The most paths to return.
        """
        check_count(limit, "limit", least=1)
        if check_prefix(prefix):
            _checked(prefix.removesuffix("/"))
        paths: list[str] = []
        async for key in self.connection.async_memory.iter_keys(f"{_FILES}{prefix}*"):
            paths.append(key.removeprefix(_FILES))
            if len(paths) == limit:
                break
        return paths

    async def _mutate(
        self,
        path: str,
        value: dict[str, Any] | None,
        expected_version: str | None,
        operation: MemoryOperation | None,
    ) -> MemoryMutation:
        key = _FILES + _checked(path)
        if operation is not None:
            check_type(operation, MemoryOperation, "operation")
        while True:
            try:
                async with self.connection.async_memory.transaction() as tx:
                    if operation is not None:
                        receipt = await tx.get(_OPERATIONS + operation.id)
                        if (done := _replayed(receipt, operation)) is not None:
                            return done
                    stored = await tx.get(key)
                    if (stored["version"] if stored else None) != expected_version:
                        raise MemoryConflictError(f"memory path {path!r} has another version")
                    version = None if value is None else value["version"]
                    if value is not None:
                        tx.set(key, value)
                    elif stored is not None:
                        tx.delete(key)
                    if operation is not None:
                        result = [operation.fingerprint, version, stored is not None]
                        tx.set(_OPERATIONS + operation.id, result, ttl=_REMEMBERED)
            except ConflictError:
                continue  # another writer was faster: the version tells
            return MemoryMutation(version=version, replayed=False, existed=stored is not None)


def _checked(path: str) -> str:
    segments = check_string(path, "memory path").split("/")
    if any(not one or one == "." or ".." in one or len(one) > 200 for one in segments):
        raise ConfigurationError(f"invalid memory path: {path!r:.300}")
    return path


def _replayed(receipt: Any, operation: MemoryOperation) -> MemoryMutation | None:
    if receipt is None:
        return None
    fingerprint, version, existed = receipt
    if fingerprint != operation.fingerprint:
        raise MemoryOperationConflictError(
            f"operation id {operation.id!r} was used before with other arguments"
        )
    return MemoryMutation(version=version, replayed=True, existed=existed)
