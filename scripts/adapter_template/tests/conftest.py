"""Fixtures for the shared tests outside BotWire's repository, which has its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

pytest.register_assert_rewrite("botwire.testing")


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def place_url(tmp_path: Path) -> str:
    """Where memory lives: a file. Add a server's URL to run the tests there too."""
    return f"sqlite:///{tmp_path / 'memory.db'}"
