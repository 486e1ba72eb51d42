"""Middleware for every request: its id, limits, caller, log line and exact path."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from botwire import wire
from botwire.errors import AuthenticationError, BotWireError, InvalidRequestError
from botwire.mounts import REFUSAL
from botwire_server import bodies, problems
from botwire_server.auth import PUBLIC, Authenticator
from botwire_server.channels import CHANNEL, VIA_CHANNEL
from botwire_server.limits import Policy, RateTable, headers_of, take_request
from botwire_server.logs import LogLine
from botwire_server.metrics import Metrics
from botwire_server.origins import check_origin
from botwire_server.request_work import CALLER, WORK, RequestWork
from botwire_server.tracing import Tracing

if TYPE_CHECKING:  # `mounting` imports this module
    from botwire_server.mounting import Mounts

access_log = logging.getLogger("botwire.access")

REQUEST_ID = "botwire.request_id"
"""The scope key of the request's id."""
HEADERS = "botwire.headers"
"""The scope key of the headers by name; if a name is repeated, its last header wins."""
POLICIES = "botwire.policies"
"""The scope key of the limits that applied to the request."""

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
        status = 0
        streamed = False

        async def send_named(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                streamed = not _STREAMS.isdisjoint(message["headers"])
                message["headers"] = [*message["headers"], (_ID_HEADER, request_id.encode())]
            await send(message)

        work = scope[WORK] = RequestWork(self._max_seconds, scope, receive)
        self._metrics.begin_request()
        with self._tracing.request(method, scope["scheme"], headers, request_id) as span:
            try:
                await self._answer(scope, receive, send_named, headers)
            except Exception as error:
                if status:  # the answer has begun, and its sender has logged the error
                    raise
                failure = problems.respond(problems.unexpected(error), request_id)
                await failure(scope, receive, send_named)
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
        mounts: The applications of other packages, which may answer unknown callers themselves.
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
        is_public = scope["type"] != "http" or scope["path"] in PUBLIC
        if is_public or self._mounts.is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        policies: list[Policy] = []
        scope[POLICIES] = policies

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start" and policies:
                message["headers"] = [*message["headers"], *headers_of(policies)]
            await send(message)

        path, mount = self._mounts.at(scope["path"]) or (None, None)
        stranger = None if mount is None else mount.stranger
        try:
            session = None if stranger is None else path
            caller = scope[CALLER] = await self._authenticator.identify(scope, session)
            if caller.key is not None:
                rate = self._key_rate if caller.key.rate is None else caller.key.rate
                if rate is not None:
                    subject = f"key {caller.key.id}"
                    whose = "this API key"
                    take_request(self._rates, subject, rate, "key-requests", whose, policies)
        except BotWireError as error:
            if stranger is not None and isinstance(error, AuthenticationError):
                scope[REFUSAL] = error
                scope["route"] = SimpleNamespace(path=path)  # for the log and the metrics
                await stranger(scope, receive, send)
                return
            answer = problems.respond(problems.translate(error), scope.get(REQUEST_ID))
            await answer(scope, receive, send_with_limits)
            return
        await self._app(scope, receive, send_with_limits)


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


def _route(scope: Scope) -> str:
    """Returns the template of the route, which contains no names."""
    route: Any = scope.get("route")
    return getattr(route, "path", "-")
