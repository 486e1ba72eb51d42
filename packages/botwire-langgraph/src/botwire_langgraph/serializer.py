"""Converts values to bytes and back, with LangGraph's serializer in strict mode."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol, maybe_add_typed_methods
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
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


def read_serde(serde: object, allowed_types: Collection[type]) -> SerializerProtocol:
    """Returns the serializer that a constructor was told to use; by default a strict one.

    Raises:
        ConfigurationError: It is not a serializer, or both were given.
    """
    if serde is None:
        return StrictSerializer(allowed_types)
    if allowed_types:
        raise ConfigurationError("a serde has its own types: pass serde or allowed_types, not both")
    if not (hasattr(serde, "dumps_typed") or hasattr(serde, "dumps")):
        raise ConfigurationError(
            "serde must be a serializer of LangGraph, such as JsonPlusSerializer(), not "
            f"{type(serde).__name__}"
        )
    return maybe_add_typed_methods(serde)  # type: ignore[arg-type]


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


def from_blob_exactly(serde: SerializerProtocol, blob: bytes) -> Any:
    """Like `from_blob`, but refuses a value of which something is missing.

    What LangGraph's serializer may not revive, or cannot, it returns as plain data or as None. Its
    name is then missing when the value is serialized again, and so the result is shorter. The bytes
    themselves may differ, because a set has no order.

    Raises:
        ValueError: The value is not what was stored.
    """
    value = from_blob(serde, blob)
    inner = serde.serde if isinstance(serde, EncryptedSerializer) else serde
    if is_known(inner) and blob.startswith(b"msgpack"):
        again = to_blob(serde, value)
        if len(again) != len(blob):
            raise ValueError("it holds an object of a class that is not allowed, or has changed")
    return value


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
        "If the class is yours, pass allowed_types=[%s]",
        *name,
        event["name"],
    )


register_serde_event_listener(_warn)
