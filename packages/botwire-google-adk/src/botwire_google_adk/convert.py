"""ADK's events to items of a history and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from google.adk.events import Event
from google.adk.memory.memory_entry import MemoryEntry
from google.genai import types

from botwire import Item
from botwire.exact import Json
from botwire.garbage import collection_paused
from botwire.messages import Message, Native, ToolCall, items_of, read_items
from botwire.tagged import from_stored, looks_tagged, to_json, with_floats

FRAMEWORK = "google-adk"
FORMAT = 1
"""``Event.model_dump_json(exclude_none=True)`` with NaN put back, tagged by `botwire.tagged`.

An event with several tool results is stored as several items; see `botwire.messages.items_of`.
"""

M = TypeVar("M", Event, MemoryEntry)

USER = "user"
"""The author of what a user says, and of what other frameworks stored."""


def to_items(event: Event) -> list[dict[str, Any]]:
    """Returns the items that hold an event: several if it answers several tool calls.

    Raises:
        pydantic_core.PydanticSerializationError: JSON cannot hold the event.
    """
    native = Native(FRAMEWORK, FORMAT, to_json(dump(event), "event"))
    said = list(_messages_of(event))
    if not said:
        return [native.to_value()]  # state, a rewind: no part of a conversation elsewhere
    return items_of(said, native)


@collection_paused
def from_items(items: Iterable[Item]) -> list[Event]:
    """Returns the events that items hold, those of other frameworks too.

    System messages of other frameworks are left out: an agent has instructions of its own.
    """
    events = []
    for item in items:
        found = read_items(
            [item],
            framework=FRAMEWORK,
            formats=(FORMAT,),
            from_native=_from_native,
            from_portable=partial(_from_portable, item=item),
        )
        events += [event for _, event in found if event is not None]
    return events


def dump(model: Event | MemoryEntry) -> Any:
    """Returns a model as a JSON value.

    Raises:
        pydantic_core.PydanticSerializationError: JSON cannot hold it.
    """
    try:
        text = model.model_dump_json(exclude_none=True)
    except ValueError:  # perhaps for a lone surrogate, which UTF-8 cannot hold
        return with_floats(model.model_dump(mode="json", exclude_none=True), model)
    written = json.loads(text)
    return with_floats(written, model) if "null" in text else written


def revive(kind: type[M], value: Any) -> M:
    """Returns the model that `dump` made a value of."""
    try:
        return kind.model_validate_json(json.dumps(value))
    except ValueError:  # perhaps for a lone surrogate, likewise
        return kind.model_validate(value)


def text_of(content: types.Content | None) -> str:
    """Returns what a content says, without a model's thoughts."""
    parts = (content.parts if content else None) or ()
    return "\n\n".join(part.text for part in parts if part.text and not part.thought)


def timestamp_of(item: Item) -> float:
    """Returns when an item was appended, in seconds since the epoch."""
    return item.created_at.timestamp()


def _messages_of(event: Event) -> Iterator[Message]:
    content = event.content
    if content is None or not content.parts:
        return
    created = _iso(event.timestamp)
    for answer in event.get_function_responses():
        text = json.dumps(answer.response, default=str)
        if isinstance(answer.response, dict) and answer.response.keys() == {"result"}:
            result = answer.response["result"]
            text = result if isinstance(result, str) else json.dumps(result, default=str)
        yield Message("tool", text, name=answer.name, tool_call_id=_id(answer), created_at=created)
    text, calls = text_of(content), event.get_function_calls()
    if not (text or calls) and event.get_function_responses():
        return
    user = content.role == USER if content.role else event.author == USER
    yield Message(
        "user" if user else "assistant",
        text,
        id=event.id,
        name=None if event.author == USER else event.author or None,
        tool_calls=[ToolCall.of(_id(call), call.name or "", call.args or {}) for call in calls],
        created_at=created,
    )


def _id(call: types.FunctionCall | types.FunctionResponse) -> str:
    return call.id or call.name or ""


def _iso(timestamp: float) -> str | None:
    try:
        return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="microseconds")
    except (OverflowError, ValueError, OSError):
        return None  # a time of the caller's own making


def _from_native(data: Json) -> Event | None:
    text = data.held_text
    if text is not None and text != "null" and not looks_tagged(text):
        # Refuses half of a surrogate pair, and is then called again with the decoded value.
        return Event.model_validate_json(text)
    value = from_stored(data)
    return None if value is None else revive(Event, value)


def _from_portable(message: Message, item: Item) -> Event | None:
    if message.role == "system":
        return None
    parts = [types.Part(text=message.text)] if message.text else []
    if message.tool_call_id is not None:
        result = {"result": message.text}
        answer = types.FunctionResponse(
            id=message.tool_call_id, name=message.name or "tool", response=result
        )
        parts = [types.Part(function_response=answer)]
    for call in message.tool_calls:
        made = types.FunctionCall(id=call.id, name=call.name, args=call.by_name)
        parts.append(types.Part(function_call=made))
    return Event(
        id=item.id or f"botwire-{item.seq}",
        # An agent would be shown another author's words as hearsay, not as its own.
        author=USER,
        content=types.Content(role="model" if message.role == "assistant" else USER, parts=parts),
        timestamp=timestamp_of(item),
    )
