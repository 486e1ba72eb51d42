"""Fixtures for the tests of the MCP server."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from botwire_mcp import create_server
from conftest import make_key, read_url, running
from tests.zygote import Zygote


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str], str]]:
    """A server with API keys, which may have two streams each: its URL, the keys, the store."""
    file = tmp_path_factory.mktemp("keyed") / "memory.db"
    store = f"sqlite:///{file}"
    keys = {
        "admin": make_key(store, right="admin")[1],
        "all": make_key(store)[1],
        "two writes": make_key(store, writes=2)[1],
        "ada": make_key(store, namespaces=("ada",))[1],
        "reader": make_key(store, namespaces=("ada",), right="read")[1],
        "lent": make_key(store, namespaces=("ada",))[1],
    }
    with running(file, "--max-streams", "2") as process:
        try:
            yield read_url(process), keys, store
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import the SDK first, which takes seconds."""
    with Zygote("mcp", "botwire_mcp") as zygote:
        yield zygote


@pytest.fixture(params=["legacy", "auto"])
def mode(request: pytest.FixtureRequest) -> str:
    """The versions of the protocol: with the handshake of 2025, and without."""
    return str(request.param)


@pytest.fixture
def mode_here(place_url: str) -> str:
    """The versions that a test speaks at a place: old ones on a file, the new one elsewhere."""
    return "legacy" if place_url.startswith("sqlite:") else "auto"


@pytest.fixture
async def client(place: dict[str, Any], mode_here: str) -> AsyncIterator[Client]:
    """A client of a server in this process."""
    async with Client(create_server(**place), mode=mode_here) as client:
        yield client


@pytest.fixture
def stdio(tmp_path: Path) -> Callable[..., StdioServerParameters]:
    """Returns how a client starts its own server."""

    def parameters(*options: str) -> StdioServerParameters:
        environment = {"BOTWIRE_URL": f"sqlite:///{tmp_path / 'memory.db'}"}
        return StdioServerParameters(
            command=sys.executable,
            args=["-m", "botwire_mcp", *options],
            env={**os.environ, **environment},
        )

    return parameters
