"""The route that clients use: a batch of operations in, their results out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from botwire import wire
from botwire_server import service
from botwire_server.routes import parts


async def apply_batch(request: Request) -> Response:
    """Applies a batch; see `botwire.wire` for how it looks."""
    batch = wire.decode_batch(await parts.read_json(request), parts.request_id(request))
    results = await service.apply_batch(request, batch)
    body = wire.encode_results(batch.operations, results)
    return Response(body, media_type="application/json")
