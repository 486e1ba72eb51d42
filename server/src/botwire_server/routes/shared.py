"""What routes share: names in paths, pages, bodies, applying operations, encoding results."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.types import Scope

from botwire import names, pieces, wire
from botwire import operations as ops
from botwire.engines.sql import pages
from botwire.errors import ConflictError, InvalidRequestError, NotFoundError, NotJSONError
from botwire_server import schemas, service
from botwire_server.middleware import HEADERS
from botwire_server.request_work import AT_ONCE, by_turns
from botwire_server.routes import conditions
from botwire_server.routes.describing import ALWAYS

T = TypeVar("T")

REQUEST_ID = "[ -~]*[!-~][ -~]*"
"""The pattern of an `Idempotency-Key`, for the check and for the description."""

Clearing = ops.ClearKeys | ops.ClearHistory | ops.DeleteRecords | ops.ErasePast
"""Operations that can delete a part at a time."""

_FEW = 100  # elements of a result that take a few milliseconds to encode; large values are spliced
_ATTEMPTS = 100
_READS_BY_POST = frozenset({"get_keys", "get_records", "list_changed", "search_records"})
_REQUEST_ID = re.compile(REQUEST_ID)
_ID_HEADER = wire.IDEMPOTENCY_HEADER.lower().encode()


class ExactRequest(Request):
    """A request whose query is decoded exactly: names in it may contain lone surrogates."""

    @property
    def query_params(self) -> QueryParams:
        """The query parameters; raises `InvalidRequestError` if they are not UTF-8."""
        if not hasattr(self, "_query_params"):
            query = self.scope["query_string"].decode("latin-1")
            try:
                pairs = parse_qsl(query, keep_blank_values=True, errors="surrogatepass")
            except UnicodeDecodeError:
                raise InvalidRequestError("the query is not UTF-8") from None
            self._query_params = QueryParams(pairs)
        return self._query_params


class ExactRoute(APIRoute):
    """A route whose handler gets an `ExactRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the handler; overriding this is FastAPI's documented way to replace requests."""
        handle = super().get_route_handler()

        async def handle_exactly(request: Request) -> Response:
            return await handle(ExactRequest(request.scope, request.receive))

        return handle_exactly


def new_router(tag: str, *, prefix: str = "/v1/namespaces/{namespace}") -> APIRouter:
    """Returns a router for paths below a namespace.

    Args:
        tag: The heading of its routes in the OpenAPI description.
        prefix: A different prefix for the paths.
    """
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=ExactRoute,
        responses=ALWAYS,
        dependencies=[Depends(_refuse_unknown_query), Depends(_refuse_conditions)],
    )


# --- names and parameters -------------------------------------------------------------------


def decode_name(segment: str, what: str) -> str:
    """Returns the decoded name of a path segment.

    Raises:
        InvalidRequestError: The segment is not UTF-8.
    """
    try:
        return unquote_to_bytes(segment).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise InvalidRequestError(f"the {what} in the path is not UTF-8") from None


def _in_path(description: str, example: str, most: int = names.MAX_NAME_BYTES) -> Any:
    # The limit is only described here; the decoded name is checked later.
    bound = {"minLength": 1, "maxLength": most}
    return Path(description=description, examples=[example], json_schema_extra=bound)


# Asynchronous, as FastAPI runs other dependencies in a thread, which costs more than they do.


async def _namespace(
    namespace: Annotated[
        str,
        _in_path(
            "The namespace, which isolates one user, agent or tenant.",
            "user-123",
            names.MAX_NAMESPACE_BYTES,
        ),
    ],
) -> str:
    return decode_name(namespace, "namespace")


async def _key(key: Annotated[str, _in_path("The key.", "prefs")]) -> str:
    return decode_name(key, "key")


async def _history(history: Annotated[str, _in_path("The history's name.", "chat")]) -> str:
    return decode_name(history, "history")


async def _collection(
    collection: Annotated[str, _in_path("The collection's name.", "default")],
) -> str:
    return decode_name(collection, "collection")


async def _record(
    record: Annotated[str, _in_path("The record's id.", "fact-1", names.MAX_ID_BYTES)],
) -> str:
    return decode_name(record, "record's id")


Namespace = Annotated[str, Depends(_namespace)]
Key = Annotated[str, Depends(_key)]
History = Annotated[str, Depends(_history)]
Collection = Annotated[str, Depends(_collection)]
RecordId = Annotated[str, Depends(_record)]
Seq = Annotated[
    int, Path(description="The item's sequence number.", ge=1, lt=2**63 - 1, examples=[2])
]
Embeddings = Annotated[bool, Query(description="Return embeddings too; otherwise they are null.")]
# Pydantic's strings have no lone surrogates, so names pass unchecked; operations check them.
Prefix = Annotated[
    Any, Query(description="Only names that start with this.", json_schema_extra=schemas.PREFIX)
]
After = Annotated[
    Any,
    Query(
        description="Only names after this one, which is the last of the previous page.",
        json_schema_extra=schemas.NAME,
    ),
]
Filter = Annotated[
    Any,
    Query(
        alias="filter",
        description="Only those whose metadata matches this JSON object, with the operators "
        "$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $not.",
        examples=['{"topic": "drinks"}'],
        json_schema_extra={
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"type": "object"},
        },
    ),
]
Limit = Annotated[int, Query(description="Most entries to return.", ge=1, le=ops.MAX_PAGE)]
IfVersion = Annotated[
    int | None,
    Query(description="Only if this is the version; 0: only if it does not exist.", ge=0, lt=2**63),
]


async def _refuse_unknown_query(request: Request) -> None:
    """Refuses unknown query parameters: a misspelt condition must not be ignored."""
    if not request.scope["query_string"]:
        return
    known = set(_query_names(request.scope["route"].dependant))
    unknown = request.query_params.keys() - known
    if unknown:
        takes = f"this path takes {', '.join(sorted(known)) or 'none'}"
        raise InvalidRequestError(f"unknown query parameter {min(unknown)!r:.80}: {takes}")


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)


async def _refuse_conditions(request: Request) -> None:
    """Refuses If-Match and If-None-Match on writes that cannot be conditional."""
    route = request.scope["route"]
    takes_them = "parameters" in (route.openapi_extra or {})
    if request.method != "GET" and not takes_them and route.name not in _READS_BY_POST:
        conditions.refuse_conditions(request)


# --- bodies ---------------------------------------------------------------------------------


async def when_short(scope: Scope, size: int, call: Callable[[], T]) -> T:
    """Runs a function at once if it is short, else in a thread when it is the caller's turn.

    Args:
        scope: The scope of the request.
        size: The approximate number of bytes that the function processes.
        call: The function.
    """
    return call() if size <= AT_ONCE else await by_turns(scope, call)


async def read_json(request: Request) -> Any:
    """Returns the decoded body of a request; large values in it are `botwire.exact.Json`.

    Raises:
        InvalidRequestError: The body is not JSON.
    """
    body = await request.body()
    return await when_short(request.scope, len(body), lambda: decode_json(body))


def decode_filter(given: str | None) -> Any:
    """Returns the filter in a query as decoded JSON; None if there is none."""
    return given and decode_json(given.encode("utf-8", "surrogatepass"), "the filter")


def decode_json(body: bytes, what: str = "the body") -> Any:
    """Returns decoded JSON.

    Args:
        body: The text in UTF-8.
        what: Its name in errors.

    Raises:
        InvalidRequestError: The text is not JSON.
    """
    try:
        return pieces.decode(body.decode())
    except NotJSONError as error:
        raise InvalidRequestError(str(error)) from None
    except RecursionError:
        raise InvalidRequestError(f"{what} is nested too deeply") from None
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        why = str(error)
    except ValueError as error:
        # Python's limit of digits (sys.set_int_max_str_digits), NaN, or a repeated key.
        is_long = "digits" in str(error) and not isinstance(error, pieces.DuplicateKeyError)
        why = "an integer has too many digits" if is_long else str(error)
    raise InvalidRequestError(f"{what} is not JSON: {why}")


async def read_object(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Returns the body, which must be an object; an empty one if the body is optional and empty."""
    if optional and not await request.body():
        return {}
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be an object")
    return body


async def read_operation(request: Request, op: str, **fields: Any) -> ops.AnyOperation:
    """Returns an operation with the fields of the body and those given elsewhere."""
    body = await read_object(request)
    size = len(await request.body())
    return await when_short(request.scope, size, lambda: make_operation(op, fields, body))


def make_operation(op: str, fields: dict[str, Any], body: dict[str, Any]) -> ops.AnyOperation:
    """Returns an operation with the fields of a body and those given elsewhere."""
    taken = {"op", *fields} & body.keys()
    if taken:
        raise InvalidRequestError(f"the body must not contain {min(taken)!r}: it is set elsewhere")
    return wire.decode_operation({"op": op, **fields, **body}, "the body")


def idempotency_id(scope: Scope) -> str | None:
    """Returns the id under which a write can be retried, or None."""
    header = scope[HEADERS].get(_ID_HEADER)
    if header is None:
        return None
    given = header.decode("latin-1")
    if not _REQUEST_ID.fullmatch(given):
        raise InvalidRequestError(
            f"the {wire.IDEMPOTENCY_HEADER} must be printable ASCII characters, and not blank"
        )
    return names.check_id(given)


def digest(scope: Scope, body: bytes) -> str:
    """Returns a hash of everything that determines what a request does."""
    headers = scope[HEADERS]
    parts = (
        body,
        scope["method"].encode(),
        scope["path"].encode(),
        scope["query_string"],
        headers.get(b"content-type", b""),
        headers.get(b"if-match", b""),
        headers.get(b"if-none-match", b""),
        headers.get(wire.AUTHOR_HEADER.lower().encode(), b""),
    )
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


# --- applying operations --------------------------------------------------------------------


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
