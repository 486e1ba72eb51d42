"""Pydantic AI's entries to items of a history and back.

A request of Pydantic AI may hold several messages of others: a system prompt and a question, or the
answers of several tools. Each is an item; the first has the whole entry as its native part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from botwire import Item, NotJSONError
from botwire.exact import Json
from botwire.messages import Message, Native, ToolCall, UnreadableItemError, native_in, read_item
from botwire.names import shown
from botwire.tagged import from_stored, to_json, with_floats
from botwire.tool_calls import NOT_COMPLETED

FRAMEWORK = "pydantic-ai"
FORMAT = 1
"""``{"id", "parent_id", "message"}`` of an entry, the message as Pydantic AI serializes it;
``{"of"}`` in further items of an entry; ``{"left"}`` around an item that a branch has left."""

_RECORDS = TypeAdapter(ConversationRecord)


@dataclass(frozen=True)
class StoredEntry:
    """The contents of an item.

    Attributes:
        id: The id of its entry.
        parent_id: The id of its parent entry; None if that is the preceding item.
        message: The message; None in further items of an entry.
        is_foreign: Whether another framework wrote it.
        is_left: Whether it is on a branch that its conversation has left.
    """

    id: str
    parent_id: str | None
    message: ModelMessage | None
    is_foreign: bool
    is_left: bool


def record_to_value(record: ConversationRecord) -> Any:
    """Returns a record as JSON.

    Raises:
        NotJSONError: It holds something that could not be read back.
    """
    return _dump(lambda: with_floats(_RECORDS.dump_python(record, mode="json"), record), "record")


def record_from_value(value: Any) -> ConversationRecord:
    """Returns the record that `record_to_value` was given."""
    return _RECORDS.validate_python(from_stored(Json.from_decoded(value)))


def to_items(entry: ConversationEntry, path: str) -> list[dict[str, Any]]:
    """Returns the items of an entry, at least one.

    Raises:
        NotJSONError: It holds something that could not be read back; the error says where.
    """
    messages = [entry.message]
    (message,) = _dump(
        lambda: with_floats(ModelMessagesTypeAdapter.dump_python(messages, mode="json"), messages),
        path,
    )
    data = {"id": entry.id, "parent_id": entry.parent_id, "message": message}
    native, items = Native(FRAMEWORK, FORMAT, data), []
    for one in _portable(entry.message):
        items.append(Message(**one, native=native).to_item())
        native = Native(FRAMEWORK, FORMAT, {"of": entry.id})
    return items or [native.to_value()]


def read(item: Item, history: str) -> StoredEntry:
    """Returns what an item of a history holds.

    Raises:
        UnreadableItemError: The item is not a message.
    """
    data = _own(item)
    is_left = False
    if data is not None and "left" in data:
        is_left = True
        item = Item(item.stored._replace(value=Json.from_decoded(data["left"])))
        data = _own(item)
    if data is None:
        message = read_item(
            item,
            framework=FRAMEWORK,
            formats=(FORMAT,),
            from_native=_no_entry,
            from_portable=lambda one: _from_portable(one, item.created_at),
        )
        given = foreign_id(history, item.seq)
        return StoredEntry(given, None, message, is_foreign=True, is_left=is_left)
    try:
        if "of" in data:
            return StoredEntry(data["of"], None, None, is_foreign=False, is_left=is_left)
        found = from_stored(Json.from_decoded(data["message"]))
        (message,) = ModelMessagesTypeAdapter.validate_python([found])
        id, parent = data["id"], data["parent_id"]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableItemError(f"its entry is damaged: {error!r}"[:500]) from error
    return StoredEntry(id, parent, message, is_foreign=False, is_left=is_left)


def _no_entry(data: Any) -> Any:
    raise ValueError(f"it holds no entry, but {shown(data)}")


def is_foreign(item: Item) -> bool:
    """Returns whether an item is a message written by another framework."""
    return _own(item) is None and isinstance(item.value, dict) and "envelope" in item.value


def left(item: Item) -> dict[str, Any]:
    """Returns the value of an item that a branch has left, which other frameworks skip."""
    return Native(FRAMEWORK, FORMAT, {"left": item.value}).to_value()


def original(item: Item) -> Any:
    """Returns the value that `left` wrapped."""
    return (_own(item) or {})["left"]


def foreign_id(history: str, seq: int) -> str:
    """Returns the entry id for an item of another framework."""
    return f"item-{seq}-of-{history}"


def foreign_place(entry_id: str) -> tuple[str, int] | None:
    """Returns the history and number of the item that `foreign_id` names."""
    kind, seq, of, history = [*entry_id.split("-", 3), "", "", ""][:4]
    is_known = kind == "item" and of == "of" and seq.isdecimal() and history
    return (history, int(seq)) if is_known else None


def name_answers(entries: Sequence[ConversationEntry]) -> None:
    """Adds the tool names to tool answers of other frameworks."""
    names: dict[str, str] = {}
    for entry in entries:
        for part in entry.message.parts:
            if isinstance(part, ToolCallPart):
                names[part.tool_call_id] = part.tool_name
            elif isinstance(part, ToolReturnPart) and not part.tool_name:
                part.tool_name = names.get(part.tool_call_id, "tool")


def closed(message: ModelMessage) -> ModelMessage:
    """Returns the last message of a conversation without its calls, which will never be answered.

    Pydantic AI refuses a question after an open call, and closes those before the last message.
    """
    if not isinstance(message, ModelResponse) or not message.tool_calls:
        return message
    parts = [part for part in message.parts if not isinstance(part, ToolCallPart)]
    return replace(message, parts=[*parts, TextPart(NOT_COMPLETED)])


def _own(item: Item) -> dict[str, Any] | None:
    """Returns the native data of this adapter in an item; None if it has none."""
    data = native_in(item, framework=FRAMEWORK, formats=(FORMAT,))
    return data if isinstance(data, dict) else None


def _dump(dump: Any, path: str) -> Any:
    try:
        return to_json(dump(), path)
    except NotJSONError:
        raise
    except Exception as error:  # pydantic and users' serializers can raise anything
        raise NotJSONError(f"{path} cannot be stored: {error}", path) from error


def _portable(message: ModelMessage) -> Iterator[dict[str, Any]]:
    """Yields the portable parts of a message."""
    if isinstance(message, ModelResponse):
        texts = [part.content for part in message.parts if isinstance(part, TextPart)]
        calls = [
            ToolCall.of(part.tool_call_id, part.tool_name, part.args or {})
            for part in message.parts
            if isinstance(part, ToolCallPart)
        ]
        if texts or calls:
            yield {"role": "assistant", "text": "".join(texts), "tool_calls": calls}
        return
    for part in message.parts:
        if isinstance(part, SystemPromptPart):
            yield {"role": "system", "text": part.content}
        elif isinstance(part, UserPromptPart):
            contents = [part.content] if isinstance(part.content, str) else part.content
            yield {"role": "user", "text": "\n".join(one for one in contents if type(one) is str)}
        elif isinstance(part, ToolReturnPart):
            text = part.model_response_str()
            yield {"role": "tool", "text": text, "tool_call_id": part.tool_call_id}
        elif isinstance(part, RetryFeedbackPart):
            yield {"role": "user", "text": part.model_response()}


def _from_portable(message: Message, said_at: datetime) -> ModelMessage:
    """Converts another framework's message; leaves the names of tools empty."""
    if message.role == "assistant":
        has_text = message.text or not message.tool_calls
        parts: list[Any] = [TextPart(message.text)] if has_text else []
        for call in message.tool_calls:
            args: Any = call.values
            parts.append(ToolCallPart(call.name, args, call.id))
        return ModelResponse(parts, timestamp=said_at)
    part: Any
    if message.role == "tool":
        call_id = message.tool_call_id or ""
        part = ToolReturnPart(message.name or "", message.text, call_id, timestamp=said_at)
    elif message.role == "system":
        part = SystemPromptPart(message.text, timestamp=said_at)
    else:
        part = UserPromptPart(message.text, timestamp=said_at)
    return ModelRequest([part])
