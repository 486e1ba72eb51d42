"""REST for people and other languages; each route is one operation.

Names in a path are single segments, percent-encoded: any key works, ``a/b`` as ``a%2Fb``.
"""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from botwire import operations as ops
from botwire import wire
from botwire.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    ServerError,
)
from botwire_server.batch import read_json, request_id
from botwire_server.problems import describe

router = APIRouter(
    prefix="/v1/namespaces/{namespace}",
    responses=describe(InvalidRequestError, PayloadTooLargeError, ServerError),
)

_MISSING = describe(NotFoundError)
_CONFLICT = describe(ConflictError)


def _decode(segment: str, what: str) -> str:
    """Decodes a path segment, exactly once."""
    try:
        return unquote_to_bytes(segment).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise InvalidRequestError(f"the {what} in the path is not UTF-8") from None


def _namespace(
    namespace: Annotated[str, Path(description="Whose memory it is.", examples=["user-123"])],
) -> str:
    return _decode(namespace, "namespace")


def _key(key: Annotated[str, Path(description="The key.", examples=["prefs"])]) -> str:
    return _decode(key, "key")


def _history(
    history: Annotated[str, Path(description="The history's name.", examples=["chat"])],
) -> str:
    return _decode(history, "history")


Namespace = Annotated[str, Depends(_namespace)]
Key = Annotated[str, Depends(_key)]
History = Annotated[str, Depends(_history)]
Prefix = Annotated[str, Query(description="Only names that start with this.")]
After = Annotated[str | None, Query(description="Only names after this one; for the next page.")]
Limit = Annotated[int, Query(description="How many at most.", ge=1, le=ops.MAX_PAGE)]


async def _apply(request: Request, namespace: str, operation: ops.Operation) -> Any:
    name = request_id(request) if operation.writes else None
    (result,) = await request.app.state.engine.apply(ops.Batch(namespace, (operation,), name))
    return result


async def _answer(request: Request, namespace: str, operation: ops.Operation) -> Response:
    return _written(operation, await _apply(request, namespace, operation))


def _written(operation: ops.Operation, result: Any) -> Response:
    """Returns a result as JSON; one that is not an object is put into one, as ``result``."""
    text = wire.RESULTS[type(operation)].encode(result)
    body = text if text.startswith("{") else f'{{"result":{text}}}'
    return Response(body, media_type="application/json")


def _body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


async def _operation(request: Request, op: str, **fields: Any) -> ops.Operation:
    """Makes an operation of the body's fields and those of the path."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be an object")
    taken = {"op", *fields} & body.keys()
    if taken:
        raise InvalidRequestError(f"the body has the unknown field {min(taken)!r}")
    return wire.decode_operation({"op": op, **fields, **body}, "the body")


_VALUE = {
    "type": "object",
    "properties": {
        "value": {"description": "Any JSON value."},
        "bytes": {"type": "string", "description": "In its place: bytes, in base64."},
        "ttl": {"type": "number", "description": "Seconds until the key is gone."},
        "if_version": {"type": "integer", "description": "Only if it has this version; 0: none."},
    },
}
_ITEMS = {
    "type": "object",
    "required": ["values"],
    "properties": {
        "values": {"type": "array", "items": {}},
        "ids": {"type": "array", "items": {"type": ["string", "null"]}},
        "if_last": {"type": "integer", "description": "Only if this is the last number."},
    },
}
_CHAT = {"values": [{"role": "user", "text": "My name is Ada."}]}


# --- keys -----------------------------------------------------------------------------------


@router.get("/keys", tags=["keys"], summary="List keys in order")
async def list_keys(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Answers `keys` and whether there are `more`; ask for those `after` the last one."""
    return await _answer(request, namespace, ops.ListKeys(prefix, after, limit))


@router.get("/keys/{key}", tags=["keys"], summary="Read a key", responses=_MISSING)
async def get_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Answers the value with its version and times; bytes stand in base64 under `bytes`."""
    operation = ops.GetKeys((key,))
    (entry,) = await _apply(request, namespace, operation)
    if entry is None:
        raise NotFoundError("there is no such key")
    text = wire.RESULTS[ops.GetKeys].encode((entry,))
    return Response(text[1:-1], media_type="application/json")


@router.put(
    "/keys/{key}",
    tags=["keys"],
    summary="Set a key",
    responses=_CONFLICT,
    openapi_extra=_body(_VALUE, {"value": {"theme": "dark"}, "ttl": 3600}),
)
async def put_key(request: Request, namespace: Namespace, key: Key) -> Response:
    """Answers the new version. A body of application/octet-stream is kept as bytes."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    operation: ops.Operation
    if kind == "application/octet-stream":
        operation = ops.PutKey(key, await request.body())
    else:
        operation = await _operation(request, "put_key", key=key)
    version = await _apply(request, namespace, operation)
    return Response(json.dumps({"version": version}), media_type="application/json")


@router.delete("/keys/{key}", tags=["keys"], summary="Delete a key", responses=_MISSING | _CONFLICT)
async def delete_key(
    request: Request,
    namespace: Namespace,
    key: Key,
    if_version: Annotated[int | None, Query(description="Only if it has this version.")] = None,
) -> Response:
    """Answers 204, or 404 if there was no such key."""
    if not await _apply(request, namespace, ops.DeleteKey(key, if_version)):
        raise NotFoundError("there is no such key")
    return Response(status_code=204)


@router.post("/keys/{key}/increment", tags=["keys"], summary="Add to an int")
async def increment_key(
    request: Request,
    namespace: Namespace,
    key: Key,
    by: Annotated[int, Body(embed=True, description="What to add.")] = 1,
) -> Response:
    """Answers the sum as `result`; a key that is not there counts as 0."""
    return await _answer(request, namespace, ops.IncrementKey(key, by))


# --- histories ------------------------------------------------------------------------------


@router.get("/histories", tags=["histories"], summary="List histories by name")
async def list_histories(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Answers `histories`, each with its counts and times, and whether there are `more`."""
    return await _answer(request, namespace, ops.ListHistories(prefix, after, limit))


@router.get("/histories/{history}", tags=["histories"], summary="Look at a history")
async def stat_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Answers counts, the last sequence number and times, zeros if nothing was appended."""
    return await _answer(request, namespace, ops.StatHistory(history))


@router.delete("/histories/{history}", tags=["histories"], summary="Delete all items")
async def clear_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Answers how many there were as `result`."""
    return await _answer(request, namespace, ops.ClearHistory(history))


@router.get("/histories/{history}/items", tags=["histories"], summary="Read items")
async def read_history(
    request: Request,
    namespace: Namespace,
    history: History,
    after: Annotated[int, Query(ge=0, description="Only greater numbers.")] = 0,
    before: Annotated[int | None, Query(ge=0, description="Only smaller numbers.")] = None,
    limit: Limit = ops.MAX_PAGE,
    newest_first: Annotated[bool, Query(description="Backwards from the end.")] = False,
    archived: Annotated[bool, Query(description="Archived items too.")] = False,
) -> Response:
    """Answers `items` and whether there are `more`."""
    operation = ops.ReadHistory(history, after, before, limit, newest_first, archived)
    return await _answer(request, namespace, operation)


@router.post(
    "/histories/{history}/items",
    tags=["histories"],
    summary="Append items",
    responses=_CONFLICT,
    openapi_extra=_body(_ITEMS, _CHAT),
)
async def extend_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Appends a batch, all or none, and answers the sequence numbers as `result`.

    An item whose id is there already is not written again.
    """
    operation = await _operation(request, "extend_history", name=history)
    return await _answer(request, namespace, operation)


@router.put(
    "/histories/{history}/items",
    tags=["histories"],
    summary="Replace all items",
    responses=_CONFLICT,
    openapi_extra=_body(_ITEMS, _CHAT),
)
async def replace_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Puts these in the place of all there are and answers their numbers as `result`."""
    operation = await _operation(request, "replace_history", name=history)
    return await _answer(request, namespace, operation)


@router.delete(
    "/histories/{history}/items/{seq}",
    tags=["histories"],
    summary="Delete an item",
    responses=_MISSING,
)
async def delete_item(
    request: Request, namespace: Namespace, history: History, seq: int
) -> Response:
    """Answers 204, or 404 if there was no such item."""
    if not await _apply(request, namespace, ops.DeleteItems(history, (seq,))):
        raise NotFoundError("there is no such item")
    return Response(status_code=204)


@router.post("/histories/{history}/pop", tags=["histories"], summary="Take the last item")
async def pop_item(request: Request, namespace: Namespace, history: History) -> Response:
    """Deletes the last item and answers it, or `result` null if there was none."""
    return await _answer(request, namespace, ops.PopItem(history))


@router.post("/histories/{history}/archive", tags=["histories"], summary="Put items away")
async def archive_history(
    request: Request,
    namespace: Namespace,
    history: History,
    up_to: Annotated[int, Body(embed=True, ge=0, description="The last number to put away.")],
) -> Response:
    """Hides items from reads that do not ask for archived ones; answers how many as `result`."""
    return await _answer(request, namespace, ops.ArchiveHistory(history, up_to))
