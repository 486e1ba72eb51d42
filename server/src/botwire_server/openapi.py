"""Completes the OpenAPI description that FastAPI generates."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from botwire import wire
from botwire.errors import (
    AuthenticationError,
    InvalidRequestError,
    PermissionDeniedError,
    QuotaExceededError,
)
from botwire_server import problems, schemas
from botwire_server.auth import PUBLIC
from botwire_server.routes import batches
from botwire_server.routes.reading import REQUEST_ID

DESCRIPTION = """
Memory for agents that outlives their process: keys, histories and records in namespaces.

- Names in paths are percent-encoded single segments: `a/b` is `a%2Fb`, and any name works.
- Errors are problem documents (RFC 9457).
- A write with an `Idempotency-Key` header may be repeated, identical in every byte: it is applied
  once. The same key on another request is refused (422). Keys are remembered for 24 hours.
- Lists are pages: if `more` is true, ask for the names `after` the last one.
"""

_IDEMPOTENCY = {
    "name": wire.IDEMPOTENCY_HEADER,
    "in": "header",
    "description": "Makes it safe to repeat this write.",
    "schema": {"type": "string", "maxLength": 512, "pattern": f"^{REQUEST_ID}$"},
}
_AUTHOR = {
    "name": wire.AUTHOR_HEADER,
    "in": "header",
    "description": "Who writes, according to the client: the name of an agent, or a JSON object "
    "with `agent`, `framework` and `run`. It is stored with every write. The server adds the API "
    "key.",
    "schema": {"type": "string", "maxLength": 4096},
    "example": "support-bot",
}
_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "bw_…",
        "description": "An API key; required once `botwire keys create` has created one.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "An API key as the password, with any user name.",
    },
}
REPEATABLE = frozenset(
    {
        "check_namespace",
        "check_store",
        "compact_store",
        "get_keys",
        "get_records",
        "list_changed",
        "search_records",
    }
)
"""Operations sent by POST that change nothing, so they need no `Idempotency-Key`."""


def install(app: FastAPI) -> None:
    """Makes the application's OpenAPI description complete."""
    plain = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _complete(document: dict[str, Any]) -> None:
    listed = document.setdefault("components", {}).setdefault("schemas", {})
    listed.update(schemas.components())
    listed["Problem"] = problems.PROBLEM_SCHEMA
    # Problem documents replace FastAPI's own errors.
    for name in ("HTTPValidationError", "ValidationError"):
        listed.pop(name, None)
    document["components"]["securitySchemes"] = _SECURITY
    document["paths"][wire.BATCH_PATH] = {"post": batches.describe()}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete_operation(method, operation)
            if path not in PUBLIC:
                _complete_access(operation)


def _complete_operation(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status, response in list(responses.items()):
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if "HTTPValidationError" in schema.get("$ref", ""):
            del responses[status]
    if method != "get" and operation["operationId"] not in REPEATABLE:
        operation.setdefault("parameters", []).extend([_IDEMPOTENCY, _AUTHOR])
        _may_answer(operation, 422, "The Idempotency-Key was used by another request")
    if "requestBody" in operation:
        _may_answer(operation, 408, "The body arrived too slowly")
        _may_answer(operation, 415, "The Content-Encoding of the body is not gzip")


def _complete_access(operation: dict[str, Any]) -> None:
    # Any one of them, or none while the server has no keys.
    operation["security"] = [*({name: []} for name in _SECURITY), {}]
    for error in (AuthenticationError, PermissionDeniedError, QuotaExceededError):
        described = problems.describe_as(error.status, error, error.title)[error.status]
        operation["responses"].setdefault(str(error.status), described)


def _may_answer(operation: dict[str, Any], status: int, description: str) -> None:
    described = problems.describe_as(status, InvalidRequestError, description)[status]
    operation["responses"].setdefault(str(status), described)
