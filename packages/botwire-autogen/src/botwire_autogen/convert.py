"""AutoGen's memory contents to items of a history and back."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from autogen_core import Image
from autogen_core.memory import MemoryContent, MemoryMimeType

from botwire import Item, NotJSONError
from botwire.messages import Message, Native, read_items
from botwire.tagged import from_json, to_json

FRAMEWORK = "autogen"
FORMAT = 1
"""`kind`, `content`, `mime_type` and `metadata`; what JSON lacks is tagged (`botwire.tagged`)."""


def to_item(content: MemoryContent) -> dict[str, Any]:
    """Returns the envelope of a memory content.

    Raises:
        NotJSONError: It holds what would not come back; it says where.
    """
    kind, value = _encode(content.content)
    mime = content.mime_type
    data = {
        "kind": kind,
        "content": value,
        "mime_type": mime.value if isinstance(mime, MemoryMimeType) else mime,
        "metadata": to_json(content.metadata, "metadata"),
    }
    return Message("system", to_text(content), native=Native(FRAMEWORK, FORMAT, data)).to_item()


def from_items(items: Iterable[Item]) -> list[MemoryContent]:
    """Returns the memory contents that items hold."""
    found = read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=_from_native,
        from_portable=lambda message: MemoryContent(
            content=message.text, mime_type=MemoryMimeType.TEXT
        ),
    )
    return [content for _, content in found]


def to_text(content: MemoryContent) -> str:
    """Returns what a model is told of a content."""
    value = content.content
    if isinstance(value, bytes):
        mime = content.mime_type
        name = mime.value if isinstance(mime, MemoryMimeType) else mime
        return f"[{len(value)} bytes of {name}]"
    return "[image]" if isinstance(value, Image) else str(value)


def json_safe(content: MemoryContent) -> MemoryContent:
    """Returns a content whose dump is JSON: a team keeps it in its state. Bytes become base64."""
    value: Any = content.content
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode("ascii")
    elif isinstance(value, dict):
        value = to_json(value)
    return content.model_copy(update={"content": value, "metadata": to_json(content.metadata)})


def _encode(value: object) -> tuple[str, Any]:
    if isinstance(value, str):
        return "text", value
    if isinstance(value, bytes):
        return "bytes", base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return "json", to_json(value, "content")
    if isinstance(value, Image):
        return "image", value.to_base64()
    raise NotJSONError(
        f"content is a {type(value).__name__}, which AutoGen does not have", "content"
    )


def _from_native(data: dict[str, Any]) -> MemoryContent:
    value = data["content"]
    if data["kind"] == "bytes":
        value = base64.b64decode(value)
    elif data["kind"] == "image":
        value = Image.from_base64(value)
    elif data["kind"] == "json":
        value = from_json(value)
    elif data["kind"] != "text":
        raise ValueError(f"a memory of the unknown kind {data['kind']!r}")
    # Not validated again: AutoGen would take an object with a field "data" for an image.
    return MemoryContent.model_construct(
        content=value, mime_type=_mime_type(data["mime_type"]), metadata=from_json(data["metadata"])
    )


def _mime_type(name: str) -> MemoryMimeType | str:
    try:
        return MemoryMimeType(name)
    except ValueError:
        return name
