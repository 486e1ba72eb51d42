"""The tools on keys: values under a name, with versions."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from pydantic import Field

from botwire import AsyncMemory
from botwire.errors import ConflictError
from botwire_mcp import bounds
from botwire_mcp.tool import Answer, MemoryTool, RefusedError


class Get(MemoryTool):
    """Read the value of a key, with its version."""

    name: ClassVar[str] = "get"
    reads: ClassVar[bool] = True
    answers: ClassVar[dict[str, str]] = {
        "found": "boolean",
        "value": "any",
        "text": "string",
        "version": "integer",
        "more": "string",
        "searched": "string",
    }

    key: str
    offset: int = Field(0, description="Of the value's JSON, if it is long")
    max_chars: int = bounds.DEFAULT_CHARS

    async def run(self, memory: AsyncMemory) -> Answer:
        """Reads the key."""
        entry = await memory.entry(self.key)
        if entry is None:
            where = f"key {self.key!r:.200} in namespace {memory.namespace!r}"
            return {"found": False, "searched": where}
        answer: Answer = {"found": True, "version": entry.version}
        value = _shown(entry.value)
        text = bounds.to_text(value)
        most = bounds.limit_of(self.max_chars)
        if len(text) <= most and self.offset <= 0:
            return {**answer, "value": value}
        start = max(self.offset, 0)
        answer["text"] = text[start : start + most]
        if start + most < len(text):
            answer["more"] = f"this is part of {len(text):,} characters: offset={start + most}"
        return answer


class Set(MemoryTool):
    """Store any JSON value under a key.

    With version it is written only if the key still has it; 0 means the key is new.
    """

    name: ClassVar[str] = "set"
    answers: ClassVar[dict[str, str]] = {"version": "integer", "value": "any"}

    key: str
    value: Any
    version: int | None = Field(None, ge=0)
    ttl: float | None = Field(None, description="Seconds to live")

    async def run(self, memory: AsyncMemory) -> Answer:
        """Writes the key."""
        ttl = self.ttl or None
        try:
            version = await memory.set(self.key, self.value, ttl=ttl, if_version=self.version)
        except ConflictError:
            entry = await memory.entry(self.key)
            if entry is not None and _same(entry.value, self.value):
                return {"version": entry.version}  # a repeated call: already written
            raise _changed(entry.version if entry else 0, entry.value if entry else None) from None
        return {"version": version}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return bounds.portable(value)


def _changed(version: int, value: Any) -> RefusedError:
    if version == 0:
        return RefusedError("the key no longer exists: nothing was written", {"version": 0})
    text = bounds.to_text(_shown(value))
    present: Answer = {"version": version}
    if len(text) <= bounds.DEFAULT_CHARS:
        present["value"] = _shown(value)
    return RefusedError(
        f"another agent wrote this key: it has version {version} now. Nothing was written.", present
    )


def _same(stored: Any, given: Any) -> bool:
    return not isinstance(stored, bytes) and bounds.to_text(stored) == bounds.to_text(given)
