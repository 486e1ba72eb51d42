"""The routes of the HTTP API, one module per shape; each turns a request into operations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from botwire import wire
from botwire_server.routes import (
    batches,
    changes,
    channel,
    histories,
    keys,
    legacy,
    past,
    records,
    retention,
    store,
    usage,
)

router = APIRouter()
# Not FastAPI's, as it is the busiest route and `wire` validates it; see `shortcut`.
BATCHES = Route(wire.BATCH_PATH, batches.apply_batch, methods=["POST"])
router.routes.append(BATCHES)
_ROUTERS = [module.router for module in (keys, histories, records, changes, usage, store, legacy)]
_ROUTERS += [past.router, store.whole, retention.router, channel.router]
for _router in _ROUTERS:
    router.include_router(_router)


def methods_of(scope: Scope, others: Iterable[BaseRoute] = ()) -> set[str]:
    """Returns the methods that the path of a request accepts.

    Args:
        scope: The scope of the request.
        others: Further routes of the application.
    """
    found: set[str] = set()
    for route in itertools.chain(others, *(one.routes for one in (router, *_ROUTERS))):
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found | {"HEAD"} if "GET" in found else found


__all__ = ["BATCHES", "methods_of", "router"]
