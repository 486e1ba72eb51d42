"""What the routes share: names in paths, pages, bodies, the way to the engine and back."""

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
from botwire.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    NotJSONError,
    PayloadTooLargeError,
    PermissionDeniedError,
    QuotaExceededError,
    ServerError,
)
from botwire.operations.codecs import Schema
from botwire_server import schemas, service
from botwire_server.middleware import HEADERS
from botwire_server.problems import Responses, describe
from botwire_server.schemas import answer_of
from botwire_server.working import AT_ONCE, by_turns

T = TypeVar("T")

MISSING = describe(NotFoundError)
CONFLICT = describe(ConflictError)
ALWAYS = describe(
    InvalidRequestError,
    AuthenticationError,
    PermissionDeniedError,
    PayloadTooLargeError,
    QuotaExceededError,
    ServerError,
)
"""The problems that every route may answer with."""
REQUEST_ID = "[ -~]*[!-~][ -~]*"
"""What an `Idempotency-Key` is made of; the regular expression that the description has too."""

Clearing = ops.ClearKeys | ops.ClearHistory | ops.DeleteRecords
"""An operation that deletes a part at a time if it is told to."""

_FEW = 100  # elements of an answer that are encoded in a few milliseconds, larger ones spliced
_REQUEST_ID = re.compile(REQUEST_ID)
_ID_HEADER = wire.IDEMPOTENCY_HEADER.lower().encode()


class ExactRequest(Request):
    """A request whose query is decoded exactly: names in it may hold lone surrogates."""

    @property
    def query_params(self) -> QueryParams:
        """The parameters; what is not UTF-8 is refused."""
        if not hasattr(self, "_query_params"):
            query = self.scope["query_string"].decode("latin-1")
            try:
                pairs = parse_qsl(query, keep_blank_values=True, errors="surrogatepass")
            except UnicodeDecodeError:
                raise InvalidRequestError("the query is not UTF-8") from None
            self._query_params = QueryParams(pairs)
        return self._query_params


class ExactRoute(APIRoute):
    """A route that is given an `ExactRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns what handles a request; FastAPI's documented way to give it another one."""
        handle = super().get_route_handler()

        async def handle_exactly(request: Request) -> Response:
            return await handle(ExactRequest(request.scope, request.receive))

        return handle_exactly


def new_router(tag: str, *, prefix: str = "/v1/namespaces/{namespace}") -> APIRouter:
    """Returns a router for addresses below a namespace.

    Args:
        tag: Under what the OpenAPI description lists them.
        prefix: Below what else they are.
    """
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=ExactRoute,
        responses=ALWAYS,
        dependencies=[Depends(_refuse_unknown_query)],
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


def _in_path(description: str, example: str, most: int = names.MAX_NAME_BYTES) -> Any:
    # The bound is told and not checked here: what is checked is the name, once decoded.
    bound = {"minLength": 1, "maxLength": most}
    return Path(description=description, examples=[example], json_schema_extra=bound)


# FastAPI runs what is not asynchronous in a thread, which costs more than all of these do.


async def _namespace(
    namespace: Annotated[
        str, _in_path("Whose memory it is.", "user-123", names.MAX_NAMESPACE_BYTES)
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
# What pydantic takes for a string has no lone surrogate: names pass as they are, to be checked by
# the operation that is made of them.
Prefix = Annotated[
    Any, Query(description="Only names that start with this.", json_schema_extra=schemas.PREFIX)
]
After = Annotated[
    Any,
    Query(
        description="Only names after this one: the last of the page before.",
        json_schema_extra=schemas.NAME,
    ),
]
Limit = Annotated[int, Query(description="How many at most.", ge=1, le=ops.MAX_PAGE)]
IfVersion = Annotated[
    int | None,
    Query(description="Only if it has this version; 0: none.", ge=0, lt=2**63),
]


async def _refuse_unknown_query(request: Request) -> None:
    """A misspelt condition or bound must not be ignored."""
    if not request.scope["query_string"]:
        return
    known = set(_query_names(request.scope["route"].dependant))
    unknown = request.query_params.keys() - known
    if unknown:
        takes = f"it takes: {', '.join(sorted(known))}" if known else "it takes none"
        raise InvalidRequestError(f"there is no query parameter {min(unknown)!r:.80} here; {takes}")


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)


# --- what it brings -------------------------------------------------------------------------


async def when_short(scope: Scope, size: int, call: Callable[[], T]) -> T:
    """Runs at once what is short, and in a thread, when it is the caller's turn, what is not.

    Args:
        scope: The request's.
        size: About how many bytes it is done with.
        call: The function.
    """
    return call() if size <= AT_ONCE else await by_turns(scope, call)


async def read_json(request: Request) -> Any:
    """Returns the decoded body of a request; large values in it as `botwire.exact.Json`.

    Raises:
        InvalidRequestError: It is not JSON.
    """
    body = await request.body()
    return await when_short(request.scope, len(body), lambda: decode_json(body))


def decode_json(body: bytes, what: str = "the body") -> Any:
    """Decodes JSON that may be anything.

    Args:
        body: The text, in UTF-8.
        what: What to call it in an error.

    Raises:
        InvalidRequestError: It is not JSON.
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
        # Python's own bound on digits (sys.set_int_max_str_digits), NaN, or a key twice.
        is_long = "digits" in str(error) and not isinstance(error, pieces.DuplicateKeyError)
        why = "an integer has too many digits" if is_long else str(error)
    raise InvalidRequestError(f"{what} is not JSON: {why}")


async def read_object(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Returns the body, an object; an empty one where the body is optional and left out."""
    if optional and not await request.body():
        return {}
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be an object")
    return body


async def read_operation(request: Request, op: str, **fields: Any) -> ops.AnyOperation:
    """Makes an operation of the body's fields and those given elsewhere."""
    body = await read_object(request)
    size = len(await request.body())
    return await when_short(request.scope, size, lambda: make_operation(op, fields, body))


def make_operation(op: str, fields: dict[str, Any], body: dict[str, Any]) -> ops.AnyOperation:
    """Makes an operation of the fields given elsewhere and those of the body."""
    taken = {"op", *fields} & body.keys()
    if taken:
        raise InvalidRequestError(f"the body must not hold {min(taken)!r}: it stands elsewhere")
    return wire.decode_operation({"op": op, **fields, **body}, "the body")


def request_id(scope: Scope) -> str | None:
    """Returns what the caller named this write, so that sending it again is harmless."""
    header = scope[HEADERS].get(_ID_HEADER)
    if header is None:
        return None
    given = header.decode("latin-1")
    if not _REQUEST_ID.fullmatch(given):
        raise InvalidRequestError(
            f"the {wire.IDEMPOTENCY_HEADER} is of printable ASCII characters, and not empty"
        )
    return names.check_id(given)


def digest(scope: Scope, body: bytes) -> str:
    """Returns a hash of all that says what is to be done, to know a request again."""
    headers = scope[HEADERS]
    parts = (
        body,
        scope["method"].encode(),
        scope["path"].encode(),
        scope["query_string"],
        headers.get(b"content-type", b""),
        headers.get(b"if-match", b""),
        headers.get(b"if-none-match", b""),
    )
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


# --- to the engine and back -----------------------------------------------------------------


async def apply_all(
    request: Request, namespace: str, operations: Iterable[ops.AnyOperation]
) -> ops.Results:
    """Applies operations, all or none, and returns what they answer."""
    batch = ops.Batch(namespace, tuple(operations))
    name = request_id(request.scope) if batch.writes else None
    if name is not None:
        body = await request.body()
        hashed = await when_short(request.scope, len(body), lambda: digest(request.scope, body))
        batch = ops.Batch(namespace, batch.operations, name, hashed)
    return await service.apply_batch(request.scope, batch)


async def apply(request: Request, namespace: str, operation: ops.AnyOperation) -> Any:
    """Applies one operation and returns what it answers."""
    (result,) = await apply_all(request, namespace, (operation,))
    return result


def written(operation: ops.AnyOperation, result: Any) -> Response:
    """Returns a result as JSON; one that is not an object is put into one, as ``result``."""
    text = ops.declaration_of(operation).result.encode(result)
    body = text if text.startswith("{") else f'{{"result":{text}}}'
    return Response(body, media_type="application/json")


async def answer(request: Request, namespace: str, operation: ops.AnyOperation) -> Response:
    """Applies one operation and answers its result as JSON."""
    result = await apply(request, namespace, operation)
    return await encoded(request.scope, (operation,), lambda: written(operation, result))


async def answer_in_parts(
    request: Request,
    namespace: str,
    operation: Clearing,
    part: int,
) -> Response:
    """Deletes so many at a time, between which others write, and answers how many in all.

    A request that is named is one transaction, so that it can be sent again.
    """
    if request_id(request.scope) is not None:
        return await answer(request, namespace, operation)
    return written(operation, await apply_in_parts(request, namespace, operation, part))


async def apply_in_parts(request: Request, namespace: str, operation: Clearing, part: int) -> int:
    """Deletes so many at a time, between which others write; returns how many in all."""
    limited = replace(operation, limit=part)
    total = 0
    while True:
        count: int = await apply(request, namespace, limited)
        total += count
        if count < part:
            return total


async def encoded(
    scope: Scope, operations: Sequence[ops.AnyOperation], encode: Callable[[], T], asked: int = 0
) -> T:
    """Encodes what operations answered: at once if it is short, else in a thread, by turns.

    Args:
        scope: The request's.
        operations: What was asked.
        encode: Encodes the answers.
        asked: Bytes of the request, as much as whose answer a write has.
    """
    long = asked > AT_ONCE or any(not one.writes and pages.count(one) > _FEW for one in operations)
    return await by_turns(scope, encode) if long else encode()


# --- how it is described --------------------------------------------------------------------


def answers(operation: type[ops.AnyOperation], example: Any) -> Responses:
    """Returns the OpenAPI description of a route's answer: the result of one operation."""
    return answers_with(answer_of(operation), example)


def answers_with(schema: Schema, example: Any) -> Responses:
    """Returns the OpenAPI description of a route's answer."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {200: {"description": "Done.", "content": content}}


DONE: Responses = {204: {"description": "Done."}}


def takes(schema: Schema, example: Any, *, required: bool = True) -> dict[str, Any]:
    """Returns the OpenAPI description of a body that a route reads itself."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}
