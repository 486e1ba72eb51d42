"""The BotWire server: memory that many processes and machines share."""

from botwire_server.app import create_app

__all__ = ["create_app"]
