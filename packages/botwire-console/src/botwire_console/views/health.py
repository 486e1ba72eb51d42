"""Health: versions, the database, rates of errors and conflicts, backups."""

from __future__ import annotations

import time

from starlette.responses import Response

from botwire import __version__
from botwire.clock import DAY, SECOND, now
from botwire_console.recipes import server_recipe
from botwire_console.visit import Visit

STALE_DAYS = 7
"""Days after which the last backup counts as old."""


async def show(visit: Visit) -> Response:
    """Shows the state of the server and its store."""
    health = await visit.administration.health()
    sample = health.sample
    total = sum(sample.requests.values())
    hours = max(time.time() - sample.began, 1) / 3600
    conflicts = sample.problems.get("conflict", 0)
    backed_up = health.backed_up
    return await visit.page(
        "health.html",
        health=health,
        version=__version__,
        began=round(sample.began * SECOND),
        total=total,
        hours=hours,
        failed=sample.requests.get("5", 0),
        refused=sample.requests.get("4", 0),
        conflicts=conflicts,
        mean=sample.seconds / sample.timed * 1000 if sample.timed else 0.0,
        problems=sorted(sample.problems.items(), key=lambda one: (-one[1], one[0])),
        is_old=backed_up is None or now() - backed_up > STALE_DAYS * DAY,
        recipe=server_recipe(visit, "/metrics"),
    )
