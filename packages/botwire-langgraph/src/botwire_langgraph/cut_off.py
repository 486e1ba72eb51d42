"""Answers the tool calls of a run that was cut off, for the next run that reads the thread.

A run that ends between a tool call and its answer leaves a state that model services refuse. New
input drops the pending tasks, so LangGraph would show that state to the next model. A run that
begins with new input therefore reads such a call with an answer that says it was cut off. A run
that resumes reads the stored state, because its tools still run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple

from botwire import tool_calls
from botwire.tool_calls import NOT_COMPLETED, CallIds, match_calls

_RESUMING = "__pregel_resuming"
_TASKS = "__pregel_tasks"
_NEXT = "branch:to:"  # prefix of the channels that say which nodes run next


def close_calls(found: CheckpointTuple | None, loop: Any) -> CheckpointTuple | None:
    """Returns a checkpoint as a run that begins should read it.

    Args:
        found: The checkpoint as stored.
        loop: The loop of the run; None if no run reads it.
    """
    if found is None or loop is None or _is_resumed(found, loop):
        return found
    values = found.checkpoint["channel_values"]
    if not values.get(_TASKS) and not any(name.startswith(_NEXT) for name in values):
        return found  # its last run was not cut off
    answered = set(_answered(loop.input))
    closed = {
        channel: _close_all(value, answered)
        for channel, value in values.items()
        if isinstance(value, list) and any(isinstance(one, AIMessage) for one in value)
    }
    checkpoint = {**found.checkpoint, "channel_values": {**values, **closed}}
    return found._replace(checkpoint=cast("Checkpoint", checkpoint))


def _is_resumed(found: CheckpointTuple, loop: Any) -> bool:
    """Returns whether LangGraph will resume the tasks in progress, by its own rule."""
    if loop.input is None or type(loop.input).__name__ == "Command":
        return True
    configurable = loop.config.get("configurable", {})
    if _RESUMING in configurable:
        return bool(configurable[_RESUMING])
    run_id = loop.config.get("metadata", {}).get("run_id")
    return run_id is not None and run_id == found.metadata.get("run_id")


def _close_all(messages: list[Any], answered: set[str]) -> list[Any]:
    unanswered = match_calls(map(_call_ids, messages), settled=answered).unanswered
    return tool_calls.close_calls(messages, unanswered, ids=_call_ids, close=_close)


def _close(message: Any, positions: Sequence[int]) -> Iterator[ToolMessage]:
    for position in positions:
        call = message.tool_calls[position]
        yield ToolMessage(
            NOT_COMPLETED,
            id=str(uuid4()),
            name=call["name"],
            tool_call_id=call["id"],
            status="error",
        )


def _call_ids(message: Any) -> CallIds | None:
    if isinstance(message, AIMessage):
        return CallIds(calls=[call["id"] or "" for call in message.tool_calls])
    if isinstance(message, ToolMessage):
        return CallIds(answers=[message.tool_call_id])
    return CallIds() if isinstance(message, BaseMessage) else None


def _answered(given: Any) -> Iterator[str]:
    """Yields the ids of calls that a run's input answers, as when tools run elsewhere."""
    if isinstance(given, ToolMessage):
        yield given.tool_call_id
    elif isinstance(given, (list, tuple)):
        for one in given:
            yield from _answered(one)
    elif isinstance(given, Mapping):
        if isinstance(given.get("tool_call_id"), str):
            yield given["tool_call_id"]
        for one in given.values():
            yield from _answered(one)
    elif not isinstance(given, BaseMessage) and hasattr(given, "__dict__"):
        for one in vars(given).values():
            yield from _answered(one)
