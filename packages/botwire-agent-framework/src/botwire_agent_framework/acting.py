"""The agent whose run is being loaded or stored, as the author of what is written meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from agent_framework import SupportsAgentRun

from botwire.connection import Acting

_agent: ContextVar[str | None] = ContextVar("botwire_agent", default=None)


def acting() -> Acting:
    """Returns the agent's name. Agent Framework gives its runs no ids."""
    return Acting(_agent.get())


@contextlib.contextmanager
def written_by(agent: SupportsAgentRun) -> Iterator[None]:
    """Records the agent as the author of everything written in the block."""
    token = _agent.set(getattr(agent, "name", None))
    try:
        yield
    finally:
        _agent.reset(token)
