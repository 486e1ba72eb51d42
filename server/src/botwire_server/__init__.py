"""The BotWire server: memory that many processes and machines share.

`botwire_server.app.create_app` creates the application, to run under any ASGI server.
"""

from botwire_server.settings import Settings

__all__ = ["Settings"]
