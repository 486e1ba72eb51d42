"""Answers HEAD wherever GET is answered, with the same head and no body (RFC 9110, 9.3.2)."""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Lets the routes answer a HEAD request as if it were a GET.

    Everything else still sees HEAD: the log, the metrics, the check of origins, and the ASGI
    server, which drops the body. The answer is built completely, so its head is that of the GET,
    compressed or not.

    Args:
        app: The routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request; see https://asgi.readthedocs.io."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            scope["method"] = "HEAD"
            if message.get("more_body"):  # a stream, which may never end
                await send({"type": "http.response.body"})
                rest.cancel()
            else:
                await send(message)

        # Changed in place, as the routes record in this scope which of them answered.
        scope["method"] = "GET"
        try:
            with anyio.CancelScope() as rest:
                await self._app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"
