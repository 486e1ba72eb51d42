"""The BotWire server: memory that many processes and machines share."""

from botwire_server.app import create_app
from botwire_server.settings import Settings

__all__ = ["Settings", "create_app"]
