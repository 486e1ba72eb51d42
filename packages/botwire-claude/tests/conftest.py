"""Fixtures for the tests of Claude."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zygote import Zygote

# The scripted model of the examples; the killed process of `AdapterTests` gets the path too.
sys.path.append(str(Path(__file__).parents[3] / "examples"))


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import the SDKs first, which takes seconds."""
    with Zygote("claude_agent_sdk", "anthropic", "botwire_claude") as zygote:
        yield zygote
