"""The route that BotWire clients use: a batch of operations in, their results out."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from botwire import operations as ops
from botwire import wire
from botwire.engines.sql import pages
from botwire.operations.codecs import REF
from botwire_server import bodies, service
from botwire_server.routes import describing
from botwire_server.routes.applying import encoded
from botwire_server.routes.reading import decode_json, digest, idempotency_id, when_short
from botwire_server.scopes import HEADERS

_APART = wire.APART.encode()
# Agents read the same few keys and conversations again and again. Such a request is decoded once.
_BRIEF, _MOST_BRIEF = 512, 1024  # bytes of a body whose batch is kept, and how many are
_brief: dict[tuple[bytes, int], ops.Batch] = {}


async def apply_batch(request: Request) -> Response:
    """Applies a batch; `botwire.wire` defines its form."""
    body, kind = await answer(request.scope, request.receive)
    return Response(body, media_type=kind)


async def answer(scope: Scope, receive: Receive) -> tuple[bytes, str]:
    """Applies the batch in a request, and returns the body of the answer and its media type."""
    body = await bodies.read(receive)
    name = idempotency_id(scope)
    most = scope["app"].state.settings.max_batch

    def decode() -> ops.Batch:
        hashed = None if name is None else digest(scope, body)
        return wire.decode_batch(decode_json(body), name, hashed, most=most)

    batch = _brief.get((body, most)) if name is None else None
    if batch is None:
        batch = await when_short(scope, len(body), decode)
        if name is None and len(body) <= _BRIEF and pages.is_short(batch):
            if len(_brief) >= _MOST_BRIEF:
                _brief.clear()
            _brief[body, most] = batch
    results = await service.apply_batch(scope, batch)
    apart = _APART in scope[HEADERS].get(b"accept", b"") and any(
        isinstance(one, ops.ReadHistory) for one in batch.operations
    )
    encode = wire.encode_apart if apart else wire.encode_results
    text = await encoded(
        scope, batch.operations, lambda: encode(batch.operations, results).encode(), len(body)
    )
    return text, wire.APART if apart else "application/json"


def describe() -> dict[str, Any]:
    """Returns the OpenAPI description of the route, which is not FastAPI's, for speed."""
    example = {
        "namespace": "user-123",
        "operations": [
            {"op": "check_key", "key": "prefs", "version": 7},
            {"op": "put_key", "key": "prefs", "value": {"theme": "light"}},
            {"op": "extend_history", "name": "log", "values": ["the theme changed"]},
        ],
    }
    responses = {
        **describing.answers_with({"$ref": REF + "Results"}, {"results": [None, 8, [1]]}),
        **describing.ALWAYS,
        **describing.CONFLICT,
    }
    return {
        "tags": ["batches"],
        "summary": "Apply operations as one transaction",
        "description": "Operations on one namespace are applied in order, as one transaction: "
        "if one fails, nothing is written. This is what BotWire clients send.",
        "operationId": "apply_batch",
        **describing.takes({"$ref": REF + "Batch"}, example),
        "responses": {str(status): described for status, described in responses.items()},
    }
