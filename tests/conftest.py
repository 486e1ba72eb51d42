"""Every place where memory may live, and both clients: one suite for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import open_client

SHARED = {
    "postgres": "postgres_url",
    "http": "server_url",
    "http-postgres": "postgres_server_url",
}
"""Places that all tests of a run share, and the fixtures that start them."""


@pytest.fixture(params=["embedded", "in-memory", *SHARED])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where memory lives."""
    if request.param in SHARED:
        return str(request.getfixturevalue(SHARED[request.param]))
    return "sqlite://" if request.param == "in-memory" else f"sqlite:///{tmp_path / 'memory.db'}"


@pytest.fixture(params=["embedded", *SHARED])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where memory lives that several processes use at once."""
    if request.param in SHARED:
        return str(request.getfixturevalue(SHARED[request.param]))
    return f"sqlite:///{tmp_path / 'memory.db'}"


@pytest.fixture(params=["blocking", "awaited"])
async def memory(request: pytest.FixtureRequest, url: str, namespace: str) -> AsyncIterator[Any]:
    """A client of each flavor with an empty namespace."""
    client = open_client(request.param, namespace, url)
    yield client
    await client.aclose()
