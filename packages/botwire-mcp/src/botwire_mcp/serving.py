"""Serves one client on standard input and output."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

from botwire_mcp import bounds
from botwire_mcp.server import create_server


def serve(namespace: str | None, **options: Any) -> None:
    """Serves until the client closes the input.

    Args:
        namespace: The namespace; see `create_server`.
        **options: The other arguments of `create_server`.
    """
    server = create_server(namespace, **options)

    async def run() -> None:
        async with stdio_server() as (read, write), anyio.create_task_group() as tasks:
            send, readable = anyio.create_memory_object_stream[SessionMessage | Exception]()

            async def forward() -> None:
                async with send:
                    async for message in read:
                        await send.send(_repaired(message))

            tasks.start_soon(forward)
            await server.run(readable, write, server.create_initialization_options())
            tasks.cancel_scope.cancel()

    anyio.run(run)


def _repaired(message: SessionMessage | Exception) -> SessionMessage | Exception:
    """Returns a message without lone surrogates if they kept the SDK from reading it.

    The SDK does not answer a message that it cannot read.
    """
    if isinstance(message, ValidationError):
        line = message.errors(include_url=False)[0]["input"]
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            text = bounds.whole(line)
            return SessionMessage(jsonrpc_message_adapter.validate_json(text, by_name=False))
    return message
