"""What AutoGen has no API for: reads a team's state without its long thread, and restores it whole.

Each function that looks inside AutoGen's objects names the release that it was written for.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from autogen_agentchat.base import Team
from autogen_agentchat.messages import BaseChatMessage, HandoffMessage
from autogen_core import AgentId
from autogen_core.models import LLMMessage
from pydantic import TypeAdapter

from botwire import ConfigurationError
from botwire_autogen.context import BotWireChatCompletionContext
from botwire_autogen.dumps import dumped_state, loadable_states

_THREAD = "message_thread"
_THREAD_OF_MANAGER = "_message_thread"  # autogen-agentchat 0.7.5


async def state_after(team: Team, known: int) -> Mapping[str, Any]:
    """Returns the state of an idle team, with only the messages after the first `known`.

    AutoGen dumps the whole thread each time, which takes longer as the thread grows.
    """
    manager = await manager_of(team)
    thread = getattr(manager, _THREAD_OF_MANAGER, None)
    if not isinstance(thread, list):
        state = await dumped_state(team.save_state())
        return with_thread(state, manager_state(state["agent_states"])[_THREAD][known:])
    setattr(manager, _THREAD_OF_MANAGER, thread[known:])
    try:
        return await dumped_state(team.save_state())
    finally:
        setattr(manager, _THREAD_OF_MANAGER, thread)


async def restore(
    team: Team,
    state: Mapping[str, Any],
    present: Mapping[str, Any] | None = None,
    known: Sequence[Any] = (),
) -> None:
    """Loads a state into a team, whatever it was doing before.

    Args:
        team: The team.
        state: The state to load.
        present: The team's current state, if known; its thread does not matter.
        known: The team's current thread, which is left out of the one in `state`.

    Raises:
        ConfigurationError: The state is of a team with other agents; the error names them.
    """
    fresh = (present or await state_after(team, sys.maxsize))["agent_states"]
    saved = state["agent_states"]
    if fresh.keys() != saved.keys():
        raise ConfigurationError(
            f"the saved team consists of {sorted(saved)}, and this one of {sorted(fresh)}: "
            "a state goes to agents by their names"
        )
    manager = await manager_of(team)
    thread: Any = getattr(manager, _THREAD_OF_MANAGER, None)
    # AutoGen's managers rebuild each message they load, and nothing else depends on the known ones,
    # except for a selector's context (autogen-agentchat 0.7.5).
    keeps = (
        isinstance(thread, list)
        and type(manager).__module__.startswith("autogen_agentchat.")
        and getattr(manager, "_model_context", None) is None
    )
    await _forget(team)
    loaded = {**state, "agent_states": _with_graphs(saved, fresh)}
    if known and not keeps:
        loaded = with_thread(loaded, [*known, *manager_state(saved)[_THREAD]])
    factory = getattr(team, "_message_factory", None)  # no public API (autogen-agentchat 0.7.5)
    states = loadable_states(loaded["agent_states"], factory)
    await team.load_state({**loaded, "agent_states": states})
    if known and keeps:
        setattr(manager, _THREAD_OF_MANAGER, thread + getattr(manager, _THREAD_OF_MANAGER))


def described(team: Team) -> str:
    """Returns a description that identifies a team: its kind, its own name and its agents."""
    # AutoGen has no public API for a team's agents (autogen-agentchat 0.7.5).
    agents = sorted(getattr(team, "_participant_names", ()))
    name = "" if team.name == type(team).__name__ else f" {team.name!r}"
    return f"{type(team).__name__}{name} of {agents}"


async def manager_of(team: Team) -> Any:
    """Returns the manager of a team, or None if the team is not one of AutoGen's own.

    AutoGen has no public API for it (autogen-agentchat 0.7.5).
    """
    runtime = getattr(team, "_runtime", None)
    if runtime is None:
        return None
    if not getattr(team, "_initialized", True):
        await team.save_state()  # creates the manager
    manager_id = AgentId(
        getattr(team, "_group_chat_manager_topic_type", ""), getattr(team, "_team_id", "")
    )
    return await runtime.try_get_underlying_agent_instance(manager_id)


_own_messages: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()
"""The messages that each selector's context held before its team began."""


async def _forget(team: Team) -> None:
    """Clears the data of a team's manager that is not part of its state.

    Loading a state leaves this data as it is (autogen-agentchat 0.7.5). It includes the speakers
    whose answers the manager awaits: after a failed turn it would wait for them forever. It also
    includes the thread in a selector's context, which loading would add a second time. Messages
    that the context held before the team began stay.
    """
    manager = await manager_of(team)
    getattr(manager, "_active_speakers", []).clear()
    context = getattr(manager, "_model_context", None)
    if context is None:
        return
    if context not in _own_messages:
        if isinstance(context, BotWireChatCompletionContext):  # may be older than this process
            _own_messages[context] = list(context.initial_messages)
        else:
            messages = (await context.save_state())["messages"]
            own = messages[: max(len(messages) - _told(manager), 0)]
            _own_messages[context] = TypeAdapter(list[LLMMessage]).validate_python(own)
    await context.clear()
    for message in _own_messages[context]:
        await context.add_message(message)


def _told(manager: Any) -> int:
    """Returns how many messages of its thread a selector has added to its context."""
    thread = getattr(manager, _THREAD_OF_MANAGER, [])
    return sum(
        1 + (len(message.context) if isinstance(message, HandoffMessage) else 0)
        for message in thread
        if isinstance(message, BaseChatMessage)
    )


def manager_state(agent_states: Mapping[str, Any]) -> Any:
    """Returns the state of a team's manager, which is the only state with a thread."""
    return next((s for s in agent_states.values() if _THREAD in s), {_THREAD: []})


def without_thread(state: Any) -> tuple[Any, list[Any]]:
    """Returns a team's state without its thread, and the thread."""
    states = state.get("agent_states", {})
    thread = list(manager_state(states)[_THREAD])
    emptied = {
        name: {**one, _THREAD: []} if _THREAD in one else one for name, one in states.items()
    }
    return {**state, "agent_states": emptied}, thread


def thread_of(state: Any) -> list[dict[str, Any]]:
    """Returns the messages in a team's state, dumped."""
    return list(manager_state(state["agent_states"])[_THREAD])


def with_thread(state: Mapping[str, Any], thread: list[Any]) -> dict[str, Any]:
    """Returns a team's state with another thread."""
    filled = {
        name: {**one, _THREAD: thread} if _THREAD in one else one
        for name, one in state["agent_states"].items()
    }
    return {**state, "agent_states": filled}


def _with_graphs(saved: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the states of a GraphFlow, changed so that a loop runs again after a resume.

    When a node is about to run, the manager resets the node's counters for the edges that triggered
    it. The state does not record which edges did (autogen-agentchat 0.7.5). So this resets the
    counters of each node that waits to run.
    """
    states = dict(saved)
    for name, state in saved.items():
        if "ready" not in state or "remaining" not in state:
            continue
        remaining = {target: dict(groups) for target, groups in state["remaining"].items()}
        enqueued = {target: dict(groups) for target, groups in state["enqueued_any"].items()}
        for node in state["ready"]:
            enqueued[node] = dict.fromkeys(enqueued.get(node, ()), False)
            for group, count in remaining.get(node, {}).items():
                if count <= 0:
                    remaining[node][group] = fresh[name]["remaining"][node][group]
        states[name] = {**state, "remaining": remaining, "enqueued_any": enqueued}
    return states
