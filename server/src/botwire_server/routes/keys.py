"""Keys: JSON values or bytes, by name."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

from fastapi import Query, Request, Response

from botwire import operations as ops
from botwire import wire
from botwire.errors import InvalidRequestError, NotFoundError
from botwire_server.routes import conditions
from botwire_server.routes.applying import (
    answer,
    answer_body,
    answer_entry,
    answer_in_parts,
    apply_all,
    write_entry,
)
from botwire_server.routes.describing import CONFLICT, DONE, MISSING, answers, answers_with, takes
from botwire_server.routes.parameters import (
    After,
    IfVersion,
    Key,
    Limit,
    Namespace,
    Prefix,
    new_router,
)
from botwire_server.routes.reading import read_object, read_operation, when_short
from botwire_server.schemas import NAME, ref, schema_of
from botwire_server.service import check_count

router = new_router("keys")

_ENTRY = {
    "key": "prefs",
    "value": {"theme": "dark"},
    "version": 7,
    "created_at": "2026-11-24T09:30:00.000001Z",
    "updated_at": "2026-11-24T09:30:00.000001Z",
    "expires_at": None,
}
_PUT_BODY = takes(
    schema_of(ops.PutKey, without={"key"}), {"value": {"theme": "dark"}, "ttl": 3600}
)["requestBody"]
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PUT_BODY["content"]["application/octet-stream"] = _BYTES


@router.get(
    "/keys",
    summary="List keys in order",
    responses=answers(ops.ListKeys, {"keys": ["prefs"], "more": False}),
)
async def list_keys(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Returns `keys`, and whether there are `more` after the last one."""
    return await answer(request, namespace, ops.ListKeys(prefix, after, limit))


@router.delete("/keys", summary="Delete keys", responses=answers(ops.ClearKeys, {"result": 3}))
async def clear_keys(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    everything: Annotated[bool, Query(alias="all", description="Needed without prefix.")] = False,
) -> Response:
    """Deletes the keys that start with a prefix, and returns their number as `result`.

    Deleting every key requires `all=true`, so that a forgotten prefix cannot do it.
    """
    if everything is bool(prefix):
        raise InvalidRequestError("pass either a prefix or all=true, which deletes every key")
    return await answer_in_parts(request, namespace, ops.ClearKeys(prefix), ops.PART)


@router.get(
    "/keys/{key}",
    summary="Read a key",
    responses=answers_with(ref(ops.KeyEntry), _ENTRY)
    | conditions.UNMODIFIED
    | MISSING
    | conditions.FAILED,
    openapi_extra={"parameters": conditions.HEADERS},
)
async def get_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Returns the value with its version and times; bytes are base64 under `bytes`.

    The version is the ETag.
    """
    return await answer_entry(request, namespace, ops.GetKeys((key,)), "key")


@router.put(
    "/keys/{key}",
    summary="Set a key",
    responses=conditions.VERSION | CONFLICT | conditions.FAILED,
    openapi_extra={"requestBody": _PUT_BODY, "parameters": conditions.HEADERS},
)
async def put_key(
    request: Request,
    namespace: Namespace,
    key: Key,
    ttl: Annotated[
        float | None,
        Query(description="Seconds until the key expires; for bytes.", gt=0, le=ops.MAX_TTL),
    ] = None,
    if_version: IfVersion = None,
) -> Response:
    """Returns the new version. A body of type `application/octet-stream` is stored as bytes."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/octet-stream":
        put = ops.PutKey(key, await request.body(), ttl, if_version)
    else:
        given = {"key": key, "ttl": ttl, "if_version": if_version}
        fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        put = cast("ops.PutKey", await read_operation(request, "put_key", **fields))

    def make(version: int | None) -> ops.AnyOperation:
        if version is None:
            return put
        if put.if_version is not None:
            raise InvalidRequestError("pass either a header or if_version, not both")
        return ops.PutKey(key, put.value, put.ttl, version)

    version = await write_entry(request, namespace, make, ops.GetKeys((key,)))
    return conditions.answer_version(version)


@router.delete(
    "/keys/{key}",
    summary="Delete a key",
    status_code=204,
    responses=DONE | MISSING | CONFLICT | conditions.FAILED,
    openapi_extra={"parameters": conditions.HEADERS},
)
async def delete_key(
    request: Request, namespace: Namespace, key: Key, if_version: IfVersion = None
) -> Response:
    """Returns 204, or 404 if the key does not exist."""

    def make(version: int | None) -> ops.AnyOperation:
        if None not in (version, if_version):
            raise InvalidRequestError("pass either a header or if_version, not both")
        return ops.DeleteKey(key, if_version if version is None else version)

    if not await write_entry(request, namespace, make, ops.GetKeys((key,))):
        raise NotFoundError("there is no such key")
    return Response(status_code=204)


@router.post(
    "/keys/{key}/increment",
    summary="Add to an integer",
    responses=answers(ops.IncrementKey, {"result": 5}),
    openapi_extra=takes(schema_of(ops.IncrementKey, without={"key"}), {"by": 5}, required=False),
)
async def increment_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Returns the sum as `result`; a missing key counts as 0."""
    increment = await read_operation(request, "increment_key", optional=True, key=key)
    return await answer(request, namespace, increment)


# --- many at once ---------------------------------------------------------------------------


@router.get(
    "/entries",
    summary="Read keys in order, with their values",
    responses=answers(ops.ScanKeys, {"entries": [_ENTRY], "more": False}),
)
async def scan_keys(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    before: Annotated[
        Any, Query(description="Only names before this one.", json_schema_extra=NAME)
    ] = None,
    limit: Limit = 100,
    descending: Annotated[bool, Query(description="In reverse order.")] = False,
) -> Response:
    """Returns `entries`, and whether there are `more`.

    For the next page, ask for those `after` the last one, or in reverse order `before` it.
    """
    operation = ops.ScanKeys(prefix, after, before, limit, descending)
    return await answer(request, namespace, operation)


@router.get("/entries/count", summary="Count keys", responses=answers(ops.CountKeys, {"result": 1}))
async def count_keys(request: Request, namespace: Namespace, prefix: Prefix = "") -> Response:
    """Returns the number of keys that start with a prefix as `result`."""
    return await answer(request, namespace, ops.CountKeys(prefix))


@router.post(
    "/entries/get",
    summary="Read several keys",
    responses=answers(ops.GetKeys, {"result": [_ENTRY, None]}),
    openapi_extra=takes(schema_of(ops.GetKeys), {"keys": ["prefs", "no such key"]}),
)
async def get_keys(request: Request, namespace: Namespace) -> Response:
    """Returns an entry or null for each key, all as of one moment."""
    return await answer_body(request, namespace, "get_keys")


@router.post(
    "/entries/set",
    summary="Set several keys",
    responses=answers_with(
        {
            "type": "object",
            "properties": {
                "versions": {"type": "object", "additionalProperties": {"type": "integer"}}
            },
            "required": ["versions"],
        },
        {"versions": {"name": 8, "prefs": 9}},
    ),
    openapi_extra=takes(
        {
            "type": "object",
            "properties": {
                "values": {"type": "object", "description": "Any JSON value for each key."},
                "ttl": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": ops.MAX_TTL},
            },
            "required": ["values"],
            "additionalProperties": False,
        },
        {"values": {"name": "Ada", "prefs": {"theme": "dark"}}},
    ),
)
async def set_keys(request: Request, namespace: Namespace) -> Response:
    """Sets several keys in one transaction, and returns the new version of each as `versions`."""
    body = await read_object(request)
    values = body.get("values")
    if not isinstance(values, dict) or not body.keys() <= {"values", "ttl"}:
        raise InvalidRequestError("the body must be an object with values, an object, and ttl")
    check_count("values", len(values), request.app.state.settings.max_batch)
    ttl = body.get("ttl")
    versions = await apply_all(
        request,
        namespace,
        await when_short(
            request.scope,
            len(await request.body()),
            lambda: [
                wire.decode_operation(
                    {"op": "put_key", "key": key, "value": value, "ttl": ttl},
                    f"values[{key!r:.80}]",
                )
                for key, value in values.items()
            ],
        ),
    )
    # ASCII: a lone surrogate in a key has no UTF-8.
    text = json.dumps({"versions": dict(zip(values, versions, strict=True))})
    return Response(text, media_type="application/json")
