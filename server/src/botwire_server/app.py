"""The application that serves an engine over HTTP."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from botwire import wire
from botwire.engines.protocol import AsyncEngine
from botwire_server import docs, monitoring, mount_host, openapi, problems, routes, service
from botwire_server.api_keys import KeyStore
from botwire_server.auth import Authenticator
from botwire_server.channel.channels import Channels
from botwire_server.heads import HeadMiddleware
from botwire_server.key_ring import KeyRing
from botwire_server.limits import RateTable
from botwire_server.metrics import Metrics
from botwire_server.middleware import CallerMiddleware, RequestMiddleware
from botwire_server.settings import Settings
from botwire_server.shortcut import BatchShortcut
from botwire_server.state import SharedState
from botwire_server.sweeping import sweeping
from botwire_server.watching import Watchers

# FastAPI's own spans contain paths, and therefore names; the spans of `tracing` do not. Releases of
# FastAPI without spans accept this argument and ignore it.
_NO_TELEMETRY: dict[str, Any] = {"telemetry": {"tracing": False, "metrics": False, "logs": False}}


class Application(FastAPI):
    """FastAPI behind our own middleware, which every request passes first."""

    def build_middleware_stack(self) -> ASGIApp:
        """Returns the application with its middleware; FastAPI calls it for the first request."""
        state: Any = self.state
        settings: Settings = state.settings
        stack: ASGIApp = HeadMiddleware(super().build_middleware_stack())
        stack = BatchShortcut(stack, route=routes.BATCHES)
        stack = CallerMiddleware(
            stack,
            authenticator=state.authenticator,
            rates=state.rates,
            key_rate=settings.key_rate,
            mounts=state.mounts,
        )
        stack = RequestMiddleware(
            stack,
            max_body=settings.max_body,
            max_seconds=settings.max_seconds,
            origins=settings.cors_origins,
            metrics=state.metrics,
            tracing=state.tracing,
        )
        if settings.cors_origins:
            stack = CORSMiddleware(
                stack,
                allow_origins=settings.cors_origins,
                allow_methods=["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
                allow_headers=["*"],
                expose_headers=[
                    "ETag",
                    "RateLimit",
                    "RateLimit-Policy",
                    "Retry-After",
                    wire.REQUEST_ID_HEADER,
                ],
            )
        return stack


def create_app(
    engine: AsyncEngine, settings: Settings | None = None, *, rates: RateTable | None = None
) -> FastAPI:
    """Returns the application.

    Args:
        engine: The store; closed when the application shuts down.
        settings: The server's settings; the application ignores those about listening.
        rates: Counts requests, shared with other processes; closed with the engine.
    """
    settings = settings or Settings()
    metrics = Metrics()
    metrics.follow(engine)
    keys = KeyRing(KeyStore(engine))
    authenticator = Authenticator(keys, settings)
    look = functools.partial(service.read_changes, engine, settings)
    state = SharedState(
        engine,
        settings,
        rates or RateTable(),
        metrics,
        authenticator,
        Channels(authenticator, metrics, settings.max_channels),
        Watchers(look, metrics),
        mount_host.load(),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with sweeping(engine, keys.store, settings.audit_days), state.mounts.lifespan():
            yield
        await keys.aclose()
        state.decoders.close()
        await engine.aclose()
        state.rates.close()

    app = Application(
        title="BotWire",
        version=importlib.metadata.version("botwire-server"),
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's own page loads scripts from another host
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        **_NO_TELEMETRY,
    )
    app.state = state  # type: ignore[assignment]  # Starlette's own has no types
    app.include_router(routes.router)
    app.include_router(monitoring.router)
    app.include_router(docs.router)
    own = [*app.routes, *monitoring.router.routes, *docs.router.routes]
    problems.install(app, lambda scope: routes.methods_of(scope, own))
    openapi.install(app)
    return app
