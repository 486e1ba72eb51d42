"""Conversion of LlamaIndex messages to items of a history and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from enum import Enum
from io import IOBase
from pathlib import Path, PurePath
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel, TypeAdapter

from botwire import Item, NotJSONError
from botwire.client.encoding import encode_items, encode_list
from botwire.exact import Json
from botwire.messages import Message, Native, Role, ToolCall, read_items
from botwire.tagged import from_json, looks_tagged, to_json, with_floats

FRAMEWORK = "llamaindex"
FORMAT = 1
"""``ChatMessage.model_dump(mode="json")``, with free fields tagged by `botwire.tagged`."""

_FREE_FIELDS = ("additional_information", "tool_kwargs")
"""Fields of blocks that may hold anything that a model's library put there."""
_EXCLUDED: Any = {"additional_kwargs": True, "blocks": {"__all__": set(_FREE_FIELDS)}}

_anything: TypeAdapter[Any] = TypeAdapter(Any)

_FILES = {"audio": "audio", "document": "data", "image": "image", "video": "video"}
"""The field that may hold an open file, by type of block."""

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
        NotJSONError: A message holds something that cannot be restored; the error says which one
            and where.
    """
    given = encode_list(messages, "messages", "messages")
    return [_to_item(message, f"messages[{i}]") for i, message in enumerate(given)]


def encoded(messages: Sequence[ChatMessage]) -> tuple[Json, ...]:
    """Returns the envelopes of messages as JSON text.

    Raises:
        NotJSONError: As `to_items`.
    """
    return encode_items(to_items(messages))


def refers_to_file(message: object) -> bool:
    """Returns whether a message has a file, by path or open, that converting it reads."""
    return isinstance(message, ChatMessage) and any(map(_has_file, message.blocks))


def _has_file(block: Any) -> bool:
    if isinstance(block, CitableBlock):
        return any(map(_has_file, block.content))
    if isinstance(block, CitationBlock):
        return _has_file(block.cited_content)
    file = getattr(block, _FILES.get(block.block_type, ""), None)
    return isinstance(file, (IOBase, Path)) or getattr(block, "path", None) is not None


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

    It reads the files that blocks refer to, whether open or by path, because another process or
    machine does not have them. Pydantic models and enums in free fields, which are common in raw
    model answers, become dicts and values, as LlamaIndex dumps them.

    Raises:
        NotJSONError: The message cannot be restored; the error says where.
    """
    if not isinstance(message, ChatMessage):
        raise NotJSONError(f"{path} is a {type(message).__name__}, not a ChatMessage", path)
    closed = _close(message, path)
    try:
        data = closed.model_dump(mode="json", exclude=_EXCLUDED)
    except Exception as error:
        raise NotJSONError(f"{path} cannot be serialized: {error}", path) from error
    data["additional_kwargs"] = to_json(closed.additional_kwargs, f"{path}.additional_kwargs")
    for i, block in enumerate(closed.blocks):
        for name in _FREE_FIELDS:
            if (part := getattr(block, name, None)) is not None:
                data["blocks"][i][name] = to_json(part, f"{path}.blocks[{i}].{name}")
    _check(data, closed, path)
    return data


def dumped(message: ChatMessage, path: str) -> dict[str, Any]:
    """Returns a message as LlamaIndex dumps it, without the types that `to_native` keeps.

    Raises:
        NotJSONError: LlamaIndex cannot dump the message.
    """
    try:
        return message.model_dump(mode="json")
    except Exception as error:
        raise NotJSONError(f"a message of {path!r:.80} cannot be dumped: {error}", path) from error


def from_native(data: Json) -> ChatMessage:
    """Returns the message that `to_native` was given."""
    text = data.held_text
    if text is not None and not looks_tagged(text):
        # Not by the constructor, which would validate everything twice. What refuses half of a
        # surrogate pair here is called again with the decoded value.
        message = ChatMessage.__new__(ChatMessage)
        ChatMessage.__pydantic_validator__.validate_json(text, self_instance=message)
        return message
    value = data.value
    blocks = [
        block | {name: from_json(block[name]) for name in _FREE_FIELDS if name in block}
        for block in value["blocks"]
    ]
    extra = from_json(value["additional_kwargs"])
    return ChatMessage.model_validate({**value, "blocks": blocks, "additional_kwargs": extra})


def tool_calls(message: ChatMessage) -> tuple[ToolCall, ...]:
    """Returns the tool calls that a message asks for."""
    return tuple(
        ToolCall.of(
            block.tool_call_id or "", block.tool_name, _plain(block.tool_kwargs, "arguments")
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


def _close(message: ChatMessage, path: str) -> ChatMessage:
    """Returns a plain `ChatMessage` that refers to nothing outside itself."""
    lost = set(type(message).model_fields) - set(ChatMessage.model_fields)
    if lost:
        raise NotJSONError(
            f"{path} is a {type(message).__name__}, whose {', '.join(sorted(lost))} would be lost: "
            "put it into additional_kwargs",
            path,
        )
    # LlamaIndex has turned images in this legacy field into blocks, and would do so again.
    kept = {key: part for key, part in message.additional_kwargs.items() if key != "images"}
    extra = _plain(kept, f"{path}.additional_kwargs")
    blocks = [_close_block(block, f"{path}.blocks[{i}]") for i, block in enumerate(message.blocks)]
    # Skip validation, so that the blocks stay the same objects.
    return ChatMessage.model_construct(role=message.role, blocks=blocks, additional_kwargs=extra)


def _close_block(block: Any, path: str) -> Any:
    """Returns the block with file contents instead of files; an open file keeps its position."""
    if isinstance(block, CitableBlock):
        parts = [_close_block(part, f"{path}.content[{i}]") for i, part in enumerate(block.content)]
        return block.model_copy(update={"content": parts})
    if isinstance(block, CitationBlock):
        cited = _close_block(block.cited_content, f"{path}.cited_content")
        return block.model_copy(update={"cited_content": cited})
    if isinstance(block, (ThinkingBlock, ToolCallBlock)):
        free = [name for name in _FREE_FIELDS if hasattr(block, name)]
        return block.model_copy(
            update={name: _plain(getattr(block, name), f"{path}.{name}") for name in free}
        )
    name = _FILES.get(block.block_type)
    if name is None:
        return block
    file = getattr(block, name)
    if file is None and block.path is not None:
        file = Path(block.path)
    if not isinstance(file, (IOBase, Path)):
        return block
    try:
        content = _read(file)
    except OSError as error:
        raise NotJSONError(f"{path} has a file that cannot be read: {error}", path) from error
    # Calls the constructor, because it encodes bytes.
    return type(block)(**{**dict(block), "path": None, name: content})


def _read(file: IOBase | Path) -> bytes:
    if isinstance(file, Path):
        return file.read_bytes()
    position = file.tell()
    file.seek(0)
    content: bytes | str = file.read()
    file.seek(position)
    return content.encode() if isinstance(content, str) else content


def _check(data: dict[str, Any], message: ChatMessage, path: str) -> None:
    """Raises `NotJSONError` unless reading `data` restores `message`."""
    try:
        again = from_native(Json.from_decoded(data))
    except Exception as error:
        raise NotJSONError(f"{path} could not be read back: {error}", path) from error
    if not _equal(again, message):
        for i, (one, other) in enumerate(zip(again.blocks, message.blocks, strict=False)):
            if not _equal(one, other):
                path = f"{path}.blocks[{i}]"
                break
        raise NotJSONError(f"{path} would not come back equal: {message!r:.300}", path)


def _equal(one: BaseModel, other: BaseModel) -> bool:
    # NaN does not equal itself, and comparing a signalling NaN raises, but both have the same repr.
    try:
        return one == other or repr(one) == repr(other)
    except ArithmeticError:
        return repr(one) == repr(other)


def _plain(value: Any, path: str) -> Any:
    """Returns the value with what LlamaIndex dumps instead of models, dataclasses, enums, paths."""
    if isinstance(value, (BaseModel, Enum, PurePath)) or is_dataclass(value):
        try:
            return with_floats(_anything.dump_python(value, mode="json"), value)
        except ValueError as error:
            raise NotJSONError(f"{path} cannot be serialized: {error}", path) from error
    if isinstance(value, dict):
        return {
            key.value if isinstance(key, Enum) else key: _plain(part, f"{path}[{key!r:.60}]")
            for key, part in value.items()
        }
    if type(value) in (list, tuple, set, frozenset):
        parts = [_plain(part, f"{path}[{i}]") for i, part in enumerate(value)]
        try:
            return type(value)(parts)
        except TypeError:  # no set holds the dict that a dataclass has become
            return parts
    return float(value) if isinstance(value, float) else value  # numpy's have another repr


def _from_portable(message: Message) -> ChatMessage:
    blocks: list[ContentBlock] = [TextBlock(text=message.text)] if message.text else []
    blocks += [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.values)
        for call in message.tool_calls
    ]
    extra = {"tool_call_id": message.tool_call_id, "name": message.name}
    return ChatMessage(
        role=MessageRole(message.role),
        blocks=blocks,
        additional_kwargs={key: part for key, part in extra.items() if part is not None},
    )
