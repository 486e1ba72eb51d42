"""The past of a namespace: how long it is kept, versions, and restoring it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from botwire import operations as ops
from botwire.clock import from_iso
from botwire.errors import InvalidRequestError
from botwire_server.routes.applying import answer, answer_body, answer_in_parts
from botwire_server.routes.describing import CONFLICT, MISSING, answers, takes
from botwire_server.routes.parameters import (
    Collection,
    Embeddings,
    History,
    Key,
    Limit,
    Namespace,
    RecordId,
    Seq,
    new_router,
)
from botwire_server.routes.records import RECORD
from botwire_server.schemas import NAME, TIME, schema_of

router = new_router("past")

_STAT = {
    "keep": 2_592_000.0,
    "since": 40,
    "began": "2026-11-24T09:30:00.000001Z",
    "revision": 42,
}
_VERSION = {
    "version": 7,
    "value": {"theme": "dark"},
    "created_at": "2026-11-24T09:30:00.000001Z",
    "updated_at": "2026-11-24T09:30:00.000001Z",
    "expires_at": None,
    "until": 9,
}
_ITEM_VERSION = {
    "version": 7,
    "item": {
        "seq": 3,
        "id": None,
        "value": "hello",
        "created_at": "2026-11-24T09:30:00.000001Z",
        "version": 7,
    },
    "until": 9,
}
_RECORD_VERSION = {"version": RECORD["version"], "record": RECORD, "until": 9}
Before = Annotated[int | None, Query(description="Only versions before this one.", ge=0, lt=2**63)]
_SHAPE = {"type": "string", "enum": list(ops.SHAPES)}


@router.get("/past", summary="Read how far the past goes", responses=answers(ops.StatPast, _STAT))
async def read_past(request: Request, namespace: Namespace) -> Response:
    """Returns for how many seconds the past is kept, and since which revision and time.

    To read keys, histories and records as of an earlier moment, send a batch with `at`.
    """
    return await answer(request, namespace, ops.StatPast())


@router.put(
    "/past",
    summary="Keep the past, or stop",
    responses=answers(ops.KeepPast, _STAT),
    openapi_extra=takes(schema_of(ops.KeepPast), {"seconds": 2_592_000}),
)
async def keep_past(request: Request, namespace: Namespace) -> Response:
    """Keeps what is changed or deleted from now on. For administrators of the namespace.

    `null` stops keeping it and deletes what was kept.
    """
    return await answer_body(request, namespace, "keep_past")


@router.delete("/past", summary="Erase the past", responses=answers(ops.ErasePast, {"result": 3}))
async def erase_past(
    request: Request,
    namespace: Namespace,
    shape: Annotated[
        Any,
        Query(
            description="The kind of thing that `name` names; if omitted, erase everything.",
            json_schema_extra=_SHAPE,
        ),
    ] = None,
    name: Annotated[
        Any,
        Query(description="The name of a key, a history or a collection.", json_schema_extra=NAME),
    ] = None,
) -> Response:
    """Permanently deletes the past kept so far. For administrators of the namespace."""
    if (shape is None) != (name is None):
        raise InvalidRequestError("give both shape and name, or neither to erase all")
    return await answer_in_parts(request, namespace, ops.ErasePast(shape, name), ops.PART)


@router.get(
    "/past/revision",
    summary="Find the revision at a time",
    responses=answers(ops.FindRevision, {"result": 41}) | MISSING,
)
async def find_revision(
    request: Request,
    namespace: Namespace,
    time: Annotated[Any, Query(description="The time, ISO 8601.", json_schema_extra=TIME)],
) -> Response:
    """Returns the revision that the namespace had at a time."""
    try:
        moment = from_iso(time)
    except ValueError:
        raise InvalidRequestError("time must be ISO 8601, such as 2026-11-24T09:30:00Z") from None
    return await answer(request, namespace, ops.FindRevision(moment))


@router.post(
    "/past/changed",
    summary="List what has changed since a moment",
    responses=answers(ops.ListChanged, {"names": ["prefs"], "more": False}) | MISSING,
    openapi_extra=takes(schema_of(ops.ListChanged), {"at": {"revision": 40}, "shape": "key"}),
)
async def list_changed(request: Request, namespace: Namespace) -> Response:
    """Returns the `names` of keys, histories or collections, and whether there are `more`."""
    return await answer_body(request, namespace, "list_changed")


@router.post(
    "/past/restore",
    summary="Restore what was",
    responses=answers(ops.RestorePast, {"restored": 1}) | MISSING | CONFLICT,
    openapi_extra=takes(
        schema_of(ops.RestorePast), {"at": {"revision": 40}, "shape": "key", "name": "prefs"}
    ),
)
async def restore_past(request: Request, namespace: Namespace) -> Response:
    """Restores a key, a history or the records of a collection by new writes.

    Returns how much was `restored`. If it returns `after`, send that to restore more records. With
    `only`, undoes one change, unless what it touched was changed again since.
    """
    return await answer_body(request, namespace, "restore_past")


@router.get(
    "/keys/{key}/versions",
    summary="Read the versions of a key",
    responses=answers(ops.ReadVersions, {"versions": [_VERSION], "more": False}),
)
async def read_versions(
    request: Request,
    namespace: Namespace,
    key: Key,
    before: Before = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Returns the key's current and past values, the newest first, and whether there are `more`."""
    return await answer(request, namespace, ops.ReadVersions(key, before, limit))


@router.get(
    "/histories/{history}/items/{seq}/versions",
    summary="Read the versions of an item",
    responses=answers(ops.ReadItemVersions, {"versions": [_ITEM_VERSION], "more": False}),
)
async def read_item_versions(
    request: Request,
    namespace: Namespace,
    history: History,
    seq: Seq,
    before: Before = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Returns what the item is and was, the newest first, and whether there are `more`.

    In a fork, these are the versions since the history was forked.
    """
    operation = ops.ReadItemVersions(history, seq, before=before, limit=limit)
    return await answer(request, namespace, operation)


@router.get(
    "/collections/{collection}/records/{record}/versions",
    summary="Read the versions of a record",
    responses=answers(ops.ReadRecordVersions, {"versions": [_RECORD_VERSION], "more": False}),
)
async def read_record_versions(
    request: Request,
    namespace: Namespace,
    collection: Collection,
    record: RecordId,
    before: Before = None,
    limit: Limit = ops.MAX_PAGE,
    embeddings: Embeddings = False,
) -> Response:
    """Returns what the record is and was, the newest first, and whether there are `more`."""
    operation = ops.ReadRecordVersions(collection, record, before, limit, embeddings)
    return await answer(request, namespace, operation)
