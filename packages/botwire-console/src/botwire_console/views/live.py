"""Live: what changes in a namespace, as it happens."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from botwire import operations as ops
from botwire_console import rendering
from botwire_console.latest import latest_changes
from botwire_console.recipes import address, recipe
from botwire_console.visit import Visit
from botwire_server.routes.changes import stream_changes
from botwire_server.scopes import HEADERS

SHOWN = 100
"""Changes per page."""


async def show(visit: Visit) -> Response:
    """Shows the latest changes, the newest first; the page follows the namespace."""
    namespace = visit.namespace
    now = await visit.apply(namespace, ops.ReadChanges())
    return await visit.page(
        "live.html",
        ns=namespace,
        changes=await latest_changes(visit, namespace, now.revision, SHOWN),
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "watch"),
            "for change in memory.watch():\n    print(change)",
        ),
    )


async def stream(visit: Visit) -> Response:
    """Returns the stream of changes to names with a prefix."""
    given = visit.scope[HEADERS].get(b"last-event-id")
    answer = await stream_changes(
        Request(visit.scope),
        visit.namespace,
        visit.query.get("prefix", ""),
        last_event_id=None if given is None else given.decode("latin-1"),
    )
    answer.headers.update(rendering.HEADERS)
    return answer
