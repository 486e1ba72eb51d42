"""The addresses of the HTTP API, a module a shape; each route makes operations and answers them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import Route

from botwire import wire
from botwire_server.routes import batches, changes, histories, keys, legacy, records, usage

router = APIRouter()
# A plain route, without validation by models, and the first: `wire` reads it, and it is the busy
# one.
router.routes.append(Route(wire.BATCH_PATH, batches.apply_batch, methods=["POST"]))
for _part in (keys, histories, records, changes, usage, legacy):
    router.include_router(_part.router)

__all__ = ["router"]
