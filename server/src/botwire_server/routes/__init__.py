"""The addresses of the HTTP API, a module a shape; each route makes operations and answers them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match, Route
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


def methods_of(scope: Scope, others: Iterable[BaseRoute] = ()) -> set[str]:
    """Returns the methods that an address takes, whatever the one that was tried.

    Args:
        scope: Of the request.
        others: Routes of the application besides those here.
    """
    found: set[str] = set()
    for route in itertools.chain(others, *(part.routes for part in (router, *_PARTS))):
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found | {"HEAD"} if "GET" in found else found


__all__ = ["BATCHES", "methods_of", "router"]
