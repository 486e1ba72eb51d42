"""What a namespace uses of what it may."""

from __future__ import annotations

from fastapi import Request, Response

from botwire import operations as ops
from botwire_server.routes.parts import Namespace, answer, answers, new_router

router = new_router("usage")


@router.get(
    "/usage",
    summary="What is used",
    responses=answers(ops.ReadUsage, {"bytes": 16_384, "writes": 12, "day": 20_783}),
)
async def read_usage(request: Request, namespace: Namespace) -> Response:
    """Answers the bytes stored, and the writes made on the day, counted from 1970 (UTC)."""
    return await answer(request, namespace, ops.ReadUsage())
