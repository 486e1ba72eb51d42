"""Routes for administrators: list, measure and check namespaces and the store; erase a namespace.

What `botwire export` and `import` send (``dump_…``, ``restore_…``) has no route of its own: it goes
through the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from fastapi import Request, Response

from botwire import operations as ops
from botwire.names import SYSTEM_NAMESPACE
from botwire_server.auth import Caller
from botwire_server.routes.applying import Clearing, answer, apply, apply_in_parts, encode_answer
from botwire_server.routes.describing import answers, answers_with
from botwire_server.routes.parameters import After, Limit, Namespace, Prefix, new_router
from botwire_server.routes.reading import idempotency_id
from botwire_server.schemas import TEXT, list_of, result_of
from botwire_server.scopes import CALLER

whole = new_router("store", prefix="/v1")
router = new_router("store")

_WRONG = list_of({**TEXT, "description": "What is wrong."})
_STAT = {
    "revision": 42,
    "created_at": "2026-11-24T09:30:00.000001Z",
    "keys": 3,
    "histories": 1,
    "items": 20,
    "collections": 1,
    "records": 5,
    "bytes": 16_384,
}


@whole.get(
    "/namespaces",
    summary="List namespaces by name",
    responses=answers(
        ops.ListNamespaces,
        {
            "namespaces": [
                {"name": "user-123", "revision": 42, "created_at": "2026-11-24T09:30:00.000001Z"}
            ],
            "more": False,
        },
    ),
)
async def list_namespaces(
    request: Request, prefix: Prefix = "", after: After = None, limit: Limit = ops.MAX_PAGE
) -> Response:
    """Returns `namespaces`, and whether there are `more`. For administrators."""
    operation = ops.ListNamespaces(prefix, after, limit)
    return await answer(request, SYSTEM_NAMESPACE, operation)


@whole.get(
    "/store",
    summary="Measure the store",
    responses=answers(ops.StatStore, {"engine": "sqlite", "bytes": 1_048_576}),
)
async def stat_store(request: Request) -> Response:
    """Returns the kind of database and its size on disk. For administrators."""
    return await answer(request, SYSTEM_NAMESPACE, ops.StatStore())


@whole.post(
    "/store/check",
    summary="Check the database",
    responses=answers_with(result_of(_WRONG), {"result": []}),
)
async def check_store(request: Request) -> Response:
    """Has the database check its files, and returns the problems as `result`.

    This may take long. For administrators.
    """
    return await answer(request, SYSTEM_NAMESPACE, ops.CheckStore())


@whole.post(
    "/store/compact",
    summary="Return free space",
    responses=answers(ops.CompactStore, {"rewritten": True, "detail": ""}),
)
async def compact_store(request: Request) -> Response:
    """Rewrites the database's files without deleted data; writers wait. For administrators."""
    return await answer(request, SYSTEM_NAMESPACE, ops.CompactStore())


@router.get("/stat", summary="Measure a namespace", responses=answers(ops.StatNamespace, _STAT))
async def stat_namespace(request: Request, namespace: Namespace) -> Response:
    """Returns the numbers of keys, items and records, and their bytes; zeros if there are none."""
    return await answer(request, namespace, ops.StatNamespace())


@router.post(
    "/check",
    summary="Check a namespace",
    responses=answers_with(result_of(_WRONG), {"result": []}),
)
async def check_namespace(request: Request, namespace: Namespace) -> Response:
    """Compares stored counts with what they count, and returns the problems as `result`."""
    return await answer(request, namespace, ops.CheckNamespace())


@router.post(
    "/forget",
    summary="Erase a namespace",
    responses=answers(ops.ForgetNamespace, {"result": [{"kind": "keys", "count": 3}]}),
)
async def forget_namespace(request: Request, namespace: Namespace) -> Response:
    """Erases every row of the namespace, and returns the number of each kind as `result`.

    A large namespace is first emptied in parts, so that others can write. The bytes may stay in
    free space of the database's files until `/v1/store/compact`. For administrators.
    """
    # With an Idempotency-Key it is one transaction, so that it can be repeated.
    is_whole = idempotency_id(request.scope) is not None
    operation = ops.ForgetNamespace(namespace, None if is_whole else ops.PART)
    return encode_answer(operation, await erase(request, operation))


async def erase(request: Request, operation: ops.ForgetNamespace) -> tuple[ops.RowCount, ...]:
    """Erases a namespace, and returns the number of rows of each kind.

    Args:
        request: The request of the administrator.
        operation: What to erase. With a limit, a large namespace is first emptied in parts.

    Raises:
        PermissionDeniedError: The sender may not do this, or a hold protects something.
    """
    namespace = operation.name
    caller: Caller = request.scope[CALLER]
    caller.check(ops.Batch(SYSTEM_NAMESPACE, (operation,)))  # before anything is deleted
    for hold in await apply(request, namespace, ops.FindHolds()):
        raise hold.refusal()
    erased = Counter[str]() if operation.limit is None else await _empty(request, namespace)
    while True:
        counts: Sequence[ops.RowCount] = await apply(request, SYSTEM_NAMESPACE, operation)
        erased.update(dict(counts))
        if operation.is_over(counts):
            return tuple([one._replace(count=erased[one.kind]) for one in counts])


async def _empty(request: Request, namespace: str) -> Counter[str]:
    """Deletes in parts the kinds of rows that are numerous; returns the number of each kind."""
    emptied: Counter[str] = Counter()

    async def clear(kind: str, operation: Clearing, part: int) -> None:
        emptied[kind] += await apply_in_parts(request, namespace, operation, part)

    has: ops.NamespaceStat = await apply(request, namespace, ops.StatNamespace())
    if has.keys > ops.PART:
        await clear("keys", ops.ClearKeys(), ops.PART)
    if has.items > ops.PART:
        async for name in _names(request, namespace, ops.ListHistories()):
            await clear("items", ops.ClearHistory(name), ops.PART)
    if has.records > ops.RECORDS_PART:
        async for name in _names(request, namespace, ops.ListCollections()):
            await clear("records", ops.DeleteRecords(name, all=True), ops.RECORDS_PART)
    return emptied


async def _names(
    request: Request, namespace: str, listing: ops.ListHistories | ops.ListCollections
) -> AsyncIterator[str]:
    following: ops.ListHistories | ops.ListCollections | None = listing
    while following is not None:
        page = await apply(request, namespace, following)
        for entry in page[0]:
            yield entry if isinstance(entry, str) else entry.name
        following = following.following(page)
