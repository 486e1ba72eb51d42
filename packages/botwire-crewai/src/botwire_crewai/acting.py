"""Finds the agent of a crew that is remembering, and its execution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from crewai.execution import get_execution_uuid

from botwire.connection import Acting

_agent: ContextVar[str | None] = ContextVar("botwire_crewai_agent", default=None)


def acting() -> Acting:
    """Returns the role of the agent that is remembering, and the id of the kickoff."""
    return Acting(_agent.get(), get_execution_uuid())


@contextlib.contextmanager
def remembering(agent: str | None) -> Iterator[None]:
    """Sets the agent for everything stored in the block, or by saves that start in it."""
    token = _agent.set(agent or _agent.get())
    try:
        yield
    finally:
        _agent.reset(token)
