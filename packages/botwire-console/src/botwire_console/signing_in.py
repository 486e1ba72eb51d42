"""Signing in: an API key is exchanged for a cookie that scripts cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response

from botwire.clock import SECOND
from botwire.errors import AuthenticationError
from botwire.mounts import REFUSAL, Scope
from botwire_console import rendering
from botwire_console.links import ROOT, is_ours, link
from botwire_server import bodies, sessions
from botwire_server.auth import Authenticator, session_cookie
from botwire_server.scopes import HEADERS

HOURS = 12
"""How long a session lasts."""

_COOKIE = session_cookie(ROOT)


async def answer_stranger(scope: Scope, receive: Callable[..., Any]) -> Response:
    """Answers a request without a valid key: with the sign-in page, or with the cookie."""
    authenticator: Authenticator = scope["app"].state.authenticator
    if await authenticator.keys.is_empty():
        return _page(scope, refusal=str(scope[REFUSAL]), form=False)
    if scope["method"] == "POST" and scope["path"] == link("sign-in"):
        return await _sign_in(scope, receive, authenticator)
    headers = scope[HEADERS]
    if b"hx-request" in headers:  # the session ended while a page was open
        return Response(status_code=401, headers={**rendering.HEADERS, "HX-Refresh": "true"})
    if headers.get(b"sec-fetch-site") == b"cross-site" and scope["method"] == "GET":
        # A browser withholds the cookie if another site led here, but not if this page does.
        return rendering.html(rendering.render("again.html"))
    if scope["method"] == "POST":
        refusal = (
            "You are no longer signed in, so nothing was written. "
            "Sign in in another tab, then reload this page to send the form again."
        )
        return _page(scope, refusal, ROOT)
    return _page(scope)


async def _sign_in(
    scope: Scope, receive: Callable[..., Any], authenticator: Authenticator
) -> Response:
    fields = parse_qs((await bodies.read(receive)).decode("latin-1"))
    secret = fields.get("key", [""])[0].strip()
    key = await authenticator.keys.find(secret)
    if key is None:
        refusal = "This API key is unknown, has expired or was revoked."
        return _page(scope, refusal=refusal, following=_following(fields))
    authenticator.keys.touch(key)
    until = authenticator.keys.store.clock() + HOURS * 3600 * SECOND
    answer = Response(status_code=303, headers={**rendering.HEADERS})
    answer.headers["Location"] = _following(fields)
    answer.set_cookie(
        _COOKIE,
        sessions.begin(key, ROOT, until),
        max_age=HOURS * 3600,
        path=ROOT,
        secure=scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


def sign_out(scope: Scope) -> Response:
    """Returns an answer that ends the session in this browser."""
    answer = Response(status_code=303, headers={**rendering.HEADERS, "Location": ROOT})
    answer.delete_cookie(
        _COOKIE, ROOT, secure=scope["scheme"] == "https", httponly=True, samesite="strict"
    )
    return answer


def _following(fields: dict[str, list[str]]) -> str:
    """Returns where to go after signing in; never another site."""
    following = fields.get("next", [ROOT])[0]
    is_clean = following.isascii() and following.isprintable()
    return following if is_clean and is_ours(following) else ROOT


def _page(
    scope: Scope, refusal: str = "", following: str | None = None, *, form: bool = True
) -> Response:
    if following is None:
        query = scope["query_string"].decode("latin-1")
        following = f"{scope['path']}?{query}" if query else scope["path"]
    error = AuthenticationError(refusal) if refusal else None
    text = rendering.render("sign_in.html", error=error, following=following, form=form)
    return rendering.html(text, 401)
