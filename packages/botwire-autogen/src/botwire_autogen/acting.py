"""Which agent of AutoGen's runtime is handling a message, and in which team."""

from __future__ import annotations

from autogen_core import MessageHandlerContext

from botwire.connection import Acting


def acting() -> Acting:
    """Returns the agent that is handling a message; its key, such as a team's id, is the run."""
    try:
        agent = MessageHandlerContext.agent_id()
    except RuntimeError:  # outside of a runtime, as when an agent is run by itself
        return Acting()
    # A team registers its members as NAME_TEAM under the team's id.
    return Acting(agent.type.removesuffix(f"_{agent.key}"), agent.key)
