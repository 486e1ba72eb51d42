"""Fixtures for the tests of the OpenAI Agents SDK."""

from __future__ import annotations

from collections.abc import Iterator

import agents
import pytest

from tests.zygote import Zygote

agents.set_tracing_disabled(True)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import the SDK first."""
    with Zygote("agents", "botwire_openai_agents", "tests.scripted_responses") as zygote:
        yield zygote
