"""Imports the threads of another checkpointer, with their past and their pending writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from botwire_langgraph import layout
from botwire_langgraph.records import Thread


class Copy(NamedTuple):
    """A checkpoint of another saver.

    Attributes:
        key: The key that it is stored under here.
        config: The config that selects it.
        put: The arguments of `put`.
        writes: The other arguments of `put_writes`, one tuple per task.
    """

    key: str
    config: RunnableConfig
    put: tuple[RunnableConfig, Checkpoint, CheckpointMetadata, ChannelVersions]
    writes: Sequence[tuple[Sequence[tuple[str, Any]], str, str]]


def thread_ids(found: Sequence[CheckpointTuple]) -> list[str]:
    """Returns the ids of the threads that checkpoints belong to."""
    return list(dict.fromkeys(str(one.config["configurable"]["thread_id"]) for one in found))


def copies(found: Sequence[CheckpointTuple]) -> Iterator[Copy]:
    """Yields the checkpoints of a thread, parents first.

    Args:
        found: The checkpoints as `list` yields them, newest first.
    """
    versions: dict[tuple[str, str], ChannelVersions] = {}
    for one in reversed(found):
        configurable = one.config["configurable"]
        namespace = configurable.get("checkpoint_ns", "")
        parent = (one.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        thread = Thread(str(configurable["thread_id"]), namespace, parent)
        id = one.checkpoint["id"]
        current = one.checkpoint["channel_versions"]
        before = versions.get((namespace, parent or ""), {})
        versions[namespace, id] = current
        new = {name: version for name, version in current.items() if before.get(name) != version}
        yield Copy(
            layout.checkpoint(thread.id, namespace, id),
            thread.config(id),
            (thread.config(parent), one.checkpoint, one.metadata, new),
            _writes(one),
        )


def _writes(one: CheckpointTuple) -> list[tuple[Sequence[tuple[str, Any]], str, str]]:
    """Returns the pending writes of a checkpoint by task, with paths that keep their order."""
    tasks: dict[str, list[tuple[str, Any]]] = {}
    for task_id, channel, value in one.pending_writes or ():
        tasks.setdefault(task_id, []).append((channel, value))
    return [
        (writes, task_id, f"{position:08}")
        for position, (task_id, writes) in enumerate(tasks.items())
    ]
