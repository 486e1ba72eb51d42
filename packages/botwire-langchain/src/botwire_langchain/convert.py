"""LangChain messages to items of a history and back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)

from botwire import Item, NotJSONError
from botwire.client.encoding import encode_list
from botwire.exact import Json
from botwire.messages import Message, Native, Role, ToolCall, read_items
from botwire.tagged import from_stored, looks_tagged, to_json

FRAMEWORK = "langchain"
FORMAT = 1
"""`message_to_dict`, with what JSON lacks tagged by `botwire.tagged`."""

_ROLES: dict[str, Role] = {
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "SystemMessageChunk": "system",
    "tool": "tool",
    "ToolMessageChunk": "tool",
    "function": "tool",
}

_CLASSES: dict[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
}
"""The classes that `messages_from_dict` makes of most messages."""

_OPENINGS = {f'{{"type":"{kind}","data":': cls for kind, cls in _CLASSES.items()}
"""How the JSON of `message_to_dict` begins, up to the message's fields, for each of `_CLASSES`."""


def to_items(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Returns the envelopes of messages.

    Raises:
        NotJSONError: A message could not be read back; the error says which one and where.
    """
    listed = encode_list(messages, "messages", "messages")
    return [_to_item(message, f"messages[{i}]") for i, message in enumerate(listed)]


def item_ids(items: Sequence[dict[str, Any]]) -> list[str | None]:
    """Returns an id for each envelope, so that a retry stores nothing twice.

    Only messages with an id can be distinguished from others with the same text. The content counts
    too, because LangChain gives all chunks of an answer the same id, and an edited message keeps
    its id.
    """
    seen: Counter[str] = Counter()
    ids: list[str | None] = []
    for item in items:
        if item.get("id") is None:
            ids.append(None)
            continue
        text = json.dumps(item, sort_keys=True)
        seen[text] += 1
        ids.append(hashlib.sha256(f"{seen[text]}:{text}".encode()).hexdigest())
    return ids


def from_items(items: Iterable[Item]) -> list[tuple[int, BaseMessage]]:
    """Returns the messages that items hold, with their sequence numbers."""
    return read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=from_native,
        from_portable=_from_portable,
    )


def to_native(message: BaseMessage, path: str) -> Any:
    """Returns LangChain's own serialization of a message, as JSON.

    Raises:
        NotJSONError: The message could not be read back; the error says where.
    """
    if not isinstance(message, BaseMessage):
        raise NotJSONError(f"{path} is a {type(message).__name__}, not a LangChain message", path)
    data = to_json(message_to_dict(message), path)
    try:
        from_native(Json.from_decoded(data))
    except Exception as error:
        raise NotJSONError(
            f"{path}, a {type(message).__name__}, could not be read back: {error}", path
        ) from error
    return data


def from_native(data: Json) -> BaseMessage:
    """Returns the message that `to_native` was given.

    Messages of the usual classes are made as their constructors come to make them. The way there
    takes twice as long as the validation itself.
    """
    if data.held_text is not None and (message := _from_text(data.held_text)) is not None:
        return message
    found = from_stored(data)
    cls = _CLASSES.get(found["type"])
    if cls is None or "content_blocks" in found["data"]:
        return messages_from_dict([found])[0]
    message = cls.__new__(cls)
    cls.__pydantic_validator__.validate_python(dict(found["data"]), self_instance=message)
    return message


def _from_text(text: str) -> BaseMessage | None:
    """Returns a message of the usual classes without decoding its JSON first; None for others.

    Raises:
        ValueError: The text holds half of a surrogate pair; decoded, it can be read.
    """
    fields = text.find('"data":') + len('"data":')
    cls = _OPENINGS.get(text[:fields])
    if cls is None or looks_tagged(text) or '"content_blocks":' in text:
        return None
    message = cls.__new__(cls)
    cls.__pydantic_validator__.validate_json(text[fields:-1], self_instance=message)
    return message


def _to_item(message: BaseMessage, path: str) -> dict[str, Any]:
    data = to_native(message, path)
    return Message(
        role=_role(message),
        text=str(message.text),
        id=message.id,
        name=message.name,
        tool_calls=_tool_calls(message),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        native=Native(FRAMEWORK, FORMAT, data),
    ).to_item()


def _role(message: BaseMessage) -> Role:
    if isinstance(message, ChatMessage):
        role = message.role.lower()
        return role if role in ("system", "user", "assistant", "tool") else "user"  # type: ignore[return-value]
    return _ROLES.get(message.type, "user")


def _tool_calls(message: BaseMessage) -> tuple[ToolCall, ...]:
    if not isinstance(message, AIMessage):
        return ()
    return tuple(
        ToolCall.of(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls
    )


def _from_portable(message: Message) -> BaseMessage:
    common: dict[str, Any] = {"content": message.text, "id": message.id, "name": message.name}
    if message.role == "system":
        return SystemMessage(**common)
    if message.role == "user":
        return HumanMessage(**common)
    if message.role == "tool":
        return ToolMessage(**common, tool_call_id=message.tool_call_id or "")
    calls = [
        {
            "id": call.id,
            "name": call.name,
            "args": call.by_name,
            "type": "tool_call",
        }
        for call in message.tool_calls
    ]
    return AIMessage(**common, tool_calls=calls)
