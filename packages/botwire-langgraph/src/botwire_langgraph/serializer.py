"""Converts values to bytes and back, with LangGraph's serializer in strict mode."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from botwire import ConfigurationError
from botwire.client.encoding import encode_list

logger = logging.getLogger("botwire.langgraph")


class StrictSerializer(JsonPlusSerializer):
    """LangGraph's serializer, which revives only LangGraph's own list of safe types.

    By default, LangGraph's serializer revives any type, and so executes what a stored row says.
    This one returns other types as plain data, and warns the first time.

    Args:
        allowed_types: Classes that may be revived too.

    Raises:
        ConfigurationError: `allowed_types` contains something other than classes.
    """

    def __init__(self, allowed_types: Collection[type] = ()) -> None:
        allowed = encode_list(allowed_types, "allowed_types", "classes")
        for i, one in enumerate(allowed):
            if not isinstance(one, (type, tuple)):  # LangGraph takes (module, name) as well
                raise ConfigurationError(
                    f"allowed_types[{i}] must be a class, not {type(one).__name__}: {one!r:.80}"
                )
        super().__init__(allowed_msgpack_modules=allowed or None)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Deserializes a value; see LangGraph's serializer."""
        _reading.ours = True
        try:
            return super().loads_typed(data)
        finally:
            _reading.ours = False


def is_known(serde: SerializerProtocol) -> bool:
    """Returns whether a serializer writes plain MessagePack: equal bytes for equal values.

    A subclass may not: it can compress or encrypt under the same type tag.
    """
    return type(serde) in (JsonPlusSerializer, StrictSerializer)


def to_blob(serde: SerializerProtocol, value: Any) -> bytes:
    """Returns a value as bytes: its type tag, a zero byte, its serialized form."""
    kind, data = serde.dumps_typed(value)
    return kind.encode() + b"\x00" + data


def from_blob(serde: SerializerProtocol, blob: bytes) -> Any:
    """Reads a value that `to_blob` made."""
    kind, _, data = blob.partition(b"\x00")
    return serde.loads_typed((kind.decode(), data))


class _Reading(threading.local):
    """Whether this OS thread is reading with a `StrictSerializer`; other events are ignored."""

    ours = False


_reading = _Reading()
_warned: set[tuple[str, str]] = set()


def _warn(event: SerdeEvent) -> None:
    name = (event["module"], event["name"])
    if not _reading.ours or event["kind"] != "msgpack_blocked" or name in _warned:
        return
    _warned.add(name)
    logger.warning(
        "A %s.%s came back as plain data, because nothing stored is revived that was not allowed. "
        "If the class is yours: BotWireSaver(allowed_types=[%s])",
        *name,
        event["name"],
    )


register_serde_event_listener(_warn)
