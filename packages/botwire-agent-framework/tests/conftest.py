"""Fixtures for the tests of Agent Framework."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.zygote import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import Agent Framework first."""
    with Zygote("agent_framework", "botwire_agent_framework", "tests.scripted_workflow") as zygote:
        yield zygote
