"""The OpenAPI descriptions of routes: what they take and what they return."""

from __future__ import annotations

from typing import Any

from botwire import operations as ops
from botwire.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    QuotaExceededError,
    ServerError,
)
from botwire.operations.codecs import Schema
from botwire_server.problems import Responses, describe
from botwire_server.schemas import answer_of

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
DONE: Responses = {204: {"description": "Done."}}


def answers(operation: type[ops.AnyOperation], example: Any) -> Responses:
    """Describes the answer of a route: the result of one operation."""
    return answers_with(answer_of(operation), example)


def answers_with(schema: Schema, example: Any) -> Responses:
    """Describes the answer of a route."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {200: {"description": "Done.", "content": content}}


def takes(schema: Schema, example: Any, *, required: bool = True) -> dict[str, Any]:
    """Describes a body that a route reads itself."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}
