"""Records: searchable texts with metadata, tags, a scope and an embedding."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from botwire import operations as ops
from botwire import wire
from botwire.errors import InvalidRequestError, NotFoundError
from botwire_server.routes import conditions
from botwire_server.routes.conditions import refuse_conditions
from botwire_server.routes.parts import (
    CONFLICT,
    DONE,
    MISSING,
    After,
    Collection,
    Limit,
    Namespace,
    Prefix,
    RecordId,
    answer,
    answer_in_parts,
    answers,
    answers_with,
    apply,
    decode_json,
    new_router,
    read_object,
    read_operation,
    takes,
)
from botwire_server.schemas import ID, SCOPE, TIME, list_of, ref, schema_of

router = new_router("records")

_RECORD = {
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

Embeddings = Annotated[bool, Query(description="Answer embeddings too; without, they are null.")]


async def _selection(
    scope: Annotated[
        Any, Query(description="Only this scope and those below it.", json_schema_extra=SCOPE)
    ] = "/",
    tag: Annotated[
        list[Any] | None,
        Query(
            description="Only records with one of these; may be given again.",
            json_schema_extra=list_of(ID),
        ),
    ] = None,
    filter_: Annotated[
        Any,
        Query(
            alias="filter",
            description="Only records whose metadata match: an object in JSON, with the operators "
            "$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $not.",
            examples=['{"topic": "drinks"}'],
            json_schema_extra={
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"type": "object"},
            },
        ),
    ] = None,
    created_after: Annotated[Any, Query(description="ISO 8601.", json_schema_extra=TIME)] = None,
    created_before: Annotated[Any, Query(description="ISO 8601.", json_schema_extra=TIME)] = None,
) -> dict[str, Any]:
    condition = filter_ and decode_json(filter_.encode("utf-8", "surrogatepass"), "the filter")
    given = {
        "scope": scope,
        "tags": tag,
        "filter": condition,
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
    """Answers `collections` that hold records and whether there are `more`."""
    return await answer(request, namespace, ops.ListCollections(prefix, after, limit))


# --- one record -----------------------------------------------------------------------------


@router.get(
    "/collections/{collection}/records/{record}",
    summary="Read a record",
    responses=answers_with(ref(ops.RecordEntry), _RECORD)
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
    """Answers the record; its version is the ETag."""
    operation = ops.GetRecords(collection, (record,), embeddings)
    (entry,) = await apply(request, namespace, operation)
    if entry is None:
        raise NotFoundError("there is no such record")
    text = ops.BY_CLASS[ops.GetRecords].result.encode((entry,))
    response = Response(text[1:-1], media_type="application/json")
    return conditions.answer_read(request, entry.version, response)


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
    """Answers the new version. Without an embedding, the one that is stored stays."""
    body = await read_object(request)
    if "id" in body:
        raise InvalidRequestError("the body has the unknown field 'id': it is in the path")

    def make(version: int | None) -> ops.AnyOperation:
        condition = {} if version is None else {"if_version": version}
        if condition.keys() & body.keys():
            raise InvalidRequestError("give one condition: a header, or if_version")
        new = {"id": record, **body, **condition}
        put = {"op": "put_records", "collection": collection, "records": [new]}
        return wire.decode_operation(put, "the body")

    async def current() -> int:
        (entry,) = await apply(
            request, namespace, ops.GetRecords(collection, (record,), embeddings=False)
        )
        return 0 if entry is None else int(entry.version)

    (version,) = await conditions.apply_write(
        request, lambda operation: apply(request, namespace, operation), make, current
    )
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
    """Answers 204, or 404 if there was no such record."""
    refuse_conditions(request)
    one = ops.DeleteRecords(collection, ops.Selection(ids=(record,)))
    if not await apply(request, namespace, one):
        raise NotFoundError("there is no such record")
    return Response(status_code=204)


# --- many -----------------------------------------------------------------------------------


@router.get(
    "/collections/{collection}/records",
    summary="List records, newest first",
    responses=answers(ops.ListRecords, {"records": [_RECORD], "more": False}),
)
async def list_records(
    request: Request,
    namespace: Namespace,
    collection: Collection,
    where: Where,
    limit: Limit = 100,
    offset: Annotated[int, Query(description="How many to leave out.", ge=0, lt=2**63)] = 0,
    embeddings: Embeddings = False,
) -> Response:
    """Answers `records` by the time of their creation and whether there are `more`.

    The selection is applied before `limit` and `offset`.
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
    """Adds records, or puts them in the place of those with the same id, all or none.

    Answers the new version of each as `result`.
    """
    refuse_conditions(request)
    return await answer(
        request, namespace, await read_operation(request, "put_records", collection=collection)
    )


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
    """Sets fields of the metadata of these records; other fields stay.

    Answers how many of them there were as `result`.
    """
    refuse_conditions(request)
    return await answer(
        request, namespace, await read_operation(request, "patch_records", collection=collection)
    )


@router.post(
    "/collections/{collection}/get",
    summary="Read several records",
    responses=answers(ops.GetRecords, {"result": [_RECORD, None]}),
    openapi_extra=takes(
        schema_of(ops.GetRecords, without=_IN),
        {"ids": ["fact-1", "no such record"], "embeddings": False},
    ),
)
async def get_records(request: Request, namespace: Namespace, collection: Collection) -> Response:
    """Answers a record or null for each id, as they were at one moment."""
    return await answer(
        request, namespace, await read_operation(request, "get_records", collection=collection)
    )


@router.post(
    "/collections/{collection}/delete",
    summary="Delete records",
    responses=answers(ops.DeleteRecords, {"result": 1}),
    openapi_extra=takes(schema_of(ops.DeleteRecords, without=_IN), {"where": _WHERE}),
)
async def delete_records(
    request: Request, namespace: Namespace, collection: Collection
) -> Response:
    """Deletes the records selected and answers how many as `result`.

    To delete every record, say `all` and no selection.
    """
    refuse_conditions(request)
    operation = await read_operation(request, "delete_records", collection=collection)
    if isinstance(operation, ops.DeleteRecords) and operation.all and operation.limit is None:
        return await answer_in_parts(request, namespace, operation, ops.RECORDS_PART)
    return await answer(request, namespace, operation)


@router.post(
    "/collections/{collection}/search",
    summary="Search records",
    responses=answers(ops.SearchRecords, {"result": [{"record": _RECORD, "score": 0.87}]}),
    openapi_extra=takes(
        schema_of(ops.SearchRecords, without=_IN)
        | {"anyOf": [{"required": ["vector"]}, {"required": ["text"]}]},
        {"text": "tea", "where": _WHERE, "limit": 5, "embeddings": False},
    ),
)
async def search_records(
    request: Request, namespace: Namespace, collection: Collection
) -> Response:
    """Answers the records that fit a vector, a text or both best, the best first, as `result`.

    The selection is applied before the limit.
    """
    return await answer(
        request, namespace, await read_operation(request, "search_records", collection=collection)
    )


# --- what there is --------------------------------------------------------------------------


@router.get(
    "/collections/{collection}/stat",
    summary="Count records",
    responses=answers(
        ops.StatRecords,
        {
            "count": 1,
            "oldest": _RECORD["created_at"],
            "newest": _RECORD["created_at"],
            "dimension": 3,
        },
    ),
)
async def stat_records(
    request: Request, namespace: Namespace, collection: Collection, where: Where
) -> Response:
    """Answers how many records are selected, and the times of the oldest and the newest."""
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
        Any, Query(description="Above the scopes asked for.", json_schema_extra=SCOPE)
    ] = "/",
) -> Response:
    """Answers the scopes one segment below `parent` that lead to records as `result`."""
    return await answer(request, namespace, ops.ListScopes(collection, parent))


@router.get(
    "/collections/{collection}/tags",
    summary="List tags",
    responses=answers(ops.ListTags, {"result": [{"tag": "preference", "count": 1}]}),
)
async def list_tags(
    request: Request, namespace: Namespace, collection: Collection, where: Where
) -> Response:
    """Answers each tag of the records selected and how many have it, as `result`."""
    return await answer(request, namespace, _make("list_tags", collection, where=where))
