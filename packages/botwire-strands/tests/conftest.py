"""Fixtures and helpers for the tests of Strands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zygote import Zygote

# The scripted model of the examples.
sys.path.append(str(Path(__file__).parents[3] / "examples"))


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import Strands first, which takes seconds."""
    with Zygote("strands", "botwire_strands") as zygote:
        yield zygote
