"""Which request of an agent is being stored."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from strands.types.agent import LocalAgent

current_run: ContextVar[str | None] = ContextVar("botwire_strands_run", default=None)
"""The id of the trace of the request whose message is being stored."""


@contextlib.contextmanager
def running(agent: LocalAgent) -> Iterator[None]:
    """Sets `current_run`: an agent's trace is all that tells its requests apart, if any."""
    span = getattr(agent, "trace_span", None)
    context = None if span is None else span.get_span_context()
    traced = f"{context.trace_id:032x}" if context is not None and context.is_valid else None
    token = current_run.set(traced)
    try:
        yield
    finally:
        current_run.reset(token)
