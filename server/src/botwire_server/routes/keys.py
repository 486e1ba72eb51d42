"""Keys: JSON values, or bytes, under a name."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Body, Depends, Path, Query, Request, Response

from botwire import operations as ops
from botwire import wire
from botwire.errors import NotFoundError
from botwire_server.routes.parts import (
    CONFLICT,
    MISSING,
    After,
    Limit,
    Namespace,
    Prefix,
    answer,
    apply,
    decode_name,
    describe_body,
    new_router,
    read_operation,
)

router = new_router("keys")


def _key(key: Annotated[str, Path(description="The key.", examples=["prefs"])]) -> str:
    return decode_name(key, "key")


Key = Annotated[str, Depends(_key)]

_VALUE = {
    "type": "object",
    "properties": {
        "value": {"description": "Any JSON value."},
        "bytes": {"type": "string", "description": "In its place: bytes, in base64."},
        "ttl": {"type": "number", "description": "Seconds until the key is gone."},
        "if_version": {"type": "integer", "description": "Only if it has this version; 0: none."},
    },
}


@router.get("/keys", summary="List keys in order")
async def list_keys(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Answers `keys` and whether there are `more`; ask for those `after` the last one."""
    return await answer(request, namespace, ops.ListKeys(prefix, after, limit))


@router.get("/keys/{key}", summary="Read a key", responses=MISSING)
async def get_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Answers the value with its version and times; bytes stand in base64 under `bytes`."""
    operation = ops.GetKeys((key,))
    (entry,) = await apply(request, namespace, operation)
    if entry is None:
        raise NotFoundError("there is no such key")
    text = wire.RESULTS[ops.GetKeys].encode((entry,))
    return Response(text[1:-1], media_type="application/json")


@router.put(
    "/keys/{key}",
    summary="Set a key",
    responses=CONFLICT,
    openapi_extra=describe_body(_VALUE, {"value": {"theme": "dark"}, "ttl": 3600}),
)
async def put_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Answers the new version. A body of application/octet-stream is kept as bytes."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    operation: ops.Operation
    if kind == "application/octet-stream":
        operation = ops.PutKey(key, await request.body())
    else:
        operation = await read_operation(request, "put_key", key=key)
    version = await apply(request, namespace, operation)
    return Response(json.dumps({"version": version}), media_type="application/json")


@router.delete("/keys/{key}", summary="Delete a key", responses=MISSING | CONFLICT)
async def delete_key(
    request: Request,
    namespace: Namespace,
    key: Key,
    if_version: Annotated[int | None, Query(description="Only if it has this version.")] = None,
) -> Response:
    """Answers 204, or 404 if there was no such key."""
    if not await apply(request, namespace, ops.DeleteKey(key, if_version)):
        raise NotFoundError("there is no such key")
    return Response(status_code=204)


@router.post("/keys/{key}/increment", summary="Add to an int")
async def increment_key(
    request: Request,
    namespace: Namespace,
    key: Key,
    by: Annotated[int, Body(embed=True, description="What to add.")] = 1,
) -> Response:
    """Answers the sum as `result`; a key that is not there counts as 0."""
    return await answer(request, namespace, ops.IncrementKey(key, by))
