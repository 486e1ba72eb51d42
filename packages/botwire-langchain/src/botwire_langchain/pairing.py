"""What of a history a model may be shown: each call of a tool with its answer."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from botwire.tool_calls import NOT_COMPLETED, CallIds, match_calls


def pair(messages: Sequence[BaseMessage], *, is_window: bool) -> list[BaseMessage]:
    """Returns messages in which a call that something else followed is answered.

    A call at the end stays open, as its program may be about to run the tool.

    Args:
        messages: Oldest first.
        is_window: Whether older ones were left out; then an answer may have lost its call, and is
            left out too.
    """
    known = [_call_ids(message) for message in messages]
    found = match_calls(known)
    last = max((index for index, ids in enumerate(known) if ids.calls), default=-1)
    is_open_ended = all(ids.answers for ids in known[last + 1 :])
    unanswered: dict[int, list[int]] = {}
    for index, position in found.unanswered:
        if index != last or not is_open_ended:
            unanswered.setdefault(index, []).append(position)
    lost = {spot.message for spot in found.orphans} if is_window else set()
    shown: list[BaseMessage] = []
    due: list[BaseMessage] = []
    for index, message in enumerate(messages):
        if not known[index].answers:  # after the answers that are there
            shown += due
            due = []
        if index not in lost:
            shown.append(message)
        due += [_close(message, position) for position in unanswered.get(index, ())]
    return shown + due


def _call_ids(message: BaseMessage) -> CallIds:
    if isinstance(message, AIMessage):
        return CallIds(calls=[call["id"] or "" for call in message.tool_calls])
    return CallIds(answers=[message.tool_call_id] if isinstance(message, ToolMessage) else ())


def _close(message: BaseMessage, position: int) -> BaseMessage:
    assert isinstance(message, AIMessage)
    call = message.tool_calls[position]
    return ToolMessage(
        NOT_COMPLETED, name=call["name"], tool_call_id=call["id"] or "", status="error"
    )
