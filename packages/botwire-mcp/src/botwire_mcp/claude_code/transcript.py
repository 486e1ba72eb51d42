"""Reads the transcript that Claude Code keeps of a session: a file with a JSON object per line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from botwire.content_blocks import read_content
from botwire.messages import Message
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
    said = entry.get("timestamp")
    at = said if isinstance(said, str) else None
    for one in read_content("user" if kind == "user" else "assistant", message.get("content")):
        if one.text or one.tool_calls or one.role == "tool":
            yield replace(one, text=bounds.cut(one.text, LONGEST), created_at=at)
