"""What happens to every request: a name, a caller, a bound, one log line, an exact path."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from botwire import wire
from botwire.errors import BotWireError
from botwire_server import bodies, problems
from botwire_server.access import PUBLIC, Access
from botwire_server.origins import check_origin

access_log = logging.getLogger("botwire.access")

REQUEST_ID = "botwire.request_id"
"""Where in a request's scope its name is."""
CALLER = "botwire.caller"
"""Where in a request's scope its `Caller` is."""

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID_HEADER = wire.REQUEST_ID_HEADER.lower().encode()


class RequestMiddleware:
    """Names and logs each request, bounds its body, and keeps paths exact.

    The path that routes see is the one that was sent, still percent-encoded: a name is one
    segment whatever it holds, and ``%2F`` in it is no separator. `routes` decodes names, once.

    The log holds no key, no namespace and no value.

    Args:
        app: What answers.
        max_body: The largest body, in bytes.
        origins: Of the pages that may write, besides the server's own.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, origins: Collection[str] = ()) -> None:
        self._app = app
        self._max_body = max_body
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request; see https://asgi.readthedocs.io."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(_ID_HEADER, b"").decode("latin-1")
        request_id = given if _SANE_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        scope[REQUEST_ID] = request_id
        raw_path = scope.get("raw_path")
        if raw_path is not None:
            scope["path"] = raw_path.decode("latin-1")
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (_ID_HEADER, request_id.encode())]
            await send(message)

        try:
            send_answer: Send = send_named
            if bodies.accepts_gzip(headers.get(b"accept-encoding", b"")):
                send_answer = bodies.gzipping(send_named)
            try:
                check_origin(scope["method"], headers, self._origins)
                bounded = bodies.bounded(receive, headers, self._max_body)
            except BotWireError as error:
                refusal = problems.respond(problems.translate(error), request_id)
                await refusal(scope, receive, send_answer)
            else:
                await self._app(scope, bounded, send_answer)
        finally:
            access_log.info(
                "request",
                extra={
                    "fields": {
                        "request_id": request_id,
                        "method": scope["method"],
                        "route": _route(scope),
                        "status": status,
                        "milliseconds": round((time.perf_counter() - started) * 1000, 2),
                    }
                },
            )


class AccessMiddleware:
    """Finds out who sent a request, and turns away who may not send any.

    Args:
        app: What answers.
        access: Who may.
    """

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request; see https://asgi.readthedocs.io."""
        if scope["type"] == "http" and scope["path"] not in PUBLIC:
            try:
                scope[CALLER] = await self._access.admit(scope)
            except BotWireError as error:
                answer = problems.respond(problems.translate(error), scope.get(REQUEST_ID))
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _route(scope: Scope) -> str:
    """Returns the route's template, which holds no name."""
    route: Any = scope.get("route")
    return getattr(route, "path", "-")
