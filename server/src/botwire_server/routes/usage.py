"""How much of its quotas a namespace uses."""

from __future__ import annotations

from fastapi import Request, Response

from botwire import operations as ops
from botwire_server.routes.applying import answer
from botwire_server.routes.describing import answers
from botwire_server.routes.parameters import Namespace, new_router

router = new_router("usage")


@router.get(
    "/usage",
    summary="Read the usage",
    responses=answers(ops.ReadUsage, {"bytes": 16_384, "writes": 12, "day": 20_783}),
)
async def read_usage(request: Request, namespace: Namespace) -> Response:
    """Returns the bytes stored, and the writes on a day (UTC), given in days since 1970."""
    return await answer(request, namespace, ops.ReadUsage())
