"""The addresses of the HTTP API, a module a shape; each route makes operations and answers them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import Match, Route
from starlette.types import Scope

from botwire import wire
from botwire_server.routes import batches, changes, histories, keys, legacy, records, store, usage

router = APIRouter()
# A plain route, without validation by models: `wire` reads it, and it is the busy one; see `lane`.
BATCHES = Route(wire.BATCH_PATH, batches.apply_batch, methods=["POST"])
router.routes.append(BATCHES)
_PARTS = [part.router for part in (keys, histories, records, changes, usage, store, legacy)]
_PARTS.append(store.whole)
for _part in _PARTS:
    router.include_router(_part)


def methods_of(scope: Scope) -> set[str]:
    """Returns the methods that an address takes, whatever the one that was tried."""
    found: set[str] = set()
    for route in (route for part in (router, *_PARTS) for route in part.routes):
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


__all__ = ["BATCHES", "methods_of", "router"]
