"""Checkpoints of tasks, from which their owner resumes after a restart."""

from __future__ import annotations

from typing import Any, Unpack

from botwire.connection import Connected, ConnectionOptions
from botwire.messages import Native, UnreadableItemError, read_native
from botwire.names import check_key, check_prefix
from botwire.off_loop import off_loop
from botwire.operations import read_ttl
from botwire.tagged import from_json, to_json
from botwire_ag2.convert import FRAMEWORK

FORMAT = 1
"""The owner's state; what JSON lacks is tagged (`botwire.tagged`)."""


class BotWireCheckpointStore(Connected, framework="ag2", shows="_prefix"):
    """AG2's `ag2.task.CheckpointStore` on BotWire: ``agent.task(…, checkpoint_store=…)``.

    A state comes back exactly as it was, including tuples, bytes, times and keys that are numbers;
    reading it creates no other objects. Only the latest state of a task is kept. AG2's ids of tasks
    are lost with a killed process; `list_tasks` returns them.

    Args:
        namespace: The namespace of the tasks. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds after which a task's last checkpoint expires; None: never.
        prefix: The prefix of the keys that hold the states.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        ttl: float | None = None,
        prefix: str = "tasks",
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self._ttl = read_ttl(ttl)
        self._prefix = check_prefix(prefix)

    async def write(self, task_id: str, state: dict[str, Any]) -> None:
        """Stores a task's state and replaces the previous one.

        Raises:
            NotJSONError: The state holds something that could not be read back; the error says
                where.
        """
        value = Native(FRAMEWORK, FORMAT, await off_loop(to_json, state, "state")).to_value()
        await self.connection.async_memory.set(self._key(task_id), value, ttl=self._ttl)

    async def read(self, task_id: str) -> dict[str, Any] | None:
        """Returns a task's last state, or None if it has none.

        Raises:
            UnreadableItemError: A newer version wrote it.
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
            raise UnreadableItemError(f"the checkpoint of task {task_id!r:.200} is not a state")
        return state

    async def delete(self, task_id: str) -> bool:
        """Deletes a task's state and says whether there was one; AG2 itself never calls this."""
        return await self.connection.async_memory.delete(self._key(task_id))

    async def list_tasks(self) -> list[str]:
        """Returns the ids of the tasks that have a state, most recently written first."""
        prefix = f"{self._prefix}/"
        found = [entry async for entry in self.connection.async_memory.iter_entries(prefix)]
        found.sort(key=lambda entry: entry.version, reverse=True)
        return [entry.key.removeprefix(prefix) for entry in found]

    def _key(self, task_id: str) -> str:
        return check_key(f"{self._prefix}/{task_id}")
