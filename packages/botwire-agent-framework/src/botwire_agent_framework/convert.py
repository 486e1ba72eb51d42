"""Conversion of Agent Framework's messages to items of a history and back."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, cast, get_args

from agent_framework import Content
from agent_framework import Message as AgentMessage

from botwire import Item
from botwire.client.encoding import encode_each
from botwire.messages import Message, Native, Role, ToolCall, read_items
from botwire.tagged import from_stored, to_json
from botwire.tool_calls import NOT_COMPLETED, CallIds

FRAMEWORK = "agent-framework"
FORMAT = 1
"""``Message.to_dict()``; types that JSON lacks are tagged (`botwire.tagged`)."""


def to_item(message: AgentMessage, path: str = "message") -> dict[str, Any]:
    """Returns the envelope of a message.

    Raises:
        NotJSONError: The message holds something that cannot be restored; the error says where.
    """
    calls = [content for content in message.contents if content.type == "function_call"]
    results = [content for content in message.contents if content.type == "function_result"]
    # The envelope has room for one result; `native` tells several in one message apart.
    only = results[0] if len(results) == 1 else None
    texts = [message.text, *(_text(result.result) for result in results)]
    return Message(
        _role(message.role),
        "\n".join(text for text in texts if text),
        id=message.message_id,
        name=message.author_name,
        tool_calls=[ToolCall.of(c.call_id or "", c.name or "", c.arguments or {}) for c in calls],
        tool_call_id=None if only is None else only.call_id,
        native=Native(FRAMEWORK, FORMAT, to_json(message.to_dict(), path)),
    ).to_item()


def to_items(messages: Iterable[AgentMessage]) -> list[dict[str, Any]]:
    """Returns the envelopes of messages.

    Raises:
        NotJSONError: A message holds something that cannot be restored; the error says which one
            and where.
    """
    given = encode_each(messages, AgentMessage, "messages", "messages")
    return [to_item(message, f"messages[{i}]") for i, message in enumerate(given)]


def item_id(message: AgentMessage, item: dict[str, Any]) -> str | None:
    """Returns an id that identifies a message, None if the message has no id of its own.

    Services give ids to their messages; a message without an id may be said twice. The same id with
    other content is another message, so no message is lost if a service reuses an id.
    """
    if message.message_id is None:
        return None
    written = json.dumps(item, sort_keys=True, ensure_ascii=True).encode()
    return f"{message.message_id:.200}#{hashlib.sha256(written).hexdigest()[:32]}"


def from_items(items: Iterable[Item]) -> list[AgentMessage]:
    """Returns the messages that items hold; logs and skips items that are not messages."""
    return [message for _, message in from_items_with_seqs(items)]


def from_items_with_seqs(items: Iterable[Item]) -> list[tuple[int, AgentMessage]]:
    """Returns the messages as `from_items` does, each with the sequence number of its item."""
    return read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=lambda data: AgentMessage.from_dict(from_stored(data)),
        from_portable=_from_portable,
    )


def call_ids(message: AgentMessage) -> CallIds:
    """Returns the ids of the calls and of the answers in a message."""
    return CallIds(
        [call.call_id or "" for call in _calls(message)],
        [content.call_id or "" for content in message.contents if _is_answer(content)],
    )


def _from_portable(message: Message) -> AgentMessage:
    contents: list[Content] = []
    if message.role == "tool" and message.tool_call_id is not None:
        contents = [Content.from_function_result(message.tool_call_id, result=message.text)]
    elif message.text:
        contents = [Content.from_text(message.text)]
    contents += [
        Content.from_function_call(call.id, call.name, arguments=call.values)
        for call in message.tool_calls
    ]
    return AgentMessage(message.role, contents, author_name=message.name, message_id=message.id)


def _role(role: str) -> Role:
    if role in get_args(Role):
        return cast("Role", role)
    return "system" if role == "developer" else "assistant"


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(to_json(result), ensure_ascii=False)


def _calls(message: AgentMessage) -> list[Content]:
    return [
        content
        for content in message.contents
        if content.type == "function_call" and content.call_id and not content.informational_only
    ]


def _is_answer(content: Content) -> bool:
    return content.type == "function_result" and bool(content.call_id)


def close(message: AgentMessage, positions: Sequence[int]) -> Iterable[AgentMessage]:
    """Yields what answers some calls of a message, for `pair_answers`."""
    calls = [_calls(message)[position].call_id or "" for position in positions]
    results = [Content.from_function_result(call, result=NOT_COMPLETED) for call in calls]
    yield AgentMessage("tool", results)


def select(message: AgentMessage, positions: Sequence[int], rest: bool) -> AgentMessage | None:
    """Returns a message with some of its answers, for `pair_answers`."""
    answers = [content for content in message.contents if _is_answer(content)]
    chosen = {id(answers[position]) for position in positions}
    kept = [
        content
        for content in message.contents
        if (id(content) in chosen if _is_answer(content) else rest)
    ]
    if not kept:
        return None
    selected = copy.copy(message)
    selected.contents = kept
    return selected
