"""Conversion of AutoGen's memory contents to BotWire's records and back."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

from autogen_core import Image
from autogen_core.memory import MemoryContent, MemoryMimeType

from botwire import NotJSONError, Record
from botwire.tagged import from_json, to_json

FORMAT = 1
"""The format of a record's metadata: `format`, `kind`, `content`, `mime_type`, `metadata`.

A text has no `content`. Types that JSON lacks are tagged (`botwire.tagged`).
"""

logger = logging.getLogger("botwire.autogen")


def to_record(content: MemoryContent) -> Record:
    """Returns the record for a memory content.

    Raises:
        NotJSONError: The content holds something that cannot be restored; the error says where.
    """
    value = content.content
    kept: dict[str, Any] = {"format": FORMAT}
    if isinstance(value, str):
        kept["kind"] = "text"
    elif isinstance(value, bytes):
        kept |= {"kind": "bytes", "content": base64.b64encode(value).decode("ascii")}
    elif isinstance(value, dict):
        kept |= {"kind": "json", "content": to_json(value, "content")}
    elif isinstance(value, Image):
        kept |= {"kind": "image", "content": value.to_base64()}
    else:
        raise NotJSONError(
            f"content is a {type(value).__name__}, which AutoGen does not have", "content"
        )
    kept["mime_type"] = _name(content.mime_type)
    kept["metadata"] = to_json(content.metadata, "metadata")
    return Record(to_text(content), metadata=kept)


def from_record(record: Record) -> MemoryContent:
    """Returns the memory content in a record; for a record of another format, its text."""
    kept = record.metadata
    try:
        # Skip validation: AutoGen would mistake an object with a field "data" for an image.
        return MemoryContent.model_construct(
            content=_content(record),
            mime_type=_mime_type(kept["mime_type"]),
            metadata=from_json(kept["metadata"]),
        )
    except (KeyError, TypeError, ValueError, OSError) as error:  # OSError: pillow, for a bad image
        logger.warning("of record %r only the text can be read: %r", record.id, error)
        return MemoryContent(content=record.text, mime_type=MemoryMimeType.TEXT)


def to_text(content: MemoryContent) -> str:
    """Returns the text that a model is shown for a content."""
    value = content.content
    if isinstance(value, bytes):
        return f"[{len(value)} bytes of {_name(content.mime_type)}]"
    if isinstance(value, dict):
        return json.dumps(to_json(value, "content"), ensure_ascii=False)
    return "[image]" if isinstance(value, Image) else str(value)


def json_safe(content: MemoryContent) -> MemoryContent:
    """Returns a content whose dump is JSON, for a team's state. Bytes become base64."""
    value: Any = content.content
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode("ascii")
    elif isinstance(value, dict):
        value = to_json(value)
    return content.model_copy(update={"content": value, "metadata": to_json(content.metadata)})


def _content(record: Record) -> Any:
    written, kind = record.metadata.get("format"), record.metadata.get("kind")
    if written != FORMAT:
        raise ValueError(f"its format is {written!r}, not {FORMAT}")
    if kind == "text":
        return record.text
    value = record.metadata["content"]
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "image":
        return Image.from_base64(value)
    if kind == "json":
        return from_json(value)
    raise ValueError(f"the memory has the unknown kind {kind!r}")


def _name(mime_type: MemoryMimeType | str) -> str:
    return mime_type.value if isinstance(mime_type, MemoryMimeType) else mime_type


def _mime_type(name: str) -> MemoryMimeType | str:
    try:
        return MemoryMimeType(name)
    except ValueError:
        return name
