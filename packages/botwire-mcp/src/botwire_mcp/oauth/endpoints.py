"""The endpoints of the authorization server, and the documents by which clients find them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.server.auth.handlers.authorize import AuthorizationHandler
from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.handlers.revoke import RevocationHandler
from mcp.server.auth.handlers.token import TokenHandler
from mcp.server.auth.middleware.client_auth import ClientAuthenticator
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.server.transport_security import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import Response

from botwire.errors import AuthenticationError
from botwire.mounts import REFUSAL, App, Host, Scope
from botwire_mcp.oauth import consent
from botwire_mcp.oauth.addresses import ROOT, Addresses
from botwire_mcp.oauth.provider import Provider

_MAX_BODY = 64_000
_PROBLEM = "application/problem+json"

Handler = Callable[[Request, Provider], Awaitable[Response]]


async def _authorize(request: Request, provider: Provider) -> Response:
    return await AuthorizationHandler(provider).handle(request)


async def _token(request: Request, provider: Provider) -> Response:
    response: Response = await TokenHandler(provider, ClientAuthenticator(provider)).handle(request)
    return response


async def _register(request: Request, provider: Provider) -> Response:
    return await RegistrationHandler(provider, ClientRegistrationOptions()).handle(request)


async def _revoke(request: Request, provider: Provider) -> Response:
    return await RevocationHandler(provider, ClientAuthenticator(provider)).handle(request)


_ENDPOINTS: Mapping[str, tuple[Handler, tuple[str, ...]]] = {
    "authorize": (_authorize, ("GET", "POST")),
    "consent": (consent.answer, ("GET", "HEAD", "POST")),
    "register": (_register, ("POST",)),
    "revoke": (_revoke, ("POST",)),
    "token": (_token, ("POST",)),
}


def endpoint_at(host: Host, path: str) -> App | None:
    """Returns the endpoint at a path below the MCP server's; None if there is none."""
    found = _ENDPOINTS.get(path.removeprefix(ROOT + "/"))
    if found is None:
        return None
    handler, methods = found

    async def app(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        request = Request(scope, receive)
        addresses = Addresses.of(scope)
        if addresses is None:
            response = _not_offered()
        elif request.method not in methods:
            response = Response(status_code=405, headers={"Allow": ", ".join(methods)})
        else:
            response = await handler(request, Provider(host, scope, addresses))
        await response(scope, receive, send)

    return RequestBodyLimitMiddleware(app, _MAX_BODY)


async def refuse(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answers an unknown sender with 401 and the address of the document that says what to do."""
    error: AuthenticationError = scope[REFUSAL]
    challenge = 'Bearer realm="botwire"'
    if (addresses := Addresses.of(scope)) is not None:
        challenge += f', resource_metadata="{addresses.metadata}"'
        if b"authorization" in dict(scope["headers"]):
            challenge += ', error="invalid_token"'
    headers = {"WWW-Authenticate": challenge, "Cache-Control": "no-store"}
    response = Response(json.dumps(error.to_problem()), error.status, headers, _PROBLEM)
    await response(scope, receive, send)


def public() -> dict[str, App]:
    """Returns the documents that everyone may read, by path.

    Clients of the protocol version of March 2025 read only the authorization server's.
    """
    return {
        f"/.well-known/oauth-protected-resource{ROOT}": _document(_describe_resource),
        "/.well-known/oauth-protected-resource": _document(_describe_resource),
        "/.well-known/oauth-authorization-server": _document(_describe_server),
    }


def _describe_resource(addresses: Addresses) -> dict[str, Any]:
    """Returns the metadata of the MCP server (RFC 9728)."""
    return {
        "resource": addresses.resource,
        "authorization_servers": [addresses.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": "BotWire memory",
    }


def _describe_server(addresses: Addresses) -> dict[str, Any]:
    """Returns the metadata of the authorization server (RFC 8414)."""
    methods = ["none", "client_secret_post", "client_secret_basic"]
    return {
        "issuer": addresses.issuer,
        "authorization_endpoint": addresses.below("authorize"),
        "token_endpoint": addresses.below("token"),
        "registration_endpoint": addresses.below("register"),
        "revocation_endpoint": addresses.below("revoke"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    }


def _document(describe: Callable[[Addresses], dict[str, Any]]) -> App:
    async def app(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        addresses = Addresses.of(scope)
        if scope["method"] not in ("GET", "HEAD"):
            response = Response(status_code=405, headers={"Allow": "GET"})
        elif addresses is None:
            response = _not_offered()
        else:
            # Web pages may read it too, such as the Inspector.
            headers = {"Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"}
            text = json.dumps(describe(addresses))
            response = Response(text, 200, headers, "application/json")
        await response(scope, receive, send)

    return app


def _not_offered() -> Response:
    return Response(
        "OAuth is offered over HTTPS only: set --tls-cert, or --trust-proxy if a proxy ends TLS",
        404,
        {"Cache-Control": "no-store"},
        "text/plain; charset=utf-8",
    )
