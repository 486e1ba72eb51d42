"""Answers errors with problem documents (RFC 9457) whose types the client knows."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from botwire.errors import (
    APIError,
    AuthenticationError,
    BotWireError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    ServerError,
    TooComplexError,
    TransportError,
)
from botwire_server.scopes import REQUEST_ID

logger = logging.getLogger("botwire.server")

MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499
"""The status to log when the client left before the answer, as in nginx."""
STOPPING = ServerError(
    "the server is stopping, and could not finish this request in time: try again",
    status=503,
    retry_after=1,
)
"""The answer to a request that the end of the grace period cancelled."""
Responses = dict[int | str, dict[str, Any]]
"""The OpenAPI descriptions of a route's answers by status, as FastAPI expects them."""


class _Outages:
    """Tells the first failure of an outage from those that follow, as each request fails then."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}  # by the database's URL

    def is_new(self, url: str) -> bool:
        """Notes a failure of a database, and returns whether it had none for a minute."""
        now = time.monotonic()
        last, self._last[url] = self._last.get(url, -math.inf), now
        return now - last > _MINUTE


_MINUTE = 60.0
_outages = _Outages()


def respond(error: APIError, request_id: str | None = None) -> Response:
    """Returns the answer for an error."""
    problem = error.to_problem()
    if request_id is not None:
        problem["request_id"] = request_id
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = 'Bearer realm="botwire"'
    if error.status == 408:  # the rest of the body may still arrive, and is no request
        headers["Connection"] = "close"
    return Response(json.dumps(problem), error.status, headers, MEDIA_TYPE)


def translate(error: BotWireError) -> APIError:
    """Converts an error of an engine or a check to the error to answer with."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, ConfigurationError):
        status = 422 if isinstance(error, TooComplexError) else None
        return InvalidRequestError(str(error), status=status)
    if isinstance(error, TransportError):
        if _outages.is_new(error.url):
            logger.error("the database does not answer: %s", error)
        return ServerError("the database does not answer: try again", status=503, retry_after=1)
    return unexpected(error)


def unexpected(error: Exception) -> ServerError:
    """Logs an unexpected error, and returns the one to answer with."""
    logger.error("unexpected error", exc_info=error)
    return ServerError("the server failed: its log has the details")


def install(app: FastAPI, methods_of: Callable[[Scope], Iterable[str]]) -> None:
    """Makes the application answer every error with a problem document.

    Args:
        app: The application.
        methods_of: Returns the methods that a path accepts.
    """

    @app.exception_handler(BotWireError)
    async def on_ours(request: Request, error: BotWireError) -> Response:
        return respond(translate(error), _request_id(request))

    @app.exception_handler(ClientDisconnect)
    async def on_disconnect(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)  # for the log: the client has left

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return respond(InvalidRequestError(f"{where}: {first['msg']}"), _request_id(request))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        details = {
            404: "there is nothing at this path",
            405: f"this path does not accept {request.method}",
        }
        detail = details.get(error.status_code, str(error.detail))
        cls = NotFoundError if error.status_code == 404 else InvalidRequestError
        answer = respond(cls(detail, status=error.status_code), _request_id(request))
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        if error.status_code == 405:
            answer.headers["Allow"] = ", ".join(sorted(methods_of(request.scope)))
        return answer

    @app.exception_handler(Exception)
    async def on_anything(request: Request, error: Exception) -> Response:
        return respond(unexpected(error), _request_id(request))


def describe(*errors: type[APIError]) -> Responses:
    """Returns the OpenAPI descriptions of the problems that a route may answer with."""
    described: Responses = {}
    for cls in errors:
        described |= describe_as(cls.status, cls, cls.title)
    return described


def describe_as(status: int, cls: type[APIError], description: str) -> Responses:
    """Returns the description of a problem whose status is not the default of its class."""
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": _example(status, cls)}
    return {status: {"description": description, "content": {MEDIA_TYPE: content}}}


def _example(status: int, cls: type[APIError]) -> dict[str, Any]:
    return cls("What happened and what to do.", status=status).to_problem()


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:botwire:problem:conflict"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened and what to do."},
        "request_id": {"type": "string"},
        "retry_after": {"type": "number", "description": "Seconds."},
    },
}


def _request_id(request: Request) -> str | None:
    found = request.scope.get(REQUEST_ID)
    return found if isinstance(found, str) else None
