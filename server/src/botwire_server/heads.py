"""HEAD is answered wherever GET is (RFC 9110, section 9.3.2): the same head, and no body."""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Lets the routes answer a HEAD as the GET that it stands for.

    All around them goes on seeing a HEAD: the log, the counts, the bound on origins, and the ASGI
    server, which sends no body of such an answer, as Starlette's own routes expect of it. The
    answer is made whole, so that its head is that of the GET, packed or not.

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
            if message.get("more_body"):  # a stream, which may have no end
                await send({"type": "http.response.body"})
                rest.cancel()
            else:
                await send(message)

        # In its place: routes note in this scope, for those around them, which of them it was.
        scope["method"] = "GET"
        try:
            with anyio.CancelScope() as rest:
                await self._app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"
