"""Strands' messages to items of a history and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from strands.types.content import ContentBlock
from strands.types.content import Message as StrandsMessage
from strands.types.session import SessionMessage
from strands.types.tools import ToolResult, ToolUse

from botwire import Item
from botwire.exact import Json
from botwire.messages import Message, Native, ToolCall, items_of, read_items
from botwire.tagged import from_stored, to_json
from botwire.tool_calls import NOT_COMPLETED, CallIds, pair_answers

FRAMEWORK = "strands"
FORMAT = 1
"""``SessionMessage.to_dict()``, tagged by `botwire.tagged`.

A message with several tool results is stored as several items; see `botwire.messages.items_of`.
"""


_BROKEN_OFF = [{"text": "Tool was interrupted."}]
"""What Strands answers for a call that was broken off (strands-agents 1.62)."""


def to_items(message: SessionMessage) -> list[dict[str, Any]]:
    """Returns the items that hold a message.

    Raises:
        NotJSONError: A part cannot be stored; the error says where.
    """
    said = [
        replace(one, created_at=message.created_at) for one in _messages_of(message.to_message())
    ]
    native = Native(FRAMEWORK, FORMAT, to_json(message.to_dict(), "message"))
    return items_of(said, native)


def from_items(items: Iterable[Item]) -> list[SessionMessage]:
    """Returns the messages that items hold, those of other frameworks too.

    The number of a message is one less than its item's, so no two have the same. System messages of
    other frameworks are left out: an agent has a system prompt of its own.
    """
    found = read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=_from_native,
        from_portable=_from_portable,
    )
    messages = []
    for seq, message in found:
        if message is not None:
            message.message_id = seq - 1
            messages.append(message)
    return messages


def is_question(message: StrandsMessage) -> bool:
    """Returns whether a message begins a request, and does not belong to an answer."""
    return message["role"] == "user" and not _results(message)


def has_calls(message: StrandsMessage) -> bool:
    """Returns whether a message calls tools."""
    return bool(_call_ids(message).calls)


def has_results(message: StrandsMessage) -> bool:
    """Returns whether a message holds what tools returned."""
    return bool(_results(message))


def is_placeholder(message: StrandsMessage) -> bool:
    """Says whether Strands made a message itself, to answer calls that were broken off.

    An agent object whose run was interrupted adds it before its next prompt.
    """
    results = _results(message)
    return bool(results) and all(map(_is_broken_off, results))


def only_answers(item: Item) -> bool:
    """Returns whether an item holds what a tool returned, and nothing else."""
    return isinstance(item.value, dict) and item.value.get("role") == "tool"


def paired(messages: Iterable[StrandsMessage]) -> list[StrandsMessage]:
    """Returns messages in which each call is answered by the next message, as models demand."""
    messages = list(messages)
    answered = {
        result["toolUseId"]
        for message in messages
        for result in _results(message)
        if not _is_broken_off(result)
    }
    # What another process's tool returned replaces the placeholder that was stored before.
    kept = [
        message
        for message in messages
        if not is_placeholder(message) or not answered.issuperset(_call_ids(message).answers)
    ]
    whole = pair_answers(kept, ids=_call_ids, close=_close, select=_select)
    merged: list[StrandsMessage] = []
    for message in whole:
        if not message["content"]:
            continue  # Strands' own, for tools that were broken off by a BaseException
        if _results(message) and merged and _results(merged[-1]):
            content = [*merged[-1]["content"], *message["content"]]
            merged[-1] = {**merged[-1], "content": content}
        else:
            merged.append(message)
    return merged


def _messages_of(message: StrandsMessage) -> Iterator[Message]:
    content = message["content"]
    for result in _results(message):
        yield Message("tool", _result_text(result), tool_call_id=result["toolUseId"])
    text = "\n\n".join(block["text"] for block in content if "text" in block)
    if _results(message) and not text:
        return
    calls = [
        ToolCall.of(use["toolUseId"], use["name"], use["input"] or {})
        for block in content
        if (use := block.get("toolUse")) is not None
    ]
    yield Message(message["role"], text, tool_calls=calls)


def _results(message: StrandsMessage) -> list[ToolResult]:
    return [block["toolResult"] for block in message["content"] if "toolResult" in block]


def _is_broken_off(result: ToolResult) -> bool:
    return result["status"] == "error" and result["content"] == _BROKEN_OFF


def _result_text(result: ToolResult) -> str:
    parts = (
        part["text"] if "text" in part else json.dumps(part["json"], default=str)
        for part in result["content"]
        if "text" in part or "json" in part
    )
    return "\n\n".join(parts)


def _from_native(data: Json) -> SessionMessage | None:
    value = from_stored(data)
    return None if value is None else SessionMessage.from_dict(value)


def _from_portable(message: Message) -> SessionMessage | None:
    if message.role == "system":
        return None
    content: list[ContentBlock] = [{"text": message.text}] if message.text else []
    if message.tool_call_id is not None:
        content = [_result(message.tool_call_id, message.text)]
    for call in message.tool_calls:
        use: ToolUse = {"toolUseId": call.id, "name": call.name, "input": call.by_name}
        content.append({"toolUse": use})
    role = "assistant" if message.role == "assistant" else "user"
    made: StrandsMessage = {"role": role, "content": content}  # type: ignore[typeddict-item]
    return SessionMessage.from_message(made, 0)


def _result(call_id: str, text: str, status: Any = "success") -> ContentBlock:
    return {"toolResult": {"toolUseId": call_id, "status": status, "content": [{"text": text}]}}


def _call_ids(message: StrandsMessage) -> CallIds:
    uses = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
    return CallIds(uses, [result["toolUseId"] for result in _results(message)])


def _select(message: StrandsMessage, answers: Sequence[int], rest: bool) -> StrandsMessage | None:
    kept = [{"toolResult": _results(message)[position]} for position in answers]
    others = [block for block in message["content"] if "toolResult" not in block] if rest else []
    content: Any = [*kept, *others]
    return {**message, "content": content} if content else None


def _close(message: StrandsMessage, positions: Sequence[int]) -> Iterator[StrandsMessage]:
    calls = _call_ids(message).calls
    closed = [_result(calls[position], NOT_COMPLETED, "error") for position in positions]
    yield {"role": "user", "content": closed}
