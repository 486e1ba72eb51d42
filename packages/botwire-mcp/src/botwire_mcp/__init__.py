"""BotWire over the Model Context Protocol: one memory for every agent that speaks it.

`create_server` needs the MCP SDK, which is slow to import, so it is imported when it is first used.
The hooks of Claude Code run without it.
"""

from typing import TYPE_CHECKING

from botwire.lazy import lazy_names

if TYPE_CHECKING:
    from botwire_mcp.server import create_server

__all__ = ["create_server"]

__getattr__ = lazy_names(__name__, {"create_server": ("botwire_mcp.server", None)})
