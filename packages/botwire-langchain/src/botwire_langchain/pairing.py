"""Pairs each tool call with its answer before a model sees the messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from botwire.tool_calls import NOT_COMPLETED, CallIds, close_calls, match_calls

_NONE = CallIds()


def pair(messages: Sequence[BaseMessage], *, is_window: bool) -> list[BaseMessage]:
    """Returns messages in which every call is answered, except at the end.

    A call at the end stays open, since its program may be about to run the tool.

    Args:
        messages: Oldest first.
        is_window: Whether older messages were left out; then answers without a call are left out.
    """
    known = [_call_ids(message) for message in messages]
    if not any(ids.calls or ids.answers for ids in known):
        return list(messages)
    found = match_calls(known)
    last = max((index for index, ids in enumerate(known) if ids.calls), default=-1)
    is_open_ended = all(ids.answers for ids in known[last + 1 :])
    unanswered = [spot for spot in found.unanswered if spot.message != last or not is_open_ended]
    shown = close_calls(messages, unanswered, ids=_call_ids, close=_close)
    if not is_window:
        return shown
    lost = {id(messages[spot.message]) for spot in found.orphans}
    return [message for message in shown if id(message) not in lost]


def _call_ids(message: BaseMessage) -> CallIds:
    if isinstance(message, AIMessage) and message.tool_calls:
        return CallIds(calls=[call["id"] or "" for call in message.tool_calls])
    return CallIds(answers=[message.tool_call_id]) if isinstance(message, ToolMessage) else _NONE


def _close(message: BaseMessage, positions: Sequence[int]) -> Iterator[BaseMessage]:
    assert isinstance(message, AIMessage)
    for position in positions:
        call = message.tool_calls[position]
        yield ToolMessage(
            NOT_COMPLETED, name=call["name"], tool_call_id=call["id"] or "", status="error"
        )
