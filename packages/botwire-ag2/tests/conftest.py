"""Fixtures for the tests of AG2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.zygote import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import AG2 first, which takes seconds."""
    with Zygote("ag2", "ag2.testing", "botwire_ag2") as zygote:
        yield zygote
