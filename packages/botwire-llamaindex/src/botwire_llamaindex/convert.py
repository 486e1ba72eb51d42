"""LlamaIndex messages to items of a history and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import IOBase
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ContentBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from botwire import Item, NotJSONError
from botwire.messages import Message, Native, Role, ToolCall, read_items
from botwire.tagged import from_json, to_json

FRAMEWORK = "llamaindex"
FORMAT = 1
"""``ChatMessage.model_dump(mode="json")``; `additional_kwargs` tagged by `botwire.tagged`."""

_ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
    MessageRole.TOOL: "tool",
}


def to_items(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Returns the envelopes of messages.

    Raises:
        NotJSONError: One holds what would not come back; it says which message and where.
    """
    return [_to_item(message, f"messages[{i}]") for i, message in enumerate(messages)]


def from_items(items: Iterable[Item]) -> list[tuple[int, ChatMessage]]:
    """Returns the messages that items hold, with their sequence numbers."""
    return read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=from_native,
        from_portable=_from_portable,
    )


def to_native(message: ChatMessage, path: str) -> dict[str, Any]:
    """Returns LlamaIndex's own serialization of a message, as JSON.

    Open files in blocks are read, and pydantic models in `additional_kwargs`, which models' raw
    answers are full of, are kept as dicts.

    Raises:
        NotJSONError: It would not come back; it says where.
    """
    if not isinstance(message, ChatMessage):
        raise NotJSONError(f"{path} is a {type(message).__name__}, not a ChatMessage", path)
    closed = message.model_copy(update={"blocks": [_close(block) for block in message.blocks]})
    extra = to_json(_plain(message.additional_kwargs), f"{path}.additional_kwargs")
    try:
        data = closed.model_dump(mode="json", exclude={"additional_kwargs"})
        data["additional_kwargs"] = extra
        from_native(data)
    except Exception as error:
        raise NotJSONError(f"{path} could not be read back: {error}", path) from error
    return data


def from_native(data: dict[str, Any]) -> ChatMessage:
    """Returns the message that `to_native` was given."""
    extra = from_json(data["additional_kwargs"])
    return ChatMessage.model_validate({**data, "additional_kwargs": extra})


def tool_calls(message: ChatMessage) -> tuple[ToolCall, ...]:
    """Returns the tool calls that a message asks for."""
    return tuple(
        ToolCall(
            block.tool_call_id or "",
            block.tool_name,
            to_json(block.tool_kwargs)
            if isinstance(block.tool_kwargs, dict)
            else str(block.tool_kwargs),
        )
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    )


def _to_item(message: ChatMessage, path: str) -> dict[str, Any]:
    data = to_native(message, path)
    extra = message.additional_kwargs
    call_id, name = extra.get("tool_call_id"), extra.get("name")
    return Message(
        role=_ROLES[message.role],
        text=message.content or "",
        name=name if isinstance(name, str) else None,
        tool_calls=tool_calls(message),
        tool_call_id=call_id if isinstance(call_id, str) else None,
        native=Native(FRAMEWORK, FORMAT, data),
    ).to_item()


def _close(block: ContentBlock) -> ContentBlock:
    """Returns the block with bytes in the place of an open file, which is left where it was."""
    for name in ("image", "audio", "video", "data"):
        file = getattr(block, name, None)
        if isinstance(file, IOBase):
            position = file.tell()
            content = file.read()
            file.seek(position)
            # Through the constructor, which encodes bytes as it does for everyone.
            return type(block)(**{**dict(block), name: content})
    return block


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


def _from_portable(message: Message) -> ChatMessage:
    blocks: list[ContentBlock] = [TextBlock(text=message.text)] if message.text else []
    blocks += [
        ToolCallBlock(
            tool_call_id=call.id,
            tool_name=call.name,
            tool_kwargs=call.arguments
            if isinstance(call.arguments, str)
            else from_json(dict(call.arguments)),
        )
        for call in message.tool_calls
    ]
    extra = {"tool_call_id": message.tool_call_id, "name": message.name}
    return ChatMessage(
        role=MessageRole(message.role),
        blocks=blocks,
        additional_kwargs={key: part for key, part in extra.items() if part is not None},
    )
