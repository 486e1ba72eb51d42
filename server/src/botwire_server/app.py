"""The application: an engine behind HTTP."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware

from botwire import operations as ops
from botwire import wire
from botwire.engines.protocol import AsyncEngine
from botwire_server import openapi, problems, routes
from botwire_server.access import Access
from botwire_server.api_keys import KeyRing, KeyStore
from botwire_server.lane import BatchLane
from botwire_server.middleware import AccessMiddleware, RequestMiddleware
from botwire_server.settings import Settings
from botwire_server.sweeping import sweeping
from botwire_server.watching import Watchers


def create_app(engine: AsyncEngine, settings: Settings | None = None) -> FastAPI:
    """Returns the application.

    Args:
        engine: Where memory lives; closed when the application shuts down.
        settings: What it is told; those about listening are for whoever runs it.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with sweeping(engine):
            yield
        await keys.aclose()
        await engine.aclose()

    app = FastAPI(
        title="BotWire",
        version=importlib.metadata.version("botwire-server"),
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.engine = engine
    app.state.settings = settings
    app.state.watchers = Watchers()
    keys = KeyRing(KeyStore(engine))
    app.state.access = Access(keys, settings)
    app.include_router(routes.router)
    problems.install(app, routes.methods_of)
    app.add_middleware(BatchLane, route=routes.BATCHES)
    app.add_middleware(AccessMiddleware, access=app.state.access)
    app.add_middleware(RequestMiddleware, max_body=settings.max_body, origins=settings.cors_origins)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["DELETE", "GET", "PATCH", "POST", "PUT"],
            allow_headers=["*"],
            expose_headers=["ETag", "Retry-After", wire.REQUEST_ID_HEADER],
        )

    @app.get("/healthz", tags=["operation"], summary="Is the process alive?")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"], summary="Does the store answer?")
    async def ready(request: Request) -> Response:
        await engine.apply(ops.Batch("botwire", (ops.CountKeys("ready"),)))
        return Response('{"status":"ok"}', media_type="application/json")

    openapi.install(app)
    return app
