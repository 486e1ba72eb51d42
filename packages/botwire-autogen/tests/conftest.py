"""Fixtures for the tests of AutoGen."""

from __future__ import annotations

import pytest

from tests.zygote import AUTOGEN, Zygote, zygote_of


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Runs programs that need not import AutoGen first, which takes seconds."""
    return zygote_of(*AUTOGEN)
