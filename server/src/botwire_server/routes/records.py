"""Records: searchable texts with metadata, tags, a scope and an embedding."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import Depends, Query, Request, Response

from botwire import operations as ops
from botwire import wire
from botwire.errors import InvalidRequestError, NotFoundError
from botwire_server.routes import conditions
from botwire_server.routes.applying import (
    answer,
    answer_body,
    answer_entry,
    answer_in_parts,
    apply,
    write_entry,
)
from botwire_server.routes.describing import CONFLICT, DONE, MISSING, answers, answers_with, takes
from botwire_server.routes.parameters import (
    After,
    Collection,
    Embeddings,
    Filter,
    Limit,
    Namespace,
    Prefix,
    RecordId,
    new_router,
)
from botwire_server.routes.reading import decode_filter, read_object, read_operation, when_short
from botwire_server.schemas import ID, SCOPE, TIME, list_of, ref, schema_of

router = new_router("records")

RECORD = {
    "id": "fact-1",
    "text": "Ada likes tea.",
    "metadata": {"topic": "drinks"},
    "tags": ["preference"],
    "scope": "/crew/ada",
    "embedding": None,
    "version": 7,
    "created_at": "2026-11-24T09:30:00.000001Z",
    "updated_at": "2026-11-24T09:30:00.000001Z",
}
_NEW = {
    "id": "fact-1",
    "text": "Ada likes tea.",
    "metadata": {"topic": "drinks"},
    "tags": ["preference"],
    "scope": "/crew/ada",
    "embedding": [0.25, -0.5, 1.0],
}
_WHERE = {"scope": "/crew", "filter": {"topic": "drinks"}}
_IN = {"collection"}


async def _selection(
    scope: Annotated[
        Any, Query(description="Only this scope and the scopes below it.", json_schema_extra=SCOPE)
    ] = "/",
    tag: Annotated[
        list[Any] | None,
        Query(
            description="Only records with one of these tags; may be repeated.",
            json_schema_extra=list_of(ID),
        ),
    ] = None,
    filter_: Filter = None,
    created_after: Annotated[Any, Query(description="ISO 8601.", json_schema_extra=TIME)] = None,
    created_before: Annotated[Any, Query(description="ISO 8601.", json_schema_extra=TIME)] = None,
) -> dict[str, Any]:
    given = {
        "scope": scope,
        "tags": tag,
        "filter": decode_filter(filter_),
        "created_after": created_after,
        "created_before": created_before,
    }
    return {name: part for name, part in given.items() if part is not None}


Where = Annotated[dict[str, Any], Depends(_selection)]


def _make(op: str, collection: str, **fields: Any) -> ops.AnyOperation:
    return wire.decode_operation({"op": op, "collection": collection, **fields}, "the query")


@router.get(
    "/collections",
    summary="List collections by name",
    responses=answers(ops.ListCollections, {"collections": ["default"], "more": False}),
)
async def list_collections(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: After = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Returns the `collections` that have records, and whether there are `more`."""
    return await answer(request, namespace, ops.ListCollections(prefix, after, limit))


# --- one record -----------------------------------------------------------------------------


@router.get(
    "/collections/{collection}/records/{record}",
    summary="Read a record",
    responses=answers_with(ref(ops.RecordEntry), RECORD)
    | conditions.UNMODIFIED
    | MISSING
    | conditions.FAILED,
    openapi_extra={"parameters": conditions.HEADERS},
)
async def get_record(
    request: Request,
    namespace: Namespace,
    collection: Collection,
    record: RecordId,
    embeddings: Embeddings = False,
) -> Response:
    """Returns the record; its version is the ETag."""
    read = ops.GetRecords(collection, (record,), embeddings)
    return await answer_entry(request, namespace, read, "record")


@router.put(
    "/collections/{collection}/records/{record}",
    summary="Put a record",
    responses=conditions.VERSION | CONFLICT | conditions.FAILED,
    openapi_extra={
        **takes(
            schema_of(ops.NewRecord, without={"id"}),
            {name: part for name, part in _NEW.items() if name != "id"},
        ),
        "parameters": conditions.HEADERS,
    },
)
async def put_record(
    request: Request, namespace: Namespace, collection: Collection, record: RecordId
) -> Response:
    """Returns the new version. Without an embedding, the stored one is kept."""
    body = await read_object(request)
    if "id" in body:
        raise InvalidRequestError("the body must not contain 'id': it is given in the path")

    body["id"] = record
    document = {"op": "put_records", "collection": collection, "records": [body]}
    decoded = await when_short(
        request.scope,
        len(await request.body()),
        lambda: wire.decode_operation(document, "the body"),
    )
    put = cast("ops.PutRecords", decoded)

    def make(version: int | None) -> ops.AnyOperation:
        if version is None:
            return put
        if "if_version" in body:
            raise InvalidRequestError("pass either a header or if_version, not both")
        return replace(put, records=(replace(put.records[0], if_version=version),))

    read = ops.GetRecords(collection, (record,), embeddings=False)
    (version,) = await write_entry(request, namespace, make, read)
    return conditions.answer_version(version)


@router.delete(
    "/collections/{collection}/records/{record}",
    summary="Delete a record",
    status_code=204,
    responses=DONE | MISSING,
)
async def delete_record(
    request: Request, namespace: Namespace, collection: Collection, record: RecordId
) -> Response:
    """Returns 204, or 404 if the record does not exist."""
    one = ops.DeleteRecords(collection, ops.Selection(ids=(record,)))
    if not await apply(request, namespace, one):
        raise NotFoundError("there is no such record")
    return Response(status_code=204)


# --- many -----------------------------------------------------------------------------------


@router.get(
    "/collections/{collection}/records",
    summary="List records, newest first",
    responses=answers(ops.ListRecords, {"records": [RECORD], "more": False}),
)
async def list_records(
    request: Request,
    namespace: Namespace,
    collection: Collection,
    where: Where,
    limit: Limit = 100,
    offset: Annotated[int, Query(description="Number of records to skip.", ge=0, lt=2**63)] = 0,
    embeddings: Embeddings = False,
) -> Response:
    """Returns `records`, the newest first, and whether there are `more`.

    The selection applies before `limit` and `offset`.
    """
    operation = _make(
        "list_records",
        collection,
        where=where,
        limit=limit,
        offset=offset,
        embeddings=embeddings,
    )
    return await answer(request, namespace, operation)


@router.post(
    "/collections/{collection}/records",
    summary="Put records",
    responses=answers(ops.PutRecords, {"result": [7]}) | CONFLICT,
    openapi_extra=takes(schema_of(ops.PutRecords, without=_IN), {"records": [_NEW]}),
)
async def put_records(request: Request, namespace: Namespace, collection: Collection) -> Response:
    """Adds records, or replaces those with the same ids, in one transaction.

    Returns the new version of each as `result`.
    """
    return await answer_body(request, namespace, "put_records", collection=collection)


@router.patch(
    "/collections/{collection}/records",
    summary="Change metadata",
    responses=answers(ops.PatchRecords, {"result": 1}),
    openapi_extra=takes(
        schema_of(ops.PatchRecords, without=_IN),
        {"ids": ["fact-1"], "metadata": {"checked": True}},
    ),
)
async def patch_records(request: Request, namespace: Namespace, collection: Collection) -> Response:
    """Sets fields in the metadata of these records, and keeps the other fields.

    Returns the number of records that exist as `result`.
    """
    return await answer_body(request, namespace, "patch_records", collection=collection)


@router.post(
    "/collections/{collection}/get",
    summary="Read several records",
    responses=answers(ops.GetRecords, {"result": [RECORD, None]}),
    openapi_extra=takes(
        schema_of(ops.GetRecords, without=_IN),
        {"ids": ["fact-1", "no such record"], "embeddings": False},
    ),
)
async def get_records(request: Request, namespace: Namespace, collection: Collection) -> Response:
    """Returns a record or null for each id, all as of one moment."""
    return await answer_body(request, namespace, "get_records", collection=collection)


@router.post(
    "/collections/{collection}/delete",
    summary="Delete records",
    responses=answers(ops.DeleteRecords, {"result": 1}),
    openapi_extra=takes(schema_of(ops.DeleteRecords, without=_IN), {"where": _WHERE}),
)
async def delete_records(
    request: Request, namespace: Namespace, collection: Collection
) -> Response:
    """Deletes the selected records, and returns their number as `result`.

    Deleting every record requires `all` instead of a selection.
    """
    operation = await read_operation(request, "delete_records", collection=collection)
    if isinstance(operation, ops.DeleteRecords) and operation.limit is None:
        return await answer_in_parts(request, namespace, operation, ops.RECORDS_PART)
    return await answer(request, namespace, operation)


@router.post(
    "/collections/{collection}/search",
    summary="Search records",
    responses=answers(ops.SearchRecords, {"result": [{"record": RECORD, "score": 0.87}]}),
    openapi_extra=takes(
        schema_of(ops.SearchRecords, without=_IN)
        | {"anyOf": [{"required": ["vector"]}, {"required": ["text"]}]},
        {"text": "tea", "where": _WHERE, "limit": 5, "embeddings": False},
    ),
)
async def search_records(
    request: Request, namespace: Namespace, collection: Collection
) -> Response:
    """Returns the records that match a vector, a text or both, the best first, as `result`.

    The selection applies before the limit.
    """
    return await answer_body(request, namespace, "search_records", collection=collection)


# --- what there is --------------------------------------------------------------------------


@router.get(
    "/collections/{collection}/stat",
    summary="Count records",
    responses=answers(
        ops.StatRecords,
        {
            "count": 1,
            "oldest": RECORD["created_at"],
            "newest": RECORD["created_at"],
            "dimension": 3,
        },
    ),
)
async def stat_records(
    request: Request, namespace: Namespace, collection: Collection, where: Where
) -> Response:
    """Returns the number of selected records, and the times of the oldest and the newest."""
    return await answer(request, namespace, _make("stat_records", collection, where=where))


@router.get(
    "/collections/{collection}/scopes",
    summary="List scopes",
    responses=answers(ops.ListScopes, {"result": ["/crew/ada"]}),
)
async def list_scopes(
    request: Request,
    namespace: Namespace,
    collection: Collection,
    parent: Annotated[
        Any, Query(description="The scope above those to list.", json_schema_extra=SCOPE)
    ] = "/",
) -> Response:
    """Returns the scopes one segment below `parent` that contain records as `result`."""
    return await answer(request, namespace, ops.ListScopes(collection, parent))


@router.get(
    "/collections/{collection}/tags",
    summary="List tags",
    responses=answers(ops.ListTags, {"result": [{"tag": "preference", "count": 1}]}),
)
async def list_tags(
    request: Request, namespace: Namespace, collection: Collection, where: Where
) -> Response:
    """Returns the tags of the selected records, each with its number of records, as `result`."""
    return await answer(request, namespace, _make("list_tags", collection, where=where))
