"""BotWire over the Model Context Protocol: one memory for every agent that speaks it."""

from botwire_mcp.server import create_server

__all__ = ["create_server"]
