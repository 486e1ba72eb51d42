"""Answers HEAD like GET, with the same headers and no body (RFC 9110, section 9.3.2)."""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Lets the routes answer a HEAD request as if it were a GET.

    Everything else still sees HEAD: the log, the metrics, the origin check, and the ASGI server,
    which drops the body. The routes build the complete answer, so its headers equal those of a GET,
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

        # Changed in place, because the route that answers records itself in this scope.
        scope["method"] = "GET"
        try:
            with anyio.CancelScope() as rest:
                await self._app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"
