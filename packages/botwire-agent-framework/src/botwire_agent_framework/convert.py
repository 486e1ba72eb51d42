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
from botwire.tool_calls import NOT_COMPLETED, CallIds, pair_answers

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


def paired(messages: Sequence[AgentMessage], inputs: Sequence[AgentMessage]) -> list[AgentMessage]:
    """Returns messages with an answer added to each call that has none and waits for none.

    Calls that the input answers or approves come last, since their answers follow the input.
    """
    answered = answered_calls(inputs)
    settled = set(answered)
    for message in [*messages, *inputs]:
        approvals = {
            content.function_call.call_id
            for content in message.contents
            if content.type == "function_approval_request" and content.function_call is not None
        }
        # None of a message's tools run before a person has approved those that need it. Agent
        # Framework hides such calls, unless the input approves others.
        if approvals and (not answered or approvals & answered):
            settled |= set(call_ids(message).calls)
    whole = pair_answers(messages, ids=call_ids, close=_close, select=_select, settled=settled)
    open_ids = answered - {call_id for one in whole for call_id in call_ids(one).answers}
    waiting = [one for one in whole if not open_ids.isdisjoint(call_ids(one).calls)]
    return [*(one for one in whole if not any(one is other for other in waiting)), *waiting]


def answered_calls(inputs: Iterable[AgentMessage]) -> set[str]:
    """Returns the ids of the calls that an input answers, approves or rejects."""
    return {
        call_id
        for message in inputs
        for content in message.contents
        if (call_id := _answered_by(content)) is not None
    }


def _answered_by(content: Content) -> str | None:
    if content.type == "function_result":
        return content.call_id
    call = content.function_call if content.type == "function_approval_response" else None
    return None if call is None else call.call_id


def count_replayed(given: Sequence[AgentMessage], stored: Sequence[AgentMessage]) -> int:
    """Returns how many of the given messages repeat the end of a stored conversation.

    Messages of users alone are no replay, as a user may say the same again.
    """
    new, old = [_content(one) for one in given], [_content(one) for one in stored]
    for count in range(min(len(new), len(old)), 0, -1):
        if new[:count] == old[-count:] and any(one.role != "user" for one in given[:count]):
            return count
    return 0


def _content(message: AgentMessage) -> Any:
    return message.role, [content.to_dict() for content in message.contents]


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


def _close(message: AgentMessage, positions: Sequence[int]) -> Iterable[AgentMessage]:
    calls = [_calls(message)[position].call_id or "" for position in positions]
    results = [Content.from_function_result(call, result=NOT_COMPLETED) for call in calls]
    yield AgentMessage("tool", results)


def _select(message: AgentMessage, positions: Sequence[int], rest: bool) -> AgentMessage | None:
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
