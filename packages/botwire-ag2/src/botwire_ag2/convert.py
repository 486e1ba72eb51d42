"""AG2's events to items of a history and back.

AG2 reads an event by importing the classes that its text names and calling them, so anyone who can
write to a store could have anything called. Here every class is checked first: it must be an event,
dataclass, pydantic model or enum, of AG2 or in the caller's `types`, under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
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
from botwire.classes import Classes, name_of
from botwire.exact import Json
from botwire.messages import Message, Native, ToolCall, read_items
from botwire.tagged import from_stored, to_json
from botwire.tool_calls import NOT_COMPLETED, CallIds, pair_answers

FRAMEWORK = "ag2"
FORMAT = 1
"""``{"type": the event's class, "data": its to_dict()}``; what JSON lacks is tagged.

Requests, responses and tool results are messages, stored as envelopes. Other events are not part of
a conversation: their items consist of the native part alone.
"""

_KINDS: Mapping[str, Callable[[type], bool]] = {
    "__event__": lambda cls: issubclass(cls, BaseEvent),
    "__enum__": lambda cls: issubclass(cls, Enum),
    "__dataclass__": is_dataclass,
    "__pydantic__": lambda cls: issubclass(cls, BaseModel),
}

_SPEAKS = (ModelRequest, ModelResponse)

_TAGS = {*_KINDS, "__bytes__", "__uuid__", "__exception__"}


def own_classes(types: Iterable[type] = ()) -> Classes:
    """Returns the classes whose objects may be read: AG2's and the caller's.

    Raises:
        ConfigurationError: One is not a class of events, enums, dataclasses or pydantic models.
    """
    return Classes(
        ["ag2"],
        types,
        kind=lambda cls: any(check(cls) for check in _KINDS.values()),
        kinds="classes of events, enums, dataclasses and pydantic models",
    )


def to_item(event: BaseEvent, classes: Classes, path: str = "event") -> dict[str, Any]:
    """Returns the envelope of an event.

    Raises:
        NotJSONError: The event holds something that could not be read back; the error says where.
        ConfigurationError: The event holds an object of a class that may not be read.
    """
    data = to_json(event.to_dict(), path)
    try:
        _refuse_tags(event)
        classes.find(name_of(type(event)), _KINDS["__event__"])
        _check(data, classes)
    except ValueError as error:
        raise ConfigurationError(f"{path} could not be read back: {error}") from error
    native = Native(FRAMEWORK, FORMAT, {"type": name_of(type(event)), "data": data})
    message = _message(event, native)
    return native.to_value() if message is None else message.to_item()


def to_items(events: Iterable[BaseEvent], classes: Classes) -> list[dict[str, Any]]:
    """Returns the envelopes of events; raises what `to_item` does."""
    return [to_item(event, classes, f"events[{i}]") for i, event in enumerate(events)]


def from_items(items: Iterable[Item], classes: Classes) -> list[BaseEvent]:
    """Returns the events that items hold. One that cannot be read is logged and left out."""
    found = read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=partial(_from_native, classes=classes),
        from_portable=_from_portable,
    )
    return [event for _, event in found]


def paired(events: Sequence[BaseEvent]) -> list[BaseEvent]:
    """Returns events in which each call of a tool has its answer in a `ToolResultsEvent`.

    Calls that nothing has followed yet are left alone: their tools may be running, and no model
    sees them before someone speaks.
    """
    known = [_call_ids(event) for event in events]
    spoken = max((i for i, e in enumerate(events) if isinstance(e, _SPEAKS)), default=-1)
    running = {call for one in known[spoken:] if one is not None for call in one.calls}
    # A tool that finished before its process ended left a result that was never gathered.
    loose = {event.parent_id: event for event in events if isinstance(event, ToolResultEvent)}

    def close(event: BaseEvent, positions: Sequence[int]) -> Iterable[BaseEvent]:
        assert isinstance(event, ModelResponse)  # the only one that calls
        calls = [event.tool_calls.calls[position] for position in positions]
        yield ToolResultsEvent(
            [
                loose.get(call.id)
                or ToolResultEvent(
                    parent_id=call.id, name=call.name, result=ToolResult(NOT_COMPLETED)
                )
                for call in calls
            ]
        )

    return pair_answers(events, ids=_call_ids, close=close, select=_select, settled=running)


def _call_ids(event: BaseEvent) -> CallIds | None:
    if isinstance(event, ModelResponse):
        return CallIds(calls=[call.id for call in event.tool_calls.calls])
    if isinstance(event, ToolResultsEvent):
        return CallIds(answers=[result.parent_id for result in event.results])
    return CallIds() if isinstance(event, ModelRequest) else None


def _select(event: BaseEvent, positions: Sequence[int], rest: bool) -> BaseEvent | None:
    assert isinstance(event, ToolResultsEvent)  # the only one that answers
    if not positions:
        return None
    return ToolResultsEvent([event.results[position] for position in positions])


def _message(event: BaseEvent, native: Native) -> Message | None:
    """Returns what other frameworks read, or None if an event is not a message."""
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


def _from_native(data: Json, classes: Classes) -> BaseEvent:
    stored = data.value
    cls: Any = classes.find(stored["type"], _KINDS["__event__"])
    _check(stored["data"], classes)
    event: BaseEvent = cls.from_dict(from_stored(Json.from_decoded(stored["data"])))
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
            arguments=call.as_text,
        )
        for call in message.tool_calls
    ]
    said = ModelMessage(message.text) if message.text or not calls else None
    return ModelResponse(said, tool_calls=ToolCallsEvent(calls))


def _refuse_tags(value: Any) -> None:
    """Raises `ValueError` if a caller's dict looks like AG2's form of an object."""
    if isinstance(value, dict):
        if clash := _TAGS & value.keys():
            raise ValueError(f"a dict with the key {min(clash)!r}, which AG2 reserves")
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


def _check(value: Any, classes: Classes) -> None:
    """Raises `ValueError` if a value names a class whose objects may not be read."""
    if isinstance(value, list):
        for part in value:
            _check(part, classes)
    elif isinstance(value, dict):
        for kind in _KINDS.keys() & value.keys():
            classes.find(value[kind], _KINDS[kind])
        for part in value.values():
            _check(part, classes)
