"""What the tests of LangGraph share."""

from __future__ import annotations

import pytest

from tests.zygote import LANGGRAPH, Zygote, zygote_of


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Runs programs that need not import LangGraph first, which takes seconds."""
    return zygote_of(*LANGGRAPH)
