"""The MCP server at ``/mcp`` of ``botwire serve``, over streamable HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from mcp.server import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from botwire import AsyncMemory
from botwire.errors import ConfigurationError
from botwire.mounts import Host, Mount, Scope
from botwire.threads import in_thread
from botwire_mcp import bounds
from botwire_mcp.oauth import endpoints
from botwire_mcp.server import build_server
from botwire_mcp.subscriptions import Feed
from botwire_mcp.tool import MemoryTool
from botwire_mcp.tools import choose_tools

_MAX_BODY = 1 << 40  # the server has limited the body already


def mount(host: Host) -> Mount:
    """Returns the application that botwire-server mounts at ``/mcp``.

    No request depends on an earlier one, so any worker and any server of a store answers it.
    The server has checked the API key, the Origin and the Host. Below the path, clients without a
    key get tokens over OAuth; see `botwire_mcp.oauth`.

    Args:
        host: The server.
    """

    def open_memory(context: ServerRequestContext[Any, Any]) -> AsyncMemory:
        scope = _scope_of(context)
        namespace = _query(scope).get("namespace") or host.namespace_of(scope) or "default"
        return AsyncMemory(namespace, engine=host.engine_for(scope))

    def tools_of(context: ServerRequestContext[Any, Any]) -> Mapping[str, type[MemoryTool]]:
        query = _query(_scope_of(context))
        names = query["tools"].split(",") if query.get("tools") else None
        return choose_tools(names, read_only=query.get("read_only", "0") not in ("0", "false"))

    def feed_of(context: ServerRequestContext[Any, Any]) -> Feed:
        memory, scope = open_memory(context), _scope_of(context)
        return Feed(memory, lambda after: host.watch(scope, memory.namespace, after))

    server = build_server(open_memory, tools_of, feed_of)
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=_MAX_BODY)

    async def stranger(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        answer = endpoints.endpoint_at(host, scope["path"]) or endpoints.refuse
        await answer(scope, receive, send)

    async def app(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        # A client that already has access may ask for it again.
        if (endpoint := endpoints.endpoint_at(host, scope["path"])) is not None:
            await endpoint(scope, receive, send)
            return
        if scope["method"] != "POST":  # there is no session to listen to or to end
            await _refuse(send, 405, "this path accepts only POST", (b"allow", b"POST"))
            return
        try:
            query = _query(scope)
            choose_tools(query["tools"].split(",") if query.get("tools") else None)
            if namespace := query.get("namespace"):
                AsyncMemory(namespace, engine=host.engine_for(scope))
        except ConfigurationError as error:
            await _refuse(send, 400, str(error))
            return
        await manager.handle_request(scope, _with_whole_characters(receive), send)

    return Mount(app, manager.run, stranger=stranger, public=endpoints.public())


def _with_whole_characters(receive: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a `receive` whose body has no lone surrogates; see `bounds.whole`."""
    is_read = False

    async def received() -> Any:
        nonlocal is_read
        message = await receive()
        if is_read or message["type"] != "http.request":
            return message
        parts = [message.get("body", b"")]
        while message.get("more_body", False):
            message = await receive()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
        is_read = True
        body = b"".join(parts)
        if b"\\u" in body:
            with contextlib.suppress(ValueError, RecursionError):  # the SDK says what is wrong
                body = (await in_thread(bounds.whole, body)).encode()
        return {"type": "http.request", "body": body, "more_body": False}

    return received


def _scope_of(context: ServerRequestContext[Any, Any]) -> Scope:
    assert context.request is not None  # this transport always has one
    scope: Scope = context.request.scope
    return scope


def _query(scope: Scope) -> dict[str, str]:
    """Returns the parameters in the URL of a request."""
    text = scope["query_string"].decode("latin-1")
    return {name: values[-1] for name, values in parse_qs(text).items()}


async def _refuse(
    send: Callable[..., Any], status: int, text: str, *headers: tuple[bytes, bytes]
) -> None:
    head = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": text.encode()})
