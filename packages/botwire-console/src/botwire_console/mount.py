"""The console as an application that `botwire serve` mounts at ``/console``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from botwire.errors import APIError, BotWireError, NotFoundError, PermissionDeniedError
from botwire.mounts import Host, Mount, Scope
from botwire_console import rendering
from botwire_console.links import ROOT
from botwire_console.signing_in import answer_stranger, sign_out
from botwire_console.views import VIEWS
from botwire_console.visit import Visit
from botwire_server import problems
from botwire_server.scopes import HEADERS

logger = logging.getLogger("botwire.console")

_FOREVER = "public, max-age=31536000, immutable"  # a file's address changes with its content


def mount(host: Host) -> Mount:
    """Returns the application that botwire-server mounts at ``/console``.

    Args:
        host: The server.
    """

    async def app(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        await _guarded(scope, receive, send, lambda: _answer(Visit(host, scope, receive)))

    async def stranger(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        await _guarded(scope, receive, send, lambda: _answer_stranger(scope, receive))

    return Mount(app, stranger=stranger)


async def _answer(visit: Visit) -> Response:
    scope = visit.scope
    view = _view(scope)
    if (file := _file(view)) is not None:
        return file
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    if method == "POST" and view == "sign-out":
        return sign_out(scope)
    found = VIEWS.get((method, view))
    if found is None:
        raise NotFoundError(
            "there is no such page" if method == "GET" else "this page does not accept that"
        )
    return await found(visit)


async def _answer_stranger(scope: Scope, receive: Callable[..., Any]) -> Response:
    file = _file(_view(scope))
    return file if file is not None else await answer_stranger(scope, receive)


async def _guarded(
    scope: Scope,
    receive: Callable[..., Any],
    send: Callable[..., Any],
    call: Callable[[], Awaitable[Response]],
) -> None:
    """Sends an answer, or a page that reports the error."""
    try:
        _check_origin(scope)
        answer = await call()
    except ClientDisconnect:
        answer = Response(status_code=problems.CLIENT_GONE)
    except BotWireError as error:
        answer = _failure(problems.translate(error))
    except Exception as error:  # noqa: BLE001 - it is logged, and the visitor is told
        answer = _failure(problems.unexpected(error))
    await answer(scope, receive, send)


def _check_origin(scope: Scope) -> None:
    """Refuses writes that do not come from a page of the console.

    Browsers send the Origin header with every POST. The server's setting for other sites does not
    apply here: no other site needs to write through the console.
    """
    if scope["method"] in ("GET", "HEAD"):
        return
    headers: Mapping[bytes, bytes] = scope[HEADERS]
    origin = headers.get(b"origin", b"")
    if not origin or origin.partition(b"://")[2] != headers.get(b"host", b""):
        raise PermissionDeniedError("only pages of this console may write here")
    if headers.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
        raise PermissionDeniedError("only pages of this console may write here")


def _failure(error: APIError) -> Response:
    text = rendering.render("failure.html", error=error, partial=False)
    return rendering.html(text, error.status)


def _view(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(ROOT).strip("/")


def _file(view: str) -> Response | None:
    """Returns a file in ``static``, for any sender; None if the view is not a file."""
    name = view.removeprefix("static/")
    if name == view or name not in rendering.FILES:
        return None
    headers = {**rendering.HEADERS, "Cache-Control": _FOREVER}
    return Response(rendering.file(name), headers=headers, media_type=rendering.FILES[name])
