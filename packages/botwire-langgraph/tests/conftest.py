"""Fixtures for the tests of LangGraph."""

from __future__ import annotations

import pytest

from tests.zygote import LANGGRAPH, Zygote, zygote_of


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Runs programs that need not import LangGraph first, which takes seconds."""
    return zygote_of(*LANGGRAPH)


@pytest.fixture(scope="session")
def deepagents() -> Zygote:
    """Runs programs that need not import deepagents first, which takes seconds."""
    return zygote_of("deepagents", "botwire_langgraph.backend")
