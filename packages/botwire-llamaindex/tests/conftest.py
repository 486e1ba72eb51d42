"""Fixtures for the tests of LlamaIndex."""

from __future__ import annotations

import pytest

from tests.zygote import LLAMAINDEX, Zygote, zygote_of


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Runs programs that need not import LlamaIndex first, which takes seconds."""
    return zygote_of(*LLAMAINDEX)
