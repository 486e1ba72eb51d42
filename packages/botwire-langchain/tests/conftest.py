"""Fixtures for the tests of LangChain."""

from __future__ import annotations

import pytest

from tests.zygote import LANGCHAIN, Zygote, zygote_of


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Runs programs that need not import LangChain first, which takes seconds."""
    return zygote_of(*LANGCHAIN)
