"""Tasks of teams, accepted and refused as AutoGen's own teams do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogen_agentchat.messages import BaseChatMessage, MessageFactory, TextMessage

from botwire_autogen.dumps import dump


def task_messages(task: Any, factory: MessageFactory) -> list[BaseChatMessage]:
    """Returns a task's messages; raises the same as AutoGen's teams for a task that they refuse."""
    if task is None:
        return []
    if isinstance(task, str):
        return [TextMessage(content=task, source="user")]
    messages = [task] if isinstance(task, BaseChatMessage) else task
    if not isinstance(messages, list):
        raise ValueError("Task must be a string, a BaseChatMessage, or a list of BaseChatMessage.")  # noqa: TRY004 - AutoGen's own
    if not messages:
        raise ValueError("Task list cannot be empty.")
    for message in messages:
        if not isinstance(message, BaseChatMessage):
            raise ValueError("All messages in task list must be valid BaseChatMessage types")  # noqa: TRY004 - AutoGen's own
        if not factory.is_registered(type(message)):
            raise ValueError(
                f"Message type {type(message)} is not registered with the message factory. Please "
                "add it to the custom_message_types of the team, or of CheckpointedTeam."
            )
    return list(messages)


def same_task(task: Sequence[BaseChatMessage], thread: Sequence[dict[str, Any]]) -> bool:
    """Returns whether a thread begins with a task, ignoring ids and times, which always differ."""
    told = [dump(message) for message in task]
    return len(told) <= len(thread) and all(
        {**one, "id": None, "created_at": None} == {**two, "id": None, "created_at": None}
        for one, two in zip(told, thread, strict=False)
    )
