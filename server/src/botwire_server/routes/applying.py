"""What routes share: applying operations, and encoding their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.types import Scope

from botwire import operations as ops
from botwire.engines.sql import pages
from botwire.errors import ConflictError, NotFoundError
from botwire_server import service
from botwire_server.request_work import AT_ONCE, by_turns
from botwire_server.routes import conditions
from botwire_server.routes.reading import digest, idempotency_id, read_operation, when_short

T = TypeVar("T")

Clearing = ops.ClearKeys | ops.ClearHistory | ops.DeleteRecords | ops.ErasePast
"""Operations that can delete a part at a time."""

_FEW = 100  # elements of a result that take a few milliseconds to encode; large values are spliced
_ATTEMPTS = 100


async def apply_all(
    request: Request, namespace: str, operations: Iterable[ops.AnyOperation]
) -> ops.Results:
    """Applies operations as one transaction and returns their results."""
    batch = ops.Batch(namespace, tuple(operations))
    name = idempotency_id(request.scope) if batch.writes else None
    if name is not None:
        body = await request.body()
        hashed = await when_short(request.scope, len(body), lambda: digest(request.scope, body))
        batch = ops.Batch(namespace, batch.operations, name, hashed)
    return await service.apply_batch(request.scope, batch)


async def apply(request: Request, namespace: str, operation: ops.AnyOperation) -> Any:
    """Applies one operation and returns its result."""
    (result,) = await apply_all(request, namespace, (operation,))
    return result


def encode_answer(operation: ops.AnyOperation, result: Any) -> Response:
    """Returns a result as JSON; one that is not an object becomes ``result`` in an object."""
    text = ops.BY_CLASS[type(operation)].result.encode(result)
    body = text if text.startswith("{") else f'{{"result":{text}}}'
    return Response(body, media_type="application/json")


async def answer(request: Request, namespace: str, operation: ops.AnyOperation) -> Response:
    """Applies one operation and answers its result as JSON."""
    result = await apply(request, namespace, operation)
    return await encoded(request.scope, (operation,), lambda: encode_answer(operation, result))


async def answer_body(request: Request, namespace: str, op: str, **fields: Any) -> Response:
    """Applies the operation that the body describes, and returns its result."""
    return await answer(request, namespace, await read_operation(request, op, **fields))


async def answer_in_parts(
    request: Request,
    namespace: str,
    operation: Clearing,
    part: int,
) -> Response:
    """Deletes a limited number at a time, so that others can write, and returns the total.

    A request with an `Idempotency-Key` is one transaction, so that it can be repeated.
    """
    if idempotency_id(request.scope) is not None:
        return await answer(request, namespace, operation)
    return encode_answer(operation, await apply_in_parts(request, namespace, operation, part))


async def apply_in_parts(request: Request, namespace: str, operation: Clearing, part: int) -> int:
    """Deletes a limited number at a time, so that others can write; returns the total."""
    limited = replace(operation, limit=part)
    total = 0
    while True:
        count: int = await apply(request, namespace, limited)
        total += count
        if limited.is_over(count):
            return total


async def answer_entry(
    request: Request, namespace: str, read: ops.GetKeys | ops.GetRecords, what: str
) -> Response:
    """Returns a key or record with its version as the ETag, or 304 if the caller has it.

    Args:
        request: The request.
        namespace: The namespace.
        read: Reads that one key or record.
        what: Its name in errors.

    Raises:
        NotFoundError: It does not exist.
        ConflictError: The condition of If-Match does not hold (status 412).
    """
    (entry,) = await apply(request, namespace, read)
    if entry is None:
        raise NotFoundError(f"there is no such {what}")
    given = conditions.read_conditions(request)
    if given is not None and not given.hold(entry.version):
        if not given.match_holds(entry.version):
            raise conditions.failed(entry.version)
        return conditions.tagged(Response(status_code=304), entry.version)
    text = ops.BY_CLASS[type(read)].result.encode((entry,))
    response = Response(text[1:-1], media_type="application/json")
    return conditions.tagged(response, entry.version)


async def write_entry(
    request: Request,
    namespace: str,
    make: Callable[[int | None], ops.AnyOperation],
    read: ops.GetKeys | ops.GetRecords,
) -> Any:
    """Writes a key or record under the conditions of the request, and returns the result.

    Args:
        request: The request.
        namespace: The namespace.
        make: Returns the write, given the version that it requires; None: any.
        read: Reads that one key or record.

    Raises:
        ConflictError: The conditions do not hold (status 412).
    """
    given = conditions.read_conditions(request)
    if given is None:
        return await apply(request, namespace, make(None))
    for _ in range(_ATTEMPTS):
        (entry,) = await apply(request, namespace, read)
        version = 0 if entry is None else entry.version
        holds = given.hold(version)
        try:
            # The write is always tried: the engine recognizes a retried request, whose conditions
            # held the first time and no longer do.
            return await apply(request, namespace, make(version if holds else conditions.NEVER))
        except ConflictError:
            if not holds:
                break
    raise conditions.failed(version)


async def encoded(
    scope: Scope, operations: Sequence[ops.AnyOperation], encode: Callable[[], T], asked: int = 0
) -> T:
    """Encodes results at once if they are short, else in a thread when it is the caller's turn.

    Args:
        scope: The scope of the request.
        operations: The operations that were applied.
        encode: Encodes their results.
        asked: The size of the request in bytes; the results of writes grow with it.
    """
    long = asked > AT_ONCE or any(not one.writes and pages.count(one) > _FEW for one in operations)
    return await by_turns(scope, encode) if long else encode()
