"""Histories: ordered, append-only lists of JSON items."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Depends, Path, Query, Request, Response

from botwire import operations as ops
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

router = new_router("histories")


def _history(
    history: Annotated[str, Path(description="The history's name.", examples=["chat"])],
) -> str:
    return decode_name(history, "history")


History = Annotated[str, Depends(_history)]

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


@router.get("/histories", summary="List histories by name")
async def list_histories(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Answers `histories`, each with its counts and times, and whether there are `more`."""
    return await answer(request, namespace, ops.ListHistories(prefix, after, limit))


@router.get("/histories/{history}", summary="Look at a history")
async def stat_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Answers counts, the last sequence number and times, zeros if nothing was appended."""
    return await answer(request, namespace, ops.StatHistory(history))


@router.delete("/histories/{history}", summary="Delete all items")
async def clear_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Answers how many there were as `result`."""
    return await answer(request, namespace, ops.ClearHistory(history))


@router.get("/histories/{history}/items", summary="Read items")
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
    return await answer(request, namespace, operation)


@router.post(
    "/histories/{history}/items",
    summary="Append items",
    responses=CONFLICT,
    openapi_extra=describe_body(_ITEMS, _CHAT),
)
async def extend_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Appends a batch, all or none, and answers the sequence numbers as `result`.

    An item whose id is there already is not written again.
    """
    operation = await read_operation(request, "extend_history", name=history)
    return await answer(request, namespace, operation)


@router.put(
    "/histories/{history}/items",
    summary="Replace all items",
    responses=CONFLICT,
    openapi_extra=describe_body(_ITEMS, _CHAT),
)
async def replace_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Puts these in the place of all there are and answers their numbers as `result`."""
    operation = await read_operation(request, "replace_history", name=history)
    return await answer(request, namespace, operation)


@router.delete(
    "/histories/{history}/items/{seq}",
    summary="Delete an item",
    responses=MISSING,
)
async def delete_item(
    request: Request, namespace: Namespace, history: History, seq: int
) -> Response:
    """Answers 204, or 404 if there was no such item."""
    if not await apply(request, namespace, ops.DeleteItems(history, (seq,))):
        raise NotFoundError("there is no such item")
    return Response(status_code=204)


@router.post("/histories/{history}/pop", summary="Take the last item")
async def pop_item(request: Request, namespace: Namespace, history: History) -> Response:
    """Deletes the last item and answers it, or `result` null if there was none."""
    return await answer(request, namespace, ops.PopItem(history))


@router.post("/histories/{history}/archive", summary="Put items away")
async def archive_history(
    request: Request,
    namespace: Namespace,
    history: History,
    up_to: Annotated[int, Body(embed=True, ge=0, description="The last number to put away.")],
) -> Response:
    """Hides items from reads that do not ask for archived ones; answers how many as `result`."""
    return await answer(request, namespace, ops.ArchiveHistory(history, up_to))
