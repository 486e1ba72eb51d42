"""Retention: policies and holds on namespaces, and what they delete; see `botwire.retention`."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Query, Request, Response

from botwire import operations as ops
from botwire import wire
from botwire.names import SYSTEM_NAMESPACE
from botwire.retention import AsyncRetention, Report
from botwire_server.routes.applying import answer
from botwire_server.routes.describing import CONFLICT, answers, answers_with, takes
from botwire_server.routes.parameters import new_router
from botwire_server.routes.reading import idempotency_id, read_object
from botwire_server.schemas import schema_of
from botwire_server.service import CallerEngine

router = new_router("retention", prefix="/v1/retention")

_POLICY = {"name": "chats", "namespaces": "team-a-*", "histories": "chat-*", "age": 7_776_000}
_REPORT = {
    "count": 120,
    "bytes": 48_210,
    "removals": [
        {
            "namespace": "team-a-1",
            "shape": "history",
            "name": "chat-7",
            "policy": "chats",
            "count": 120,
            "bytes": 48_210,
            "held": False,
        }
    ],
}
_REPORT_SCHEMA = {
    "type": "object",
    "properties": {
        "count": {"type": "integer", "description": "Items and records."},
        "bytes": {"type": "integer", "description": "The bytes that they count towards the quota."},
        "removals": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["count", "bytes", "removals"],
}
Within = Annotated[
    Any,
    Query(
        description="Only policies on namespaces within this pattern; `*` matches any characters.",
        json_schema_extra={"type": "string", "examples": ["team-a-*"]},
    ),
]
Name = Annotated[
    Any, Query(description="The name of the policy.", json_schema_extra={"type": "string"})
]
Namespaces = Annotated[
    Any,
    Query(description="Its pattern of namespaces.", json_schema_extra={"type": "string"}),
]


@router.get(
    "",
    summary="List policies and holds",
    responses=answers(ops.ListPolicies, {"result": [_POLICY]}),
)
async def list_policies(request: Request, within: Within = "*") -> Response:
    """Returns the policies, then the holds, as `result`. For administrators of `within`."""
    return await answer(request, SYSTEM_NAMESPACE, ops.ListPolicies(within))


@router.put(
    "",
    summary="Set a policy or a hold",
    responses=answers(ops.SetPolicy, {"result": None}) | CONFLICT,
    openapi_extra=takes(schema_of(ops.RetentionPolicy), _POLICY),
)
async def set_policy(request: Request) -> Response:
    """Sets the policy of this name on these namespaces. For their administrators.

    A policy deletes nothing until it is applied. A hold is in force at once: what it covers cannot
    be deleted and does not expire.
    """
    policy = wire.decode_stored(ops.RetentionPolicy, await read_object(request))
    await _retention(request).set(policy)
    return Response('{"result":null}', media_type="application/json")


@router.delete(
    "",
    summary="Remove a policy or release a hold",
    responses=answers(ops.DropPolicy, {"result": True}),
)
async def drop_policy(request: Request, name: Name, namespaces: Namespaces) -> Response:
    """Returns whether it existed as `result`. For administrators of the namespaces."""
    return await answer(request, SYSTEM_NAMESPACE, ops.DropPolicy(name, namespaces))


@router.post(
    "/plan",
    summary="Show what would be deleted",
    responses=answers_with(_REPORT_SCHEMA, _REPORT),
)
async def plan(request: Request, within: Within = "*") -> Response:
    """Returns what applying the policies would delete, and how many bytes. Changes nothing."""
    return _answer(await _retention(request).plan(within))


@router.post(
    "/apply",
    summary="Delete what exceeds the policies",
    responses=answers_with(_REPORT_SCHEMA, _REPORT),
)
async def apply_policies(request: Request, within: Within = "*") -> Response:
    """Deletes in parts, and returns what was deleted. If it is interrupted, send it again."""
    return _answer(await _retention(request).apply(within))


def _retention(request: Request) -> AsyncRetention:
    idempotency_id(request.scope)  # only checked, because each part has an id of its own
    return AsyncRetention(engine=CallerEngine(request.scope))


def _answer(report: Report) -> Response:
    text = json.dumps(
        {
            "count": report.count,
            "bytes": report.bytes,
            "removals": [one._asdict() for one in report.removals],
        }
    )
    return Response(text, media_type="application/json")
