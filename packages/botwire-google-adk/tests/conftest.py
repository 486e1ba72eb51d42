"""Fixtures and helpers for the tests of Google ADK."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zygote import Zygote

# The scripted model of the examples.
sys.path.append(str(Path(__file__).parents[3] / "examples"))

ADK = (
    "google.adk.runners",
    "google.adk.agents.llm_agent",
    "google.adk.auth.auth_preprocessor",
    "google.adk.flows.llm_flows.auto_flow",
    "google.adk.models.google_llm",
    "google.adk.tools.agent_tool",
    "google.adk.cli.service_registry",
    "botwire_google_adk",
)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import ADK first, which takes seconds."""
    with Zygote(*ADK) as zygote:
        yield zygote
