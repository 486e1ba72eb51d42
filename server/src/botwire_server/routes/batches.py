"""The route that clients use: a batch of operations in, their results out."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from botwire import operations as ops
from botwire import wire
from botwire.operations.codecs import REF
from botwire_server import bodies, service
from botwire_server.routes import parts


async def apply_batch(request: Request) -> Response:
    """Applies a batch; see `botwire.wire` for how it looks."""
    return Response(await answer(request.scope, request.receive), media_type="application/json")


async def answer(scope: Scope, receive: Receive) -> bytes:
    """Applies the batch that a request brings, and returns the body that answers it."""
    body = await bodies.read(receive)
    name = parts.request_id(scope)
    most = scope["app"].state.settings.max_batch

    def decode() -> ops.Batch:
        digest = None if name is None else parts.digest(scope, body)
        return wire.decode_batch(parts.decode_json(body), name, digest, most=most)

    batch = await parts.when_short(scope, len(body), decode)
    results = await service.apply_batch(scope, batch)
    return await parts.encoded(
        scope,
        batch.operations,
        lambda: wire.encode_results(batch.operations, results).encode(),
        len(body),
    )


def describe() -> dict[str, Any]:
    """Returns the OpenAPI description of the route, which is a plain one for the sake of speed."""
    example = {
        "namespace": "user-123",
        "operations": [
            {"op": "check_key", "key": "prefs", "version": 7},
            {"op": "put_key", "key": "prefs", "value": {"theme": "light"}},
            {"op": "extend_history", "name": "log", "values": ["the theme changed"]},
        ],
    }
    responses = {
        **parts.answers_with({"$ref": REF + "Results"}, {"results": [None, 8, [1]]}),
        **parts.ALWAYS,
        **parts.CONFLICT,
    }
    return {
        "tags": ["batches"],
        "summary": "Apply operations, all or none",
        "description": "Operations on one namespace are applied in order, as one transaction: "
        "if one fails, nothing is written. What the BotWire clients send.",
        "operationId": "apply_batch",
        **parts.takes({"$ref": REF + "Batch"}, example),
        "responses": {str(status): described for status, described in responses.items()},
    }
