"""The values stored under the keys: checkpoints, channel values and pending writes."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import ConfigurationError
from botwire import operations as ops
from botwire.arguments import check_mapping, check_type
from botwire.exact import Json
from botwire.list_parts import Span
from botwire_langgraph import layout


def configurable_of(config: object, what: str = "config") -> Mapping[str, Any]:
    """Returns the part of a config that selects a thread; raises `ConfigurationError` without."""
    inner = check_mapping(config, what).get("configurable")
    return check_mapping(inner, f"{what}['configurable']")


def thread_id_of(given: object) -> str:
    """Returns the id of a thread, which may also be given as an int or a UUID.

    Raises:
        ConfigurationError: It is None, so that callers that forget it would all share one thread;
            or it cannot be an id.
    """
    check_type(given, Hashable, "thread_id", "a string")
    if given is None:
        raise ConfigurationError(
            "the thread_id is missing: give each conversation its own, for example "
            "{'configurable': {'thread_id': 'user-42'}}"
        )
    return str(given)


class Thread(NamedTuple):
    """The thread, namespace and checkpoint that a config selects; the checkpoint may be None."""

    id: str
    namespace: str
    checkpoint_id: str | None

    @classmethod
    def of(cls, config: RunnableConfig) -> Thread:
        """Reads a config.

        Raises:
            ConfigurationError: It selects no thread.
        """
        configurable = configurable_of(config)
        checkpoint_id = configurable.get("checkpoint_id")
        return cls(
            thread_id_of(configurable.get("thread_id")),
            check_type(configurable.get("checkpoint_ns", ""), str, "checkpoint_ns"),
            check_type(checkpoint_id, str, "checkpoint_id") if checkpoint_id else None,
        )

    def config(self, checkpoint_id: str | None) -> RunnableConfig:
        """Returns the config that selects a checkpoint of this thread; None: no checkpoint yet."""
        return {
            "configurable": {
                "thread_id": self.id,
                "checkpoint_ns": self.namespace,
                "checkpoint_id": checkpoint_id,
            }
        }


class Header(NamedTuple):
    """A checkpoint without the values of its channels.

    Attributes:
        lists: The recipes of channels stored in parts that were known when the checkpoint was
            put. Other recipes are stored with their channel's value.
        ends: The greatest part number of each channel at that time.
    """

    thread: Thread
    id: str
    parent: str | None
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    lists: Mapping[str, Sequence[Span]]
    ends: Mapping[str, int]

    def to_value(self, serde: SerializerProtocol) -> ops.Value:
        """Returns the value to store."""
        return Json.of(
            {
                "thread_id": self.thread.id,
                "checkpoint_ns": self.thread.namespace,
                "id": self.id,
                "parent": self.parent,
                "checkpoint": _text(serde, self.checkpoint),
                "metadata": _text(serde, self.metadata),
                "lists": self.lists,
                "ends": self.ends,
            }
        )

    @classmethod
    def from_value(cls, value: ops.Value, serde: SerializerProtocol) -> Header:
        """Reads a stored value."""
        kept = cast("Json", value).value
        return cls(
            Thread(kept["thread_id"], kept["checkpoint_ns"], kept["id"]),
            kept["id"],
            kept["parent"],
            _from_text(serde, kept["checkpoint"]),
            _from_text(serde, kept["metadata"]),
            kept["lists"],
            kept["ends"],
        )

    def blobs(self) -> dict[str, str]:
        """Returns the keys of the channels' values, by channel."""
        versions = self.checkpoint["channel_versions"]
        return {
            channel: layout.blob(self.thread.id, self.thread.namespace, channel, version)
            for channel, version in versions.items()
        }

    def part(self, channel: str, number: int) -> str:
        """Returns the key of a part of a channel's lists."""
        return layout.part(self.thread.id, self.thread.namespace, channel, number)

    @property
    def key(self) -> str:
        """The key that this is stored under."""
        return layout.checkpoint(self.thread.id, self.thread.namespace, self.id)

    def to_tuple(
        self, values: Mapping[str, Any], writes: Iterable[ops.KeyEntry], serde: SerializerProtocol
    ) -> CheckpointTuple:
        """Returns the checkpoint as LangGraph expects it.

        Args:
            values: The channels' values.
            writes: The pending writes.
            serde: Deserializes the pending writes.
        """
        checkpoint = cast("Checkpoint", {**self.checkpoint, "channel_values": dict(values)})
        return CheckpointTuple(
            config=self.thread.config(self.id),
            checkpoint=checkpoint,
            metadata=self.metadata,
            parent_config=self.thread.config(self.parent) if self.parent else None,
            pending_writes=pending_writes(writes, serde),
        )


def write_value(
    serde: SerializerProtocol, task_id: str, task_path: str, index: int, channel: str, value: Any
) -> ops.Value:
    """Returns the value to store for a pending write."""
    kept = {"task_id": task_id, "task_path": task_path, "index": index, "channel": channel}
    kind, data = serde.dumps_typed(value)
    # Base64 is spliced in, because `Json.of` would encode it and decode it again to compare.
    text = Json.of({**kept, "value": [kind]}).text.removesuffix("]}")
    return Json.from_text(f'{text},"{base64.b64encode(data).decode("ascii")}"]}}')


def pending_writes(
    entries: Iterable[ops.KeyEntry], serde: SerializerProtocol
) -> list[PendingWrite]:
    """Returns pending writes in the order in which a live run applies them.

    They are sorted by path, task and index, like `writes_sort_key` of langgraph-checkpoint 4.3 and
    later.
    """
    kept = [cast("Json", entry.value).value for entry in entries]
    kept.sort(key=lambda write: (write["task_path"], write["task_id"], write["index"]))
    return [
        (write["task_id"], write["channel"], _from_text(serde, write["value"])) for write in kept
    ]


def _text(serde: SerializerProtocol, value: Any) -> list[str]:
    kind, data = serde.dumps_typed(value)
    return [kind, base64.b64encode(data).decode("ascii")]


def _from_text(serde: SerializerProtocol, text: list[str]) -> Any:
    kind, data = text
    return serde.loads_typed((kind, base64.b64decode(data)))
