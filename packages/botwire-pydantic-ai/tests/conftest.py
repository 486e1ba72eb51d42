"""Fixtures for the tests of Pydantic AI."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.zygote import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import Pydantic AI first."""
    with Zygote("pydantic_ai", "pydantic_ai.models.function", "botwire_pydantic_ai") as zygote:
        yield zygote
