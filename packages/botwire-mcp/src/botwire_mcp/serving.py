"""Serves one client on standard input and output."""

from __future__ import annotations

from typing import Any

import anyio
from mcp.server.stdio import stdio_server

from botwire_mcp.server import create_server


def serve(namespace: str | None, **options: Any) -> None:
    """Serves until the client closes the input.

    Args:
        namespace: The namespace; see `create_server`.
        **options: The other arguments of `create_server`.
    """
    server = create_server(namespace, **options)

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)
