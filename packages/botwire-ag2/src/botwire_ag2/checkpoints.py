"""Checkpoints of tasks: where their owner goes on after a restart."""

from __future__ import annotations

from typing import Any

import botwire
from botwire import AsyncMemory
from botwire.connection import Connection
from botwire.messages import Native, UnreadableItemError, read_native
from botwire.names import check_key
from botwire.off_loop import off_loop
from botwire.operations import check_ttl
from botwire.tagged import from_json, to_json
from botwire_ag2.convert import FRAMEWORK

FORMAT = 1
"""The owner's state; what JSON lacks is tagged (`botwire.tagged`)."""


class BotWireCheckpointStore:
    """AG2's `ag2.task.CheckpointStore` on BotWire: ``agent.task(…, checkpoint_store=…)``.

    A state comes back as it was, tuples, bytes, times and numbers as keys included, and nothing
    else is made of what is stored. A task's latest state is kept; `list_tasks` says of which
    tasks, as AG2 gives them ids that a killed process takes with it.

    Args:
        namespace: Whose tasks.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server.
        ttl: Seconds after its last checkpoint that a task's is gone; None keeps them for good.
        prefix: What the names of the keys begin with.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        ttl: float | None = None,
        prefix: str = "tasks",
    ) -> None:
        self.connection = Connection(namespace, client=client, url=url, api_key=api_key)
        if ttl is not None:
            check_ttl(ttl)
        self._ttl = ttl
        self._prefix = check_key(prefix)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.connection.namespace!r}, prefix={self._prefix!r})"

    async def write(self, task_id: str, state: dict[str, Any]) -> None:
        """Stores a task's state, in the place of the one before.

        Raises:
            NotJSONError: It holds what would not come back; it says where.
        """
        value = Native(FRAMEWORK, FORMAT, await off_loop(to_json, state, "state")).to_value()
        await self.connection.async_memory.set(self._key(task_id), value, ttl=self._ttl)

    async def read(self, task_id: str) -> dict[str, Any] | None:
        """Returns a task's last state, None if it has none.

        Raises:
            UnreadableItemError: It was written by a newer version.
        """
        value = await self.connection.async_memory.get(self._key(task_id))
        if value is None:
            return None
        try:
            data = read_native(value, framework=FRAMEWORK, formats=(FORMAT,))
            state = await off_loop(from_json, data)
        except ValueError as error:
            raise UnreadableItemError(
                f"the checkpoint of task {task_id!r:.200} cannot be read: {error}"
            ) from error
        if not isinstance(state, dict):
            raise UnreadableItemError(f"the checkpoint of task {task_id!r:.200} is no state")
        return state

    async def delete(self, task_id: str) -> bool:
        """Deletes a task's state and says whether there was one; AG2 does so for no task."""
        return await self.connection.async_memory.delete(self._key(task_id))

    async def list_tasks(self) -> list[str]:
        """Returns the ids of the tasks that have a state, the last written first."""
        prefix = f"{self._prefix}/"
        found = [entry async for entry in self.connection.async_memory.iter_entries(prefix)]
        found.sort(key=lambda entry: entry.version, reverse=True)
        return [entry.key.removeprefix(prefix) for entry in found]

    def _key(self, task_id: str) -> str:
        return check_key(f"{self._prefix}/{task_id}")
