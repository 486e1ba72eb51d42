"""Histories: ordered, append-only lists of JSON items."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response

from botwire import operations as ops
from botwire.errors import NotFoundError
from botwire_server.routes.applying import answer, answer_body, answer_in_parts, apply
from botwire_server.routes.describing import CONFLICT, DONE, MISSING, answers, answers_with, takes
from botwire_server.routes.parameters import (
    After,
    Filter,
    History,
    Limit,
    Namespace,
    Prefix,
    Seq,
    new_router,
)
from botwire_server.routes.reading import decode_filter, make_operation
from botwire_server.schemas import TIME, ref, result_of, schema_of

router = new_router("histories")

_STAT = {
    "name": "chat",
    "count": 2,
    "archived": 0,
    "last_seq": 2,
    "created_at": "2026-11-24T09:30:00.000001Z",
    "updated_at": "2026-11-24T09:30:05.000001Z",
    "metadata": {"title": "Introductions"},
    "metadata_version": 4,
    "expires_at": "2026-12-24T09:30:05.000001Z",
}
_ITEM = {
    "seq": 2,
    "id": None,
    "value": {"role": "user", "text": "My name is Ada."},
    "created_at": "2026-11-24T09:30:05.000001Z",
    "version": 3,
}
_CHAT = {"values": [{"role": "user", "text": "My name is Ada."}], "ids": ["message-1"]}


@router.get(
    "/histories",
    summary="List histories by name or by last change",
    responses=answers(ops.ListHistories, {"histories": [_STAT], "more": False}),
)
async def list_histories(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    limit: Limit = ops.MAX_PAGE,
    order: Annotated[Literal["name", "updated"], Query(description="What to order by.")] = "name",
    descending: Annotated[bool, Query(description="Reverse the order.")] = False,
    filter_: Filter = None,
    after_time: Annotated[
        Any,
        Query(
            description="In the order `updated`: the `updated_at` of the history that `after` "
            "names, which is the last of the previous page.",
            json_schema_extra=TIME,
        ),
    ] = None,
) -> Response:
    """Returns `histories`, each with counts, times and metadata, and whether there are `more`."""
    fields = {
        "prefix": prefix,
        "after": after,
        "limit": limit,
        "order": order,
        "descending": descending,
        "where": decode_filter(filter_),
        "after_time": after_time,
    }
    return await answer(request, namespace, make_operation("list_histories", fields, {}))


@router.get(
    "/histories/{history}",
    summary="Describe a history",
    responses=answers(ops.StatHistory, _STAT),
)
async def stat_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Returns counts, times and metadata; zeros if nothing was ever written."""
    return await answer(request, namespace, ops.StatHistory(history))


@router.put(
    "/histories/{history}/metadata",
    summary="Set the metadata",
    responses=answers(ops.SetHistoryMetadata, {"result": 4}) | CONFLICT,
    openapi_extra=takes(
        schema_of(ops.SetHistoryMetadata, without={"name"}), {"metadata": {"title": "Tea"}}
    ),
)
async def set_history_metadata(
    request: Request, namespace: Namespace, history: History
) -> Response:
    """Replaces the metadata, and returns its version as `result`. An empty object removes it."""
    return await answer_body(request, namespace, "set_history_metadata", name=history)


@router.put(
    "/histories/{history}/expiry",
    summary="Set when a history expires",
    responses=answers(ops.ExpireHistory, {"result": True}),
    openapi_extra=takes(schema_of(ops.ExpireHistory, without={"name"}), {"ttl": 86400}),
)
async def expire_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Returns whether the history exists as `result`. Without a `ttl` it no longer expires."""
    return await answer_body(request, namespace, "expire_history", name=history)


@router.delete(
    "/histories/{history}",
    summary="Delete all items",
    responses=answers(ops.ClearHistory, {"result": 2}),
)
async def clear_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Returns the number of deleted items, including archived ones, as `result`."""
    return await answer_in_parts(request, namespace, ops.ClearHistory(history), ops.PART)


@router.get(
    "/histories/{history}/items",
    summary="Read items",
    responses=answers(ops.ReadHistory, {"items": [_ITEM], "more": False}),
)
async def read_history(
    request: Request,
    namespace: Namespace,
    history: History,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Only items after this number.")] = 0,
    before: Annotated[
        int | None, Query(ge=0, lt=2**63, description="Only items before this number.")
    ] = None,
    limit: Limit = ops.MAX_PAGE,
    newest_first: Annotated[bool, Query(description="In reverse order, from the end.")] = False,
    archived: Annotated[bool, Query(description="Include archived items.")] = False,
) -> Response:
    """Returns `items`, and whether there are `more`.

    For the next page, ask for those `after` the last number, or newest first, `before` it.
    """
    operation = ops.ReadHistory(history, after, before, limit, newest_first, archived)
    return await answer(request, namespace, operation)


@router.get(
    "/histories/{history}/items/{seq}",
    summary="Read an item",
    responses=answers_with(ref(ops.HistoryItem), _ITEM) | MISSING,
)
async def read_item(request: Request, namespace: Namespace, history: History, seq: Seq) -> Response:
    """Returns the item with a number, archived or not."""
    operation = ops.ReadHistory(history, seq - 1, seq + 1, limit=1, archived=True)
    page = await apply(request, namespace, operation)
    if not page.items:
        raise NotFoundError("there is no such item")
    text = ops.BY_CLASS[ops.PopItem].result.encode(page.items[0])
    return Response(text, media_type="application/json")


@router.post(
    "/histories/{history}/items",
    summary="Append items",
    responses=answers(ops.ExtendHistory, {"result": [3]}) | CONFLICT,
    openapi_extra=takes(schema_of(ops.ExtendHistory, without={"name"}), _CHAT),
)
async def extend_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Appends items in one transaction, and returns their sequence numbers as `result`.

    An item whose id exists already is not written again.
    """
    return await answer_body(request, namespace, "extend_history", name=history)


@router.put(
    "/histories/{history}/items",
    summary="Replace all items",
    responses=answers(ops.ReplaceHistory, {"result": [4]}) | CONFLICT,
    openapi_extra=takes(schema_of(ops.ReplaceHistory, without={"name"}), _CHAT),
)
async def replace_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Replaces all items with these, and returns their sequence numbers as `result`."""
    return await answer_body(request, namespace, "replace_history", name=history)


@router.put(
    "/histories/{history}/items/{seq}",
    summary="Replace the value of an item",
    responses=answers(ops.UpdateItem, {"result": 5}) | CONFLICT | MISSING,
    openapi_extra=takes(
        schema_of(ops.UpdateItem, without={"name", "seq", "id"}),
        {"value": {"role": "user", "text": "My name is Ada Lovelace."}, "if_version": 3},
    ),
)
async def update_item(
    request: Request, namespace: Namespace, history: History, seq: Seq
) -> Response:
    """Replaces the value in place, and returns the item's new version as `result`."""
    return await answer_body(request, namespace, "update_item", name=history, seq=seq)


@router.delete(
    "/histories/{history}/items",
    summary="Delete items",
    responses=answers(ops.DeleteItems, {"result": 1}),
)
async def delete_items(
    request: Request,
    namespace: Namespace,
    history: History,
    seq: Annotated[
        list[Annotated[int, Query(ge=0, lt=2**63)]],
        Query(description="A sequence number; may be repeated.", min_length=1),
    ],
) -> Response:
    """Returns the number of deleted items as `result`."""
    return await answer(request, namespace, ops.DeleteItems(history, tuple(seq)))


@router.delete(
    "/histories/{history}/items/{seq}",
    summary="Delete an item",
    status_code=204,
    responses=DONE | MISSING,
)
async def delete_item(
    request: Request, namespace: Namespace, history: History, seq: Seq
) -> Response:
    """Returns 204, or 404 if the item does not exist."""
    if not await apply(request, namespace, ops.DeleteItems(history, (seq,))):
        raise NotFoundError("there is no such item")
    return Response(status_code=204)


@router.post(
    "/histories/{history}/fork",
    summary="Fork a history",
    responses=answers(ops.ForkHistory, {"result": 2}) | CONFLICT | MISSING,
    openapi_extra=takes(
        schema_of(ops.ForkHistory, without={"name"}), {"to": "chat, again", "up_to": 2}
    ),
)
async def fork_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Creates a history that begins with the same items; returns their number as `result`.

    Later changes to one of the two do not affect the other.
    """
    return await answer_body(request, namespace, "fork_history", name=history)


@router.post(
    "/histories/{history}/pop",
    summary="Remove the last item",
    responses=answers_with(
        {"oneOf": [ref(ops.HistoryItem), result_of({"type": "null"})]},
        _ITEM,
    ),
)
async def pop_item(request: Request, namespace: Namespace, history: History) -> Response:
    """Deletes the last item and answers it, or `result` null if there is none."""
    return await answer(request, namespace, ops.PopItem(history))


@router.post(
    "/histories/{history}/archive",
    summary="Archive items",
    responses=answers(ops.ArchiveHistory, {"result": 2}),
    openapi_extra=takes(schema_of(ops.ArchiveHistory, without={"name"}), {"up_to": 2}),
)
async def archive_history(request: Request, namespace: Namespace, history: History) -> Response:
    """Hides items from reads without `archived`, and returns their number as `result`."""
    return await answer_body(request, namespace, "archive_history", name=history)
