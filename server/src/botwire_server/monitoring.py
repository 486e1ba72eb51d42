"""Routes for monitoring: is the process alive, is it ready, what are its metrics?"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from botwire import operations as ops
from botwire.errors import BotWireError, ServerError
from botwire.names import SYSTEM_NAMESPACE
from botwire_server import metrics
from botwire_server.api_keys import NO_WRITE
from botwire_server.scopes import CALLER

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Is the process alive?")
async def read_health() -> dict[str, str]:
    """Returns 200 while the process is alive."""
    return {"status": "ok"}


@router.get("/readyz", summary="Does the store answer?")
async def read_readiness(request: Request) -> Response:
    """Returns 503 if the store does not answer, and once the server is about to stop."""
    state = request.app.state
    if state.is_stopping:
        raise ServerError("the server is stopping", status=503)
    await state.engine.apply(ops.Batch("botwire", (ops.CountKeys("ready"),)))
    if not state.is_writable:
        try:
            await state.engine.apply(NO_WRITE)
        except BotWireError:
            raise ServerError("the store cannot be written to", status=503) from None
        state.is_writable = True
    return Response('{"status":"ok"}', media_type="application/json")


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def read_metrics(request: Request) -> Response:
    """Returns requests, latencies, commits and sizes. API keys need the right `metrics`."""
    request.scope[CALLER].require("metrics")
    state = request.app.state
    batch = ops.Batch(SYSTEM_NAMESPACE, (ops.StatStore(),))
    (stat,) = await state.engine.apply(batch)
    return Response(state.metrics.expose(stat.bytes), media_type=metrics.MEDIA_TYPE)
