"""Reads content of Anthropic's API: a text, or a list of blocks such as ``tool_use``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botwire.messages import Message, Role, ToolCall


def read_content(role: Role, content: Any) -> list[Message]:
    """Returns the portable messages in the content of a message.

    Args:
        role: Who says what is not a tool's result: ``user`` or ``assistant``.
        content: A text or blocks. Blocks of an unknown type are skipped.

    Returns:
        A message per tool's result, then one with the texts and calls. The last is left out if it
        would be empty beside results.

    Raises:
        NotJSONError: An argument of a call would not come back equal; the message says where.
    """
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    results = [
        Message("tool", _result(block), tool_call_id=str(block.get("tool_use_id")))
        for block in blocks
        if _is(block, "tool_result")
    ]
    calls = tuple(
        ToolCall.of(str(block.get("id")), str(block.get("name")), block.get("input") or {})
        for block in blocks
        if _is(block, "tool_use")
    )
    text = _text(blocks)
    if results and not (text or calls):
        return results
    return [*results, Message(role, text, tool_calls=calls)]


def _result(block: dict[str, Any]) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    return _text(content) if isinstance(content, list) else ""


def _is(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _text(blocks: Iterable[Any]) -> str:
    texts = (block.get("text") for block in blocks if _is(block, "text"))
    return "\n\n".join(text for text in texts if isinstance(text, str))
