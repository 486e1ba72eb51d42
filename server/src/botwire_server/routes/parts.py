"""What the routes share: names in paths, pages, bodies, the way to the engine and back."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from botwire import operations as ops
from botwire import wire
from botwire.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    ServerError,
)
from botwire.names import check_id
from botwire_server.problems import describe
from botwire_server.service import apply_batch

MISSING = describe(NotFoundError)
CONFLICT = describe(ConflictError)


def new_router(tag: str) -> APIRouter:
    """Returns a router for addresses below a namespace.

    Args:
        tag: Under what the OpenAPI description lists them.
    """
    return APIRouter(
        prefix="/v1/namespaces/{namespace}",
        tags=[tag],
        responses=describe(InvalidRequestError, PayloadTooLargeError, ServerError),
    )


# --- what a request names -------------------------------------------------------------------


def decode_name(segment: str, what: str) -> str:
    """Decodes a path segment, exactly once.

    Raises:
        InvalidRequestError: It is not UTF-8.
    """
    try:
        return unquote_to_bytes(segment).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise InvalidRequestError(f"the {what} in the path is not UTF-8") from None


def _namespace(
    namespace: Annotated[str, Path(description="Whose memory it is.", examples=["user-123"])],
) -> str:
    return decode_name(namespace, "namespace")


Namespace = Annotated[str, Depends(_namespace)]
Prefix = Annotated[str, Query(description="Only names that start with this.")]
After = Annotated[str | None, Query(description="Only names after this one; for the next page.")]
Limit = Annotated[int, Query(description="How many at most.", ge=1, le=ops.MAX_PAGE)]


def request_id(request: Request) -> str | None:
    """Returns what the caller named this write, so that sending it again is harmless."""
    given = request.headers.get(wire.IDEMPOTENCY_HEADER)
    return None if given is None else check_id(given)


# --- what it brings -------------------------------------------------------------------------


async def read_json(request: Request) -> Any:
    """Returns the decoded body of a request.

    Raises:
        InvalidRequestError: It is not JSON.
    """
    body = await request.body()
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidRequestError("the body is nested too deeply") from None
    except ValueError as error:
        raise InvalidRequestError(f"the body is not JSON: {error}") from None


async def read_operation(request: Request, op: str, **fields: Any) -> ops.Operation:
    """Makes an operation of the body's fields and those of the path."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be an object")
    taken = {"op", *fields} & body.keys()
    if taken:
        raise InvalidRequestError(f"the body has the unknown field {min(taken)!r}")
    return wire.decode_operation({"op": op, **fields, **body}, "the body")


def describe_body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """Returns the OpenAPI description of a body that a route reads itself."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


# --- to the engine and back -----------------------------------------------------------------


async def apply(request: Request, namespace: str, operation: ops.Operation) -> Any:
    """Applies one operation and returns what it answers."""
    name = request_id(request) if operation.writes else None
    (result,) = await apply_batch(request, ops.Batch(namespace, (operation,), name))
    return result


async def answer(request: Request, namespace: str, operation: ops.Operation) -> Response:
    """Applies one operation and answers its result as JSON.

    A result that is not an object is put into one, as ``result``.
    """
    result = await apply(request, namespace, operation)
    text = wire.RESULTS[type(operation)].encode(result)
    body = text if text.startswith("{") else f'{{"result":{text}}}'
    return Response(body, media_type="application/json")
