"""Fixtures for the tests of CrewAI."""

from __future__ import annotations

import pytest

from tests.zygote import CREWAI, Zygote, zygote_of


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Runs programs that need not import CrewAI first, which takes seconds."""
    return zygote_of(*CREWAI)
