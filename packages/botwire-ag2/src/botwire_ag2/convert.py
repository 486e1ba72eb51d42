"""AG2's events to items of a history and back.

AG2 reads an event by importing the classes that its text names and calling them with what is there:
who can write to a store could have anything called. Here every class is looked at first: an event,
dataclass, pydantic model or enum of AG2's own or of the caller's `types`, by its own name.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Any

from ag2.events import (
    BaseEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextInput,
    ToolCallEvent,
    ToolCallsEvent,
    ToolResult,
    ToolResultEvent,
    ToolResultsEvent,
)
from pydantic import BaseModel

from botwire import ConfigurationError, Item
from botwire.messages import Message, Native, ToolCall, UnreadableItemError, read_item
from botwire.tagged import from_json, to_json

FRAMEWORK = "ag2"
FORMAT = 1
"""``{"type": the event's class, "data": its to_dict()}``; what JSON lacks is tagged.

Requests, responses and tools' results are messages, in an envelope. Other events are no part of a
conversation: ``{"event": {"framework": "ag2", "format": 1, "data": …}}``.
"""

logger = logging.getLogger("botwire.ag2")

Types = Mapping[str, type]
"""Classes that may be made of what is stored, beside AG2's own, by their full names."""

_KINDS: Mapping[str, Callable[[type], bool]] = {
    "__event__": lambda cls: issubclass(cls, BaseEvent),
    "__enum__": lambda cls: issubclass(cls, Enum),
    "__dataclass__": is_dataclass,
    "__pydantic__": lambda cls: issubclass(cls, BaseModel),
}

_TAGS = {*_KINDS, "__bytes__", "__uuid__", "__exception__"}


def by_name(types: Iterable[type]) -> Types:
    """Returns classes by their full names.

    Raises:
        ConfigurationError: One is no event, enum, dataclass or pydantic model.
    """
    found = {}
    for cls in types:
        if not isinstance(cls, type) or not any(check(cls) for check in _KINDS.values()):
            raise ConfigurationError(
                f"types are classes of events, enums, dataclasses and pydantic models, not {cls!r}"
            )
        found[_name(cls)] = cls
    return found


def to_item(event: BaseEvent, types: Types, path: str = "event") -> dict[str, Any]:
    """Returns the envelope of an event.

    Raises:
        NotJSONError: It holds what would not come back; it says where.
        ConfigurationError: It holds an object of a class that would not be read back.
    """
    data = to_json(event.to_dict(), path)
    try:
        _refuse_tags(event)
        _resolve("__event__", _name(type(event)), types)
        _check(data, types)
    except ValueError as error:
        raise ConfigurationError(f"{path} holds what would not be read back: {error}") from error
    native = Native(FRAMEWORK, FORMAT, {"type": _name(type(event)), "data": data})
    message = _message(event, native)
    return {"event": asdict(native)} if message is None else message.to_item()


def from_items(items: Iterable[Item], types: Types) -> list[BaseEvent]:
    """Returns the events that items hold; what is none is reported and left out."""
    events: list[BaseEvent] = []
    for item in items:
        try:
            events.append(_from_item(item.value, types))
        except (UnreadableItemError, ValueError, TypeError, KeyError) as error:
            logger.warning("item %d of a stream is left out: %s", item.seq, error)
    return events


def _from_item(value: Any, types: Types) -> BaseEvent:
    if isinstance(value, dict) and "event" in value:
        native = Native(**value["event"])
        if (native.framework, native.format) != (FRAMEWORK, FORMAT):
            raise UnreadableItemError(f"it is an event of {native.framework} {native.format}")
        return _from_native(native.data, types)
    return read_item(
        value,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=partial(_from_native, types=types),
        from_portable=_from_portable,
    )


def _message(event: BaseEvent, native: Native) -> Message | None:
    """Returns what other frameworks read, None if an event is no message."""
    if isinstance(event, ModelRequest):
        texts = [part.content for part in event.parts if isinstance(part, TextInput)]
        return Message("user", "\n".join(texts), native=native)
    if isinstance(event, ModelResponse):
        calls = [ToolCall.of(call.id, call.name, call.arguments) for call in event.tool_calls.calls]
        return Message("assistant", event.content or "", tool_calls=calls, native=native)
    if isinstance(event, ToolResultEvent):
        return Message(
            "tool",
            _text(event.result),
            name=event.name,
            tool_call_id=event.parent_id,
            native=native,
        )
    return None


def _text(result: ToolResult) -> str:
    return "\n".join(
        part.content if isinstance(part, TextInput) else json.dumps(to_json(part.to_dict()))
        for part in result.parts
    )


def _from_native(stored: Mapping[str, Any], types: Types) -> BaseEvent:
    cls: Any = _resolve("__event__", stored["type"], types)
    _check(stored["data"], types)
    event: BaseEvent = cls.from_dict(from_json(stored["data"]))
    return event


def _from_portable(message: Message) -> BaseEvent:
    if message.role in ("user", "system"):
        return ModelRequest([TextInput(message.text)])
    if message.role == "tool":
        result = ToolResultEvent(
            parent_id=message.tool_call_id or "",
            name=message.name,
            result=ToolResult(message.text),
        )
        return ToolResultsEvent([result])
    calls = [
        ToolCallEvent(
            id=call.id,
            name=call.name,
            arguments=call.values
            if isinstance(call.values, str)
            else json.dumps(call.values, default=to_json),
        )
        for call in message.tool_calls
    ]
    said = ModelMessage(message.text) if message.text or not calls else None
    return ModelResponse(said, tool_calls=ToolCallsEvent(calls))


def _refuse_tags(value: Any) -> None:
    """Raises `ValueError` if a dict of the caller's looks like one that AG2 makes of an object."""
    if isinstance(value, dict):
        if clash := _TAGS & value.keys():
            raise ValueError(f"a dict with the key {min(clash)!r}, which AG2 uses for itself")
        parts: Iterable[Any] = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    elif isinstance(value, (BaseEvent, BaseModel)):
        parts = vars(value).values()
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name) for field in fields(value)]
    else:
        return
    for part in parts:
        _refuse_tags(part)


def _check(value: Any, types: Types) -> None:
    """Raises `ValueError` if a value names a class that must not be made."""
    if isinstance(value, list):
        for part in value:
            _check(part, types)
    elif isinstance(value, dict):
        for kind in _KINDS.keys() & value.keys():
            _resolve(kind, value[kind], types)
        for part in value.values():
            _check(part, types)


def _resolve(kind: str, name: Any, types: Types) -> type:
    cls = types.get(name) if isinstance(name, str) else None
    if cls is None and isinstance(name, str) and name.startswith("ag2."):
        cls = _import(name)
    if cls is None or _name(cls) != name or not _KINDS[kind](cls):
        raise ValueError(f"{name!r:.200} is neither AG2's nor one of `types`")
    return cls


def _import(name: str) -> type | None:
    """Returns a class of AG2, and nothing that its modules have only imported."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found if isinstance(found, type) else None
    return None


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
