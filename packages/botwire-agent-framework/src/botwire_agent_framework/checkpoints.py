"""Agent Framework's checkpoint storage."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

from agent_framework import WorkflowCheckpoint
from agent_framework.exceptions import WorkflowCheckpointException

from botwire import ConflictError, Entry, NotJSONError
from botwire import operations as ops
from botwire.arguments import check_type
from botwire.connection import Connected, ConnectionOptions
from botwire.exact import decode, encode
from botwire.messages import Native, read_native
from botwire.names import check_key, check_prefix, join_parts
from botwire.off_loop import off_loop
from botwire.operations import read_ttl
from botwire_agent_framework.convert import FRAMEWORK
from botwire_agent_framework.objects import Objects

FORMAT = 1
"""``WorkflowCheckpoint.to_dict()``; `botwire_agent_framework.objects` tags what JSON lacks."""

logger = logging.getLogger("botwire.agent_framework")

_TRIES = 100
_PACKED_FROM = 64 * 1024
_MOST_UNPACKED = 1024**3
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)


class BotWireCheckpointStorage(Connected, framework="agent-framework", shows="_prefix"):
    """Agent Framework's checkpoint storage on BotWire: ``WorkflowBuilder(checkpoint_storage=…)``.

    Each checkpoint is a key, and the keys of a workflow sort by time, so the latest is found
    without reading the others. A checkpoint is stored in one step with the key that finds it by its
    id, and saving it again changes nothing. Its contents are restored exactly, objects included.
    Nothing is unpickled: only Agent Framework's values and classes in `types` are ever created.

    Args:
        namespace: The namespace of the workflows. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        types: Your own classes in messages, state, requests and responses of executors:
            dataclasses, pydantic models, enums, named tuples, plain classes.
        ttl: Seconds until a checkpoint expires; None: never.
        prefix: The prefix of the keys.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        types: Iterable[type] = (),
        ttl: float | None = None,
        prefix: str = "workflow",
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self._objects = Objects(types)
        self._ttl = read_ttl(ttl)
        self._prefix = check_prefix(prefix)

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        """Stores a checkpoint, replacing one with the same id, and returns its id.

        Raises:
            WorkflowCheckpointException: The checkpoint holds something that cannot be restored; the
                error says what and where.
        """
        name = self._name(check_type(checkpoint, WorkflowCheckpoint, "checkpoint"))
        try:
            value = await off_loop(self._written, checkpoint)
        except NotJSONError as error:
            raise WorkflowCheckpointException(
                f"checkpoint {checkpoint.checkpoint_id} cannot be stored: {error}"
            ) from error
        by_id = self._by_id(checkpoint.checkpoint_id)
        for again in range(_TRIES):
            tx = self.connection.async_memory.transaction()
            try:
                async with tx:
                    before = await tx.get(by_id) if again else None
                    if before not in (None, name):
                        tx.delete(before)
                    tx.set(name, value, ttl=self._ttl)
                    # The checkpoint is nearly always new, and then this takes one request.
                    tx.set(by_id, name, ttl=self._ttl, if_version=None if again else 0)
            except ConflictError:
                continue
            return checkpoint.checkpoint_id
        raise ConflictError(
            f"checkpoint {checkpoint.checkpoint_id!r:.200} is being written by others: try again"
        )

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """Returns a checkpoint.

        Raises:
            WorkflowCheckpointException: No checkpoint has this id, or it cannot be read.
        """
        memory = self.connection.async_memory
        by_id, before = self._by_id(checkpoint_id), None
        while (name := await memory.get(by_id)) not in (None, before):
            entry = await memory.entry(name)
            if entry is not None:
                return await off_loop(self._read, entry.value, checkpoint_id)
            before = name  # moved or deleted meanwhile; reading the id again tells which
        raise WorkflowCheckpointException(f"No checkpoint found with ID {checkpoint_id}")

    async def delete(self, checkpoint_id: str) -> bool:
        """Deletes a checkpoint and returns whether there was one."""
        by_id = self._by_id(checkpoint_id)
        for _ in range(_TRIES):
            tx = self.connection.async_memory.transaction()
            try:
                async with tx:
                    name = await tx.get(by_id)
                    if name is None:
                        return False
                    tx.delete(name)
                    tx.delete(by_id)
            except ConflictError:
                continue
            return True
        raise ConflictError(
            f"checkpoint {checkpoint_id!r:.200} is being written by others: try again"
        )

    async def list_checkpoints(self, *, workflow_name: str) -> list[WorkflowCheckpoint]:
        """Returns a workflow's checkpoints, oldest first; logs and skips unreadable ones."""
        found = []
        async for entry in self.connection.async_memory.iter_entries(self._of(workflow_name)):
            try:
                found.append(await off_loop(self._read, entry.value, entry.key))
            except WorkflowCheckpointException as error:
                logger.warning("a checkpoint is left out: %s", error)
        return found

    async def get_latest(self, *, workflow_name: str) -> WorkflowCheckpoint | None:
        """Returns a workflow's latest checkpoint, None if it has none.

        Raises:
            WorkflowCheckpointException: The checkpoint cannot be read. Resuming from an earlier one
                would repeat completed work.
        """
        memory = self.connection.async_memory
        newest = ops.ScanKeys(self._of(workflow_name), limit=1, descending=True)
        (page,) = await memory.engine.apply(ops.Batch(memory.namespace, (newest,)))
        for entry in page.entries:
            return await off_loop(self._read, Entry.of(entry).value, entry.key)
        return None

    async def list_checkpoint_ids(self, *, workflow_name: str) -> list[str]:
        """Returns the ids of a workflow's checkpoints, oldest first."""
        of = self._of(workflow_name)
        names = await self.connection.async_memory.list_keys(of)
        return [name.removeprefix(of).partition("/")[2] for name in names]

    def _written(self, checkpoint: WorkflowCheckpoint) -> Any:
        return _pack(Native(FRAMEWORK, FORMAT, self._objects.to_data(checkpoint)).to_value())

    def _read(self, value: Any, which: str) -> WorkflowCheckpoint:
        try:
            data = read_native(_unpack(value), framework=FRAMEWORK, formats=(FORMAT,))
            return self._objects.from_data(data)
        except Exception as error:  # a class may refuse a state with any error
            raise WorkflowCheckpointException(
                f"checkpoint {which} cannot be read: {error}"
            ) from error

    def _of(self, workflow: str) -> str:
        """Returns the prefix of the names of a workflow's checkpoints."""
        return f"{self._prefix}/{join_parts(workflow)}/"

    def _name(self, checkpoint: WorkflowCheckpoint) -> str:
        """Returns the name of a checkpoint's key, which sorts by its time."""
        try:
            at = datetime.fromisoformat(checkpoint.timestamp)
        except (TypeError, ValueError) as error:
            raise WorkflowCheckpointException(
                f"the timestamp of a checkpoint must be ISO 8601, not {checkpoint.timestamp!r:.100}"
            ) from error
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        micros = (at - _EPOCH) // timedelta(microseconds=1)
        name = f"{self._of(checkpoint.workflow_name)}{micros:018}/{checkpoint.checkpoint_id}"
        return check_key(name)

    def _by_id(self, checkpoint_id: str) -> str:
        return check_key(f"{self._prefix}-ids/{checkpoint_id}")


def _pack(value: dict[str, Any]) -> Any:
    """Returns a small value unchanged, and a large one compressed.

    Compression pays off: a checkpoint holds a conversation several times, and so does the next one.
    """
    text = encode(value, "checkpoint")
    if len(text) > _MOST_UNPACKED:
        raise NotJSONError(
            f"it has {len(text)} bytes, more than the {_MOST_UNPACKED} that can be read back"
        )
    return value if len(text) < _PACKED_FROM else zlib.compress(text.encode("ascii"), level=1)


def _unpack(stored: Any) -> Any:
    if not isinstance(stored, bytes):
        return stored
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(stored, _MOST_UNPACKED)
    if not unpacking.eof:
        raise ValueError("it is truncated or too large")
    return decode(text.decode("ascii"))
