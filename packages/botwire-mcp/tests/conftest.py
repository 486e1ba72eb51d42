"""What the tests of the MCP server share."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from botwire_mcp import create_server
from tests.zygote import Zygote


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
async def client(place: dict[str, Any], mode: str) -> AsyncIterator[Client]:
    """A client of a server in this process."""
    async with Client(create_server(**place), mode=mode) as client:
        yield client


@pytest.fixture
def stdio(tmp_path: Path) -> Callable[..., StdioServerParameters]:
    """Says how a client starts a server of its own."""

    def parameters(*options: str) -> StdioServerParameters:
        environment = {"BOTWIRE_URL": f"sqlite:///{tmp_path / 'memory.db'}"}
        return StdioServerParameters(
            command=sys.executable,
            args=["-m", "botwire_mcp", *options],
            env={**os.environ, **environment},
        )

    return parameters
