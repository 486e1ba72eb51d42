"""Reads the transcript that Claude Code keeps of a session: a file with a JSON object per line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from botwire.messages import Message, Role, ToolCall
from botwire_mcp import bounds

LONGEST = 20_000
"""The most characters to keep of a message. Claude Code has the whole transcript."""

_LEFT_OUT = ("isSidechain", "isMeta", "isCompactSummary", "isApiErrorMessage")
_LONGEST_ID = 400

logger = logging.getLogger("botwire.mcp")


def read(path: Path) -> list[tuple[str, Message]]:
    """Returns the messages of the user, the agent and its tools, each with its id.

    What the agent told subagents is left out, and so are entries that are not messages. An
    unreadable line is logged, except the last one, which may still be incomplete.

    Args:
        path: The transcript.
    """
    messages: dict[str, Message] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            if number < len(lines):
                logger.warning("skipped line %d of %s, which cannot be read", number, path)
            continue
        uuid = entry.get("uuid") if isinstance(entry, dict) else None
        if not isinstance(uuid, str) or not 0 < len(uuid) <= _LONGEST_ID:
            continue
        if any(entry.get(mark) for mark in _LEFT_OUT):
            continue
        for index, message in enumerate(_messages_of(entry)):
            messages.setdefault(f"{uuid}:{index}" if index else uuid, message)
    return list(messages.items())


def _messages_of(entry: Mapping[str, Any]) -> Iterator[Message]:
    message, kind = entry.get("message"), entry.get("type")
    if kind not in ("user", "assistant") or not isinstance(message, dict):
        return
    content = message.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    said = entry.get("timestamp")
    at = said if isinstance(said, str) else None
    for block in blocks:
        if _is(block, "tool_result"):
            answer = block.get("content")
            text = answer if isinstance(answer, str) else _text(answer or ())
            id = str(block.get("tool_use_id"))
            yield Message("tool", bounds.cut(text, LONGEST), tool_call_id=id, created_at=at)
    text = bounds.cut(_text(blocks), LONGEST)
    calls = [
        ToolCall.of(str(block.get("id")), str(block.get("name")), block.get("input") or {})
        for block in blocks
        if _is(block, "tool_use")
    ]
    if text or calls:
        role: Role = "user" if kind == "user" else "assistant"
        yield Message(role, text, tool_calls=calls, created_at=at)


def _is(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _text(blocks: Iterable[Any]) -> str:
    texts = (block.get("text") for block in blocks if _is(block, "text"))
    return "\n\n".join(text for text in texts if isinstance(text, str))
