"""BotWire over the Model Context Protocol: one memory for every agent that speaks it.

`create_server` needs the MCP SDK, which is slow to import, so it is imported when it is first used.
The hooks of Claude Code run without it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botwire_mcp.server import create_server

__all__ = ["create_server"]


def __getattr__(name: str) -> Any:
    """Imports the server when its name is first used."""
    if name != "create_server":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from botwire_mcp.server import create_server  # noqa: PLC0415 - slow to import

    return create_server
