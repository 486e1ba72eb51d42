"""Messages of teams as AutoGen dumps them, and what AutoGen's loading needs besides.

AutoGen dumps the content of a structured message by the names of its fields, with computed ones,
and validates the same dump by its aliases. So it cannot load a content that has an alias, or one
that forbids extra fields and computes some (autogen-agentchat 0.7.5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, MessageFactory
from pydantic import BaseModel, ValidationError

from botwire import NotJSONError

_MESSAGES = ("message_thread", "message_buffer")
"""The fields of an agent's state that hold messages."""


def dump(message: BaseAgentEvent | BaseChatMessage) -> dict[str, Any]:
    """Returns a message as JSON.

    Raises:
        NotJSONError: It holds something that JSON lacks.
    """
    try:
        return dict(message.dump())
    except ValueError as error:
        raise _refused(f"a {type(message).__name__} of {message.source!r:.80}", error) from error


async def dumped_state(state: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Returns the state of a team, with its messages as JSON.

    Raises:
        NotJSONError: A message holds something that JSON lacks, or an agent cannot be saved.
    """
    try:
        return await state
    except ValueError as error:
        raise _refused("the state of the team", error) from error


def load(data: Mapping[str, Any], factory: MessageFactory) -> BaseAgentEvent | BaseChatMessage:
    """Returns the message that was dumped."""
    return factory.create(loadable(data, factory))


def loadable(data: Mapping[str, Any], factory: MessageFactory) -> Mapping[str, Any]:
    """Returns a dumped message as AutoGen can load it: with its content already loaded."""
    # AutoGen has no public API for the classes of a factory (autogen-agentchat 0.7.5).
    cls = getattr(factory, "_message_types", {}).get(data.get("type"))
    field = getattr(cls, "model_fields", {}).get("content")
    kind, content = getattr(field, "annotation", None), data.get("content")
    if not (isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(content, dict)):
        return data
    computed = kind.model_computed_fields
    given = {name: part for name, part in content.items() if name not in computed}
    try:
        return {**data, "content": kind.model_validate(given, by_alias=True, by_name=True)}
    except ValidationError:
        return data  # AutoGen's own error is about the message as it was stored


def loadable_states(
    agent_states: Mapping[str, Any], factory: MessageFactory | None
) -> dict[str, Any]:
    """Returns the states of agents with messages that AutoGen can load."""
    if factory is None:
        return dict(agent_states)
    return {
        name: {
            field: [loadable(one, factory) for one in part] if field in _MESSAGES else part
            for field, part in state.items()
        }
        for name, state in agent_states.items()
    }


def _refused(what: str, error: ValueError) -> NotJSONError:
    advice = ""
    if isinstance(error, UnicodeDecodeError):
        advice = (
            ': bytes need a model with ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")'
        )
    return NotJSONError(f"{what} cannot be stored ({error}){advice}", "message")
