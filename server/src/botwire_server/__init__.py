"""The BotWire server: memory that many processes and machines share.

`botwire_server.app.create_app` makes the application, for an ASGI server of one's own.
"""

from botwire_server.settings import Settings

__all__ = ["Settings"]
