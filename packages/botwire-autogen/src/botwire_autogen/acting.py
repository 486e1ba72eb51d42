"""Finds the agent that is handling a message in AutoGen's runtime, and its team."""

from __future__ import annotations

from autogen_core import MessageHandlerContext

from botwire.connection import Acting


def acting() -> Acting:
    """Returns the agent that is handling a message; its key, such as a team's id, is the run."""
    try:
        agent = MessageHandlerContext.agent_id()
    except RuntimeError:  # outside a runtime, for example an agent run by itself
        return Acting()
    # A team registers its members as NAME_TEAM under the team's id.
    return Acting(agent.type.removesuffix(f"_{agent.key}"), agent.key)
