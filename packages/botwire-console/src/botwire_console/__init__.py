"""The console of a BotWire server, at ``/console`` of ``botwire serve``."""

from botwire_console.mount import mount

__all__ = ["mount"]
