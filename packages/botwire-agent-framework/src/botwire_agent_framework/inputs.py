"""A run's input beside what is stored: what it repeats, and which calls it answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agent_framework import Content, Message

from botwire import AsyncHistory
from botwire.off_loop import off_loop
from botwire.tool_calls import pair_answers
from botwire_agent_framework.convert import call_ids, close, from_items, select


async def without_stored(history: AsyncHistory, inputs: list[Message]) -> list[Message]:
    """Returns the input without its beginning, if the conversation ends with the same messages.

    Agents of a workflow that share a session pass on the conversation, which is stored already.
    """
    stored = await history.read_last(len(inputs))
    return inputs[_count_replayed(inputs, await off_loop(from_items, stored)) :]


async def find_calls(
    history: AsyncHistory, inputs: Sequence[Message], loaded: Sequence[Message]
) -> list[Message]:
    """Returns the messages before the loaded ones whose calls the input answers or approves."""
    missing = _answered(inputs) - {one for message in loaded for one in call_ids(message).calls}
    found: list[Message] = []
    if missing:
        async for item in history.newest_first():
            for message in from_items([item]):
                if not missing.isdisjoint(call_ids(message).calls):
                    missing -= set(call_ids(message).calls)
                    found.insert(0, message)
            if not missing:
                break
    return found


def paired(messages: Sequence[Message], inputs: Sequence[Message]) -> list[Message]:
    """Returns messages with an answer added to each call that has none and waits for none.

    Calls that the input answers or approves come last, since their answers follow the input.
    """
    answered = _answered(inputs)
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
    whole = pair_answers(messages, ids=call_ids, close=close, select=select, settled=settled)
    open_ids = answered - {call_id for one in whole for call_id in call_ids(one).answers}
    waiting = [one for one in whole if not open_ids.isdisjoint(call_ids(one).calls)]
    return [*(one for one in whole if not any(one is other for other in waiting)), *waiting]


def _answered(inputs: Iterable[Message]) -> set[str]:
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


def _count_replayed(given: Sequence[Message], stored: Sequence[Message]) -> int:
    """Returns how many of the given messages repeat the end of a stored conversation.

    Messages of users alone are no replay, as a user may say the same again.
    """
    new, old = [_content(one) for one in given], [_content(one) for one in stored]
    for count in range(min(len(new), len(old)), 0, -1):
        if new[:count] == old[-count:] and any(one.role != "user" for one in given[:count]):
            return count
    return 0


def _content(message: Message) -> Any:
    return message.role, [content.to_dict() for content in message.contents]
