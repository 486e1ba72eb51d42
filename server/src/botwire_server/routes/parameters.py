"""What routes share: routers, and the names and parameters in an address."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from botwire import names
from botwire import operations as ops
from botwire.errors import InvalidRequestError
from botwire_server import schemas
from botwire_server.routes import conditions
from botwire_server.routes.describing import ALWAYS

_READS_BY_POST = frozenset({"get_keys", "get_records", "list_changed", "search_records"})


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
