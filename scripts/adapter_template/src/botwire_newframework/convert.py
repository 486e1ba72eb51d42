"""NewFramework's messages to items of a history and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from botwire import Item, NotJSONError
from botwire.messages import ROLES, Message, Native, ToolCall, read_items
from botwire.tagged import from_stored, to_json
from botwire.tool_calls import NOT_COMPLETED, CallIds, pair_answers

FRAMEWORK = "newframework"
FORMAT = 1
"""The version of what `to_item` writes as the native part. Raise it when that changes."""

# REPLACE: use the framework's own class of messages.
ChatMessage = dict[str, Any]
"""``role``, ``content``; perhaps ``tool_calls`` (``id``, ``name``, ``arguments``) or, in an
answer, ``tool_call_id``."""


def to_item(message: ChatMessage, path: str) -> dict[str, Any]:
    """Returns the envelope of a message.

    Args:
        message: The message.
        path: The name of the message in errors.

    Raises:
        NotJSONError: The message could not be read back; the error says what and where.
    """
    # REPLACE: use the framework's own serialization, which must be lossless.
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise NotJSONError(f"{path} is not a NewFramework message: {message!r:.80}", path)
    return Message(
        role=message["role"],
        text=message["content"],
        tool_calls=[
            ToolCall.of(call["id"], call["name"], call["arguments"])
            for call in message.get("tool_calls", ())
        ],
        tool_call_id=message.get("tool_call_id"),
        native=Native(FRAMEWORK, FORMAT, to_json(message, path)),
    ).to_item()


def to_items(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Returns the envelopes of messages; see `to_item`."""
    return [to_item(message, f"messages[{i}]") for i, message in enumerate(messages)]


def from_items(items: Iterable[Item]) -> list[ChatMessage]:
    """Returns the messages that items hold. One that cannot be read is logged and left out."""
    found = read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=from_stored,  # REPLACE: the inverse of what `to_item` does
        from_portable=_from_portable,
    )
    return [message for _, message in found]


def paired(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Returns messages in which each call is followed by its answer, as models require."""
    return pair_answers(messages, ids=_call_ids, close=_close)


def is_question(message: ChatMessage) -> bool:
    """Returns whether a message begins a request, rather than belonging to an answer."""
    return message["role"] in ("user", "system")


def _from_portable(message: Message) -> ChatMessage:
    """Converts a message that another framework stored."""
    made: ChatMessage = {"role": message.role, "content": message.text}
    if message.tool_calls:
        made["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.values}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        made["tool_call_id"] = message.tool_call_id
    return made


def _call_ids(message: ChatMessage) -> CallIds:
    answers = [message["tool_call_id"]] if "tool_call_id" in message else []
    return CallIds([call["id"] for call in message.get("tool_calls", ())], answers)


def _close(message: ChatMessage, positions: Sequence[int]) -> Iterator[ChatMessage]:
    for position in positions:
        call = message["tool_calls"][position]
        yield {"role": "tool", "content": NOT_COMPLETED, "tool_call_id": call["id"]}
