"""The page on which a user grants a client access by entering an API key."""

from __future__ import annotations

from html import escape

from mcp.server.auth.provider import AuthorizationParams, construct_redirect_uri
from mcp.shared.auth import OAuthClientInformationFull
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from botwire_mcp.oauth.provider import Provider

_HEADERS = {
    "Cache-Control": "no-store",
    # No form-action: browsers apply it to the redirect to the client too.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Browsers name the page's origin when it posts, which the server requires.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · BotWire</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
main {{ max-width: 30rem; margin: 3rem auto; padding: 0 1rem }}
.bad {{ border-left: 4px solid #c22; padding-left: .75rem }}
label {{ display: block }}
input {{ font: inherit; width: 100%; box-sizing: border-box; padding: .4rem }}
button {{ font: inherit; padding: .4rem 1rem; margin: 1rem .5rem 0 0 }}
strong {{ overflow-wrap: anywhere }}
</style>
<main>
<h1>{title}</h1>
{body}
</main>
</html>
"""

_FORM = """\
{fault}<p>A program that calls itself <strong>{name}</strong> asks for your memory on
<strong>{here}</strong>. Your answer is sent to <strong>{there}</strong>.</p>
<p>Continue only if you have just started this yourself, and if you know that address.</p>
<form method="post">
<input type="hidden" name="request" value="{request}">
<p><label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="off" spellcheck="false"
placeholder="bw_…" autofocus></p>
<p>The program gets exactly the rights of this key, and never sees the key itself. Its access ends
when the key is revoked. An administrator creates a key with <code>botwire keys create</code>.</p>
<button name="answer" value="allow">Allow</button><button name="answer" value="deny">Deny</button>
</form>
"""

_WRONG_KEY = """\
<p class="bad" role="alert">This API key is unknown, has expired or was revoked.</p>
"""
_ENDED = (
    "<p>This request has ended or was answered before. Go back to the program that sent you here, "
    "and connect again.</p>"
)


async def answer(request: Request, provider: Provider) -> Response:
    """Shows the page, or processes the user's answer and redirects the user to the client."""
    if request.method not in ("GET", "HEAD", "POST"):
        return Response(status_code=405, headers={**_HEADERS, "Allow": "GET, POST"})
    fields = request.query_params if request.method != "POST" else await request.form()
    id = str(fields.get("request", ""))
    found = await provider.find_request(id)
    if found is None:
        return _page("This request has ended", _ENDED, 410)
    client, params = found
    if request.method != "POST":
        return _ask(request, id, client, params)
    if fields.get("answer") == "deny":
        await provider.end_request(id)
        return _back(params, error="access_denied", error_description="the user declined")
    key_id = await provider.find_key(str(fields.get("key", "")).strip())
    if key_id is None:
        return _ask(request, id, client, params, _WRONG_KEY, 401)
    if not await provider.end_request(id):
        return _page("This request has ended", _ENDED, 410)
    return _back(params, code=await provider.grant(client, params, key_id))


def _ask(
    request: Request,
    id: str,
    client: OAuthClientInformationFull,
    params: AuthorizationParams,
    fault: str = "",
    status: int = 200,
) -> Response:
    target = params.redirect_uri
    there = f"{target.scheme}://{target.host or ''}" + (f":{target.port}" if target.port else "")
    name = (client.client_name or "an unnamed program")[:80]
    body = _FORM.format(
        fault=fault,
        name=escape(name),
        here=escape(request.url.netloc),
        there=escape(there),
        request=escape(id),
    )
    return _page("Share your memory?", body, status)


def _back(params: AuthorizationParams, **answer: str) -> Response:
    url = construct_redirect_uri(str(params.redirect_uri), **answer, state=params.state)
    return RedirectResponse(url, 303, {**_HEADERS})


def _page(title: str, body: str, status: int) -> Response:
    text = _PAGE.format(title=escape(title), body=body)
    return Response(text, status, {**_HEADERS}, "text/html; charset=utf-8")
