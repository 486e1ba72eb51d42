"""Middleware for every request: its id, limits, caller, log line and exact path."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from botwire import wire
from botwire.errors import AuthenticationError, BotWireError, InvalidRequestError
from botwire.mounts import REFUSAL
from botwire_server import bodies, problems
from botwire_server.auth import PUBLIC, Authenticator
from botwire_server.limits import Policy, RateTable, headers_of, take_request
from botwire_server.logs import LogLine
from botwire_server.metrics import Metrics
from botwire_server.mounting import Mounts
from botwire_server.origins import check_origin
from botwire_server.request_work import RequestWork
from botwire_server.scopes import CALLER, CHANNEL, HEADERS, POLICIES, REQUEST_ID, VIA_CHANNEL, WORK
from botwire_server.tracing import Tracing

access_log = logging.getLogger("botwire.access")

_ONCE = (b"host", b"authorization", b"content-encoding", b"content-type", b"idempotency-key")
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STREAMS = frozenset(
    {
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"content-type", b"application/jsonl"),
    }
)
"""The media types of endless answers."""
_ID_HEADER = wire.REQUEST_ID_HEADER.lower().encode()


class RequestMiddleware:
    """Gives each request an id, limits its body, logs it, and keeps paths exact.

    Routes see the path as it was sent, still percent-encoded: a name is one segment whatever it
    contains, and ``%2F`` in it does not separate segments. `routes` decodes each name once.

    No key, namespace or value is logged.

    Args:
        app: The application that answers.
        max_body: The largest body accepted, in bytes.
        max_seconds: Seconds that the work on a request may take.
        origins: Origins whose pages may write, besides the server's own.
        metrics: Counts requests.
        tracing: Traces requests.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int,
        max_seconds: float | None = None,
        origins: Collection[str] = (),
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self._app = app
        self._tracing = tracing
        self._metrics = metrics
        self._max_body = max_body
        self._max_seconds = max_seconds
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request; see https://asgi.readthedocs.io."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = scope[HEADERS] = dict(scope["headers"])
        given = headers.get(_ID_HEADER, b"").decode("latin-1")
        request_id = given if _SANE_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        scope[REQUEST_ID] = request_id
        raw_path = scope.get("raw_path")
        if raw_path is not None:
            scope["path"] = raw_path.decode("latin-1")
        method = scope["method"]
        policies: list[Policy] = []
        scope[POLICIES] = policies
        status = 0
        streamed = False

        async def send_noted(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
                streamed = not _STREAMS.isdisjoint(headers)
                own = (_ID_HEADER, request_id.encode())
                message["headers"] = [*headers, *headers_of(policies), own]
            await send(message)

        work = scope[WORK] = RequestWork(self._max_seconds, scope, receive)
        self._metrics.begin_request()
        with self._tracing.request(method, scope["scheme"], headers, request_id) as span:
            try:
                await self._answer(scope, receive, send_noted, headers)
            except Exception as error:
                if status:  # the answer has begun, and its sender has logged the error
                    raise
                failure = problems.respond(problems.unexpected(error), request_id)
                await failure(scope, receive, send_noted)
            except asyncio.CancelledError:
                if status or not _is_stopping(scope):
                    raise
                failure = problems.respond(problems.STOPPING, request_id)
                await failure(scope, receive, send_noted)
            finally:
                work.close()
                seconds = time.perf_counter() - started
                status = status or problems.CLIENT_GONE
                route = _route(scope)
                span.end(method, route, status)
                through_channel = VIA_CHANNEL in scope
                self._metrics.end_request(
                    method,
                    route,
                    status,
                    seconds,
                    streamed=streamed,
                    through_channel=through_channel,
                )
                if access_log.isEnabledFor(logging.INFO):
                    fields = {
                        "request_id": request_id,
                        "method": method,
                        "route": route,
                        "status": status,
                        "milliseconds": round(seconds * 1000, 2),
                        **_sender(scope),
                        **({"channel": True} if through_channel else {}),
                    }
                    access_log.handle(LogLine(access_log.name, "request", fields))

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes]
    ) -> None:
        if bodies.accepts_gzip(headers.get(b"accept-encoding", b"")):
            send = bodies.gzipping(send)
        try:
            if len(headers) != len(scope["headers"]):
                _refuse_repeated(scope["headers"])
            # A channel can write, so opening one counts as a write.
            method = "POST" if CHANNEL in scope else scope["method"]
            check_origin(method, headers, self._origins)
            bounded = bodies.bounded(receive, scope, headers, self._max_body)
        except BotWireError as error:
            refusal = problems.respond(problems.translate(error), scope[REQUEST_ID])
            await refusal(scope, receive, send)
        else:
            await self._app(scope, bounded, send)


class CallerMiddleware:
    """Identifies the caller of each request; refuses unknown callers and those over their rate.

    Args:
        app: The application that answers.
        authenticator: Identifies callers.
        rates: Counts requests.
        key_rate: Requests that an API key may send per minute; None: any number.
        mounts: The applications of other packages, which answer below their paths instead of `app`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        rates: RateTable,
        key_rate: int | None,
        mounts: Mounts,
    ) -> None:
        self._app = app
        self._mounts = mounts
        self._authenticator = authenticator
        self._rates = rates
        self._key_rate = key_rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request; see https://asgi.readthedocs.io."""
        if scope["type"] != "http" or scope["path"] in PUBLIC:
            await self._app(scope, receive, send)
            return
        mounted = self._mounts.find(scope["path"])
        app, stranger, session = self._app, None, None
        if mounted is not None:
            app, stranger = mounted.app, mounted.stranger
            session = None if stranger is None else mounted.path
        try:
            if mounted is None or not mounted.is_public:
                await self._admit(scope, session)
        except BotWireError as error:
            if stranger is None or not isinstance(error, AuthenticationError):
                refusal = problems.respond(problems.translate(error), scope.get(REQUEST_ID))
                await refusal(scope, receive, send)
                return
            scope[REFUSAL] = error
            app = stranger
        if mounted is not None:
            scope["route"] = SimpleNamespace(path=mounted.path)  # for the log and the metrics
        await app(scope, receive, send)

    async def _admit(self, scope: Scope, session: str | None) -> None:
        """Identifies the caller of a request, and counts the request.

        Args:
            scope: The scope of the request.
            session: See `Authenticator.identify`.

        Raises:
            AuthenticationError: The caller is unknown.
            QuotaExceededError: The caller has sent too many requests.
        """
        caller = scope[CALLER] = await self._authenticator.identify(scope, session)
        if caller.key is not None:
            rate = self._key_rate if caller.key.rate is None else caller.key.rate
            if rate is not None:
                subject = f"key {caller.key.id}"
                policies: list[Policy] = scope[POLICIES]
                take_request(self._rates, subject, rate, "key-requests", "this API key", policies)


def _refuse_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuses repeated headers, because a proxy and the server may read different ones."""
    names = [name for name, _ in headers]
    for name in _ONCE:
        if names.count(name) > 1:
            raise InvalidRequestError(
                f"the header {name.decode().title()} is repeated: send it once"
            )


def _sender(scope: Scope) -> dict[str, str]:
    """Returns the log fields about the sender: the address, and the public id of the key."""
    client, caller = scope.get("client"), scope.get(CALLER)
    said = {} if client is None else {"client": client[0]}
    if caller is not None and caller.key is not None:
        said["key"] = caller.key.id
    return said


def _is_stopping(scope: Scope) -> bool:
    """Returns whether the server is stopping; it then cancels requests after the grace period."""
    return bool(scope["app"].state.is_stopping)


def _route(scope: Scope) -> str:
    """Returns the template of the route, which contains no names."""
    route: Any = scope.get("route")
    return getattr(route, "path", "-")
