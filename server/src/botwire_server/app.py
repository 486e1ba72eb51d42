"""The application: an engine behind HTTP."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from botwire import operations as ops
from botwire import wire
from botwire.engines.protocol import AsyncEngine
from botwire_server import problems, routes
from botwire_server.middleware import RequestMiddleware
from botwire_server.routes.batches import apply_batch
from botwire_server.settings import Settings

_DESCRIPTION = """
Memory for agents that outlives their process: keys and histories in namespaces.

Names in paths are percent-encoded single segments. Errors are problem documents (RFC 9457). A
write with an `Idempotency-Key` header may be sent again: it lands once.
"""


def create_app(engine: AsyncEngine, settings: Settings | None = None) -> FastAPI:
    """Returns the application.

    Args:
        engine: Where memory lives; closed when the application shuts down.
        settings: What it is told; those about listening are for whoever runs it.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.aclose()

    app = FastAPI(
        title="BotWire",
        version=importlib.metadata.version("botwire-server"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.engine = engine
    app.state.settings = settings
    # A plain route, without validation by models: `wire` reads it, and it is the busy one.
    app.router.routes.insert(0, Route(wire.BATCH_PATH, apply_batch, methods=["POST"]))
    app.include_router(routes.router)
    problems.install(app)
    app.add_middleware(RequestMiddleware, max_body=settings.max_body)

    @app.get("/healthz", tags=["operation"], summary="Is the process alive?")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"], summary="Does the store answer?")
    async def ready(request: Request) -> Response:
        await engine.apply(ops.Batch("botwire", (ops.CountKeys("ready"),)))
        return Response('{"status":"ok"}', media_type="application/json")

    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = (
            problems.PROBLEM_SCHEMA
        )
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app
