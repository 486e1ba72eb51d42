"""Finds the agent that a graph is, and the run being executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config

from botwire.connection import Acting


def acting_in(config: Mapping[str, Any]) -> Acting:
    """Returns the agent and the run that a config names.

    The agent is what `create_agent` calls itself, or the graph's id on a LangGraph server. A run
    has an id if its caller gave it one, as such a server does.
    """
    metadata = config.get("metadata") or {}
    run = config.get("run_id") or metadata.get("run_id")
    if run is None:  # a node's config has it elsewhere
        runtime = (config.get("configurable") or {}).get("__pregel_runtime")
        run = getattr(getattr(runtime, "execution_info", None), "run_id", None)
    return Acting(metadata.get("lc_agent_name") or metadata.get("graph_id"), run)


def acting() -> Acting:
    """Returns the agent and the run whose node is being executed."""
    return acting_in(var_child_runnable_config.get() or {})
