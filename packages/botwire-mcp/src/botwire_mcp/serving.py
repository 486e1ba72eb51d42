"""Serves one client on standard input and output."""

from __future__ import annotations

import json
from typing import Any

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

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
    """Replaces halves of characters, such as a client leaves that cuts a text within an emoji.

    The SDK does not read such a message and does not answer it, so the client would wait.
    """
    if isinstance(message, ValidationError):
        line = message.errors(include_url=False)[0]["input"]
        try:
            text = json.dumps(json.loads(line), ensure_ascii=False)
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return SessionMessage(jsonrpc_message_adapter.validate_json(whole, by_name=False))
        except (TypeError, ValueError, RecursionError):
            return message
    return message
