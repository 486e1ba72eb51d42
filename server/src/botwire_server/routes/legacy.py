"""The protocol of the published ``botwire`` 0.2 client, on the same memory as ``/v1``.

Its programs move here by changing `BOTWIRE_URL`. Paths, status codes and the texts under ``detail``
are those of a 0.2.1 server. What that server refused needlessly is accepted: any name, values of
every JSON type, more than 100,000 characters, and a ``ttl``. A value that was sent as a string
stays a string; old clients put JSON into strings, which readers decode themselves.
"""

from __future__ import annotations

import base64
import heapq
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse

from botwire import operations as ops
from botwire.client.encoding import encode_value
from botwire.clock import SECOND
from botwire.errors import ConfigurationError, InvalidRequestError, NotFoundError, NotJSONError
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire_server.problems import Responses, describe_as
from botwire_server.routes.applying import apply
from botwire_server.routes.describing import ALWAYS, MISSING, answers_with, takes
from botwire_server.routes.parameters import ExactRoute, Key, Namespace
from botwire_server.routes.reading import read_json

_FIRST_PAGE = 16  # entries of unknown size
_PAGE_BYTES = 2 * 1024 * 1024  # approximate size of the next pages
_KEPT_FOR = 10  # times as long as the measurement took


class _Route(ExactRoute):
    """Returns invalid requests as 0.2.1 did: with 422 and a list of errors."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_before(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                detail = [
                    {name: one[name] for name in ("type", "loc", "msg")} for one in error.errors()
                ]
                return _json({"detail": detail}, 422)

        return handle_as_before


_DETAIL = {"type": "object", "properties": {"detail": {}}, "required": ["detail"]}
_ERRORS = {"detail": [{"type": "missing", "loc": ["body", "value"], "msg": "Field required"}]}
_INVALID: Responses = {
    422: {
        "description": "The request is not valid",
        "content": {
            "application/json": {"schema": _DETAIL, "example": _ERRORS},
            **describe_as(422, InvalidRequestError, "")[422]["content"],
        },
    }
}

router = APIRouter(tags=["botwire 0.2"], route_class=_Route, responses=ALWAYS | _INVALID)


def _json(document: Any, status: int = 200) -> Response:
    # ASCII: a lone surrogate has no UTF-8.
    return Response(json.dumps(document), status, media_type="application/json")


def _object(**properties: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: {} if kind == "any" else {"type": kind} for name, kind in properties.items()
    }
    return {"type": "object", "properties": fields, "required": list(properties)}


@router.put(
    "/memory/{namespace}/{key}",
    summary="Set a key",
    responses=answers_with(
        _object(namespace="string", key="string", stored="boolean", bytes="integer"),
        {"namespace": "my-agent", "key": "user_name", "stored": True, "bytes": 5},
    ),
    openapi_extra=takes(
        {
            "type": "object",
            "properties": {
                "value": {"description": "A string, or any other JSON value."},
                "ttl": {"type": ["number", "null"], "description": "Seconds until it expires."},
            },
            "required": ["value"],
        },
        {"value": "Pedro"},
    ),
)
async def put_legacy_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Returns the length of the value in characters as `bytes`."""
    if "json" not in request.headers.get("content-type", "").lower():
        return _invalid("model_attributes_type", "Input should be JSON", "body")
    try:
        body = await read_json(request)
    except InvalidRequestError as error:
        return _invalid("json_invalid", str(error), "body")
    if not isinstance(body, dict):
        return _invalid("model_attributes_type", "Input should be an object", "body")
    if "value" not in body:
        return _invalid("missing", "Field required", "body", "value")
    given = body["value"]
    try:
        value = given if isinstance(given, Json) else encode_value(given)
    except NotJSONError as error:
        return _invalid("value_error", str(error), "body", "value")
    try:
        put = ops.PutKey(key, value, body.get("ttl"))
    except ConfigurationError as error:
        if body.get("ttl") is None:
            raise
        return _invalid("value_error", str(error), "body", "ttl")
    await apply(request, namespace, put)
    return _json({"namespace": namespace, "key": key, "stored": True, "bytes": _length(value)})


def _invalid(kind: str, message: str, *where: str) -> Response:
    return _json({"detail": [{"type": kind, "loc": where, "msg": message}]}, 422)


@router.get(
    "/memory/{namespace}/{key}",
    summary="Read a key",
    responses=answers_with(
        _object(
            namespace="string",
            key="string",
            value="any",
            created_at="number",
            updated_at="number",
        ),
        {
            "namespace": "my-agent",
            "key": "user_name",
            "value": "Pedro",
            "created_at": 1795512600.25,
            "updated_at": 1795512600.25,
        },
    )
    | MISSING,
)
async def get_legacy_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Returns the value, and its times in seconds since 1970; bytes are base64."""
    (entry,) = await apply(request, namespace, ops.GetKeys((key,)))
    if entry is None:
        raise _missing(namespace, key)
    names = json.dumps({"namespace": namespace, "key": key})
    times = json.dumps(
        {
            "created_at": entry.created_at / SECOND,
            "updated_at": entry.updated_at / SECOND,
        }
    )
    # Spliced, so that the stored value is neither decoded nor encoded.
    text = f'{names[:-1]}, "value": {_text(entry.value)}, {times[1:]}'
    return Response(text, media_type="application/json")


@router.delete(
    "/memory/{namespace}/{key}",
    summary="Delete a key",
    responses=answers_with(
        _object(deleted="boolean", namespace="string", key="string"),
        {"deleted": True, "namespace": "my-agent", "key": "user_name"},
    )
    | MISSING,
)
async def delete_legacy_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Returns that the key is deleted, or 404 if it does not exist."""
    if not await apply(request, namespace, ops.DeleteKey(key)):
        raise _missing(namespace, key)
    return _json({"deleted": True, "namespace": namespace, "key": key})


@router.get(
    "/memory/{namespace}",
    summary="List keys, latest written first",
    responses=answers_with(
        _object(namespace="string", count="integer", keys="array"),
        {
            "namespace": "my-agent",
            "count": 1,
            "keys": [{"key": "user_name", "bytes": 5, "updated_at": 1795512600.25}],
        },
    ),
)
async def list_legacy_keys(
    request: Request, namespace: Namespace, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """Returns up to `limit` keys and their number; `/v1` lists all keys in pages."""
    latest: list[tuple[int, str, int, int]] = []
    following: ops.ScanKeys | None = ops.ScanKeys(limit=_FIRST_PAGE)
    while following is not None:
        page: ops.EntryPage = await apply(request, namespace, following)
        found = [
            # The version orders writes, whatever the clock was.
            (entry.version, entry.key, _length(entry.value), entry.updated_at)
            for entry in page.entries
        ]
        latest = heapq.nlargest(limit, latest + found)
        if page.more:
            held = sum(length for _, _, length, _ in found) + len(found)
            fitting = max(1, min(ops.MAX_PAGE, _PAGE_BYTES * len(found) // held))
            following = replace(following, limit=fitting)
        following = following.following(page)
    keys = [
        {"key": key, "bytes": length, "updated_at": updated_at / SECOND}
        for _, key, length, updated_at in latest
    ]
    return _json({"namespace": namespace, "count": len(keys), "keys": keys})


@router.get("/memory/{namespace}/", include_in_schema=False)
async def redirect_listing(request: Request, namespace: Namespace) -> Response:
    """Redirects to the path without the slash."""
    query = request.url.query
    path = request.scope["path"].rstrip("/")
    return RedirectResponse(f"{path}?{query}" if query else path)


@router.get(
    "/stats/memory",
    summary="Measure the store",
    responses=answers_with(
        _object(total_entries="integer", total_namespaces="integer", total_bytes="integer"),
        {"total_entries": 3, "total_namespaces": 1, "total_bytes": 1_024},
    ),
)
async def legacy_stats(request: Request) -> Response:
    """Returns the number of keys and of namespaces with keys, and the bytes of all namespaces.

    For administrators, if there are API keys. The answer is cached for ten times as long as the
    measurement took.
    """
    if not await _namespaces(request, None, 1):  # always read, to check the caller's rights
        return _json({"total_entries": 0, "total_namespaces": 0, "total_bytes": 0})
    cached: _Stats | None = request.app.state.legacy_stats
    started = time.monotonic()
    if cached is None or started >= cached.until:
        entries = used = namespaces = 0
        after: str | None = None
        while names := await _namespaces(request, after, ops.MAX_PAGE):
            for after in names:
                stat = await apply(request, after, ops.StatNamespace())
                entries += stat.keys
                used += stat.bytes
                namespaces += stat.keys > 0
        took = time.monotonic() - started
        text = {"total_entries": entries, "total_namespaces": namespaces, "total_bytes": used}
        cached = _Stats(text, started + _KEPT_FOR * took)
        request.app.state.legacy_stats = cached
    return _json(cached.found)


class _Stats(NamedTuple):
    found: dict[str, int]
    until: float


async def _namespaces(request: Request, after: str | None, limit: int) -> list[str]:
    listing = ops.ListNamespaces(after=after, limit=limit)
    page: ops.NamespacePage = await apply(request, SYSTEM_NAMESPACE, listing)
    return [entry.name for entry in page.namespaces]


@router.get(
    "/health",
    summary="Is the process alive?",
    responses=answers_with(
        _object(status="string", payments="string", network="string"),
        {"status": "ok", "payments": "disabled", "network": "eip155:84532"},
    ),
)
async def legacy_health() -> Response:
    """Returns what a 0.2.1 server answers."""
    return _json({"status": "ok", "payments": "disabled", "network": "eip155:84532"})


def _missing(namespace: str, key: str) -> NotFoundError:
    return NotFoundError(f"Key not found: {namespace}/{key}")


def _text(value: ops.Value) -> str:
    """Returns a value as JSON; bytes become a base64 string, as 0.2 has no bytes."""
    if isinstance(value, bytes):
        return json.dumps(base64.b64encode(value).decode("ascii"))
    return value.text


def _length(value: ops.Value) -> int:
    """Returns what 0.2.1 calls bytes: the number of characters of the string that it stores."""
    text = _text(value)
    return len(json.loads(text)) if text.startswith('"') else len(text)
