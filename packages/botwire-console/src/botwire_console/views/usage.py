"""Usage: sizes and growth, quotas, what expires soon, and what retention would delete."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from starlette.responses import Response

from botwire import operations as ops
from botwire.clock import DAY, now
from botwire.names import SYSTEM_NAMESPACE, matches
from botwire.retention import AsyncRetention, Report
from botwire_console.recipes import batch_recipe
from botwire_console.visit import Visit
from botwire_server.administration import StoredSize, quota_of

LISTED = 15
"""Namespaces, keys or expiring things per page."""
GROWTH_DAYS = 60
"""The number of days in the chart of the store's size."""

_PAGES = 10  # pages of a thousand keys whose sizes are read
_WIDTH, _HEIGHT = 600, 80  # of the chart


@dataclass(frozen=True)
class Chart:
    """The growth of the store.

    Attributes:
        points: The line, as SVG points.
        first: The first measurement.
        last: The last measurement.
    """

    points: str
    first: StoredSize
    last: StoredSize

    @classmethod
    def of(cls, sizes: list[StoredSize]) -> Chart | None:
        """Returns the chart of some measurements; None if there are too few."""
        if len(sizes) < 2:
            return None
        first, last = sizes[0], sizes[-1]
        most = max(one.bytes for one in sizes) or 1
        span = max(last.at - first.at, 1)
        points = " ".join(
            f"{(one.at - first.at) / span * _WIDTH:.1f},"
            f"{_HEIGHT - one.bytes / most * (_HEIGHT - 4) - 2:.1f}"
            for one in sizes
        )
        return cls(points, first, last)


async def show(visit: Visit) -> Response:
    """Shows what a namespace uses, or for administrators, the whole store."""
    return await (_show_namespace if visit.query.get("ns") else _show_store)(visit)


async def _show_store(visit: Visit) -> Response:
    administration = visit.administration
    largest = await visit.apply_to_store(ops.ListUsage("bytes", LISTED))
    busiest = await visit.apply_to_store(ops.ListUsage("writes", LISTED))
    health = await administration.health()
    sizes = await administration.sizes(GROWTH_DAYS)
    current = StoredSize(now(), health.bytes, largest.namespaces)
    return await visit.page(
        "usage_store.html",
        health=health,
        largest=largest,
        busiest=[one for one in busiest.largest if one.writes],
        chart=Chart.of([*sizes, current]),
        quota=quota_of(visit.scope),
        policies=await visit.apply_to_store(ops.ListPolicies()),
        plan=await _plan(visit, "*"),
        recipe=batch_recipe(
            visit, SYSTEM_NAMESPACE, ops.ListUsage(limit=LISTED), f"ops.ListUsage(limit={LISTED})"
        ),
    )


async def _show_namespace(visit: Visit) -> Response:
    namespace = visit.namespace
    since = now()
    stat, usage, past, expiring, collections = await visit.apply_all(
        namespace,
        ops.StatNamespace(),
        ops.ReadUsage(),
        ops.StatPast(),
        ops.ListExpiring(LISTED),
        ops.ListCollections(limit=20),
    )
    # How many memories were added: (collection, all, in a day, in a week).
    memories = []
    for collection in collections.collections:
        counts = await visit.apply_all(
            namespace,
            *[
                ops.StatRecords(collection, ops.Selection(created_after=after))
                for after in (None, since - DAY, since - 7 * DAY)
            ],
        )
        memories.append((collection, *[one.count for one in counts]))
    largest, is_complete = await _largest_keys(visit, namespace)
    may_plan = visit.may("admin", namespace)
    policies: list[ops.RetentionPolicy] = []
    if may_plan:
        # Administrators of this namespace alone see the policies on it alone.
        listing = ops.ListPolicies("*" if visit.may("admin") else namespace)
        every = await visit.apply_to_store(listing)
        policies = [one for one in every if matches(one.namespaces, namespace)]
    return await visit.page(
        "usage.html",
        ns=namespace,
        stat=stat,
        usage=usage,
        past=past,
        expiring=expiring,
        memories=memories,
        largest=largest,
        is_complete=is_complete,
        quota=quota_of(visit.scope),
        may_plan=may_plan,
        policies=policies,
        plan=await _plan(visit, namespace) if may_plan else None,
        recipe=batch_recipe(visit, namespace, ops.ReadUsage(), "ops.ReadUsage()"),
    )


async def _largest_keys(visit: Visit, namespace: str) -> tuple[list[ops.KeyStat], bool]:
    """Returns the largest of the first few thousand keys, and whether these are all keys."""
    largest: list[ops.KeyStat] = []
    listing: ops.ListKeyStats | None = ops.ListKeyStats()
    for _ in range(_PAGES):
        assert listing is not None
        page = await visit.apply(namespace, listing)
        largest = heapq.nlargest(LISTED, [*largest, *page.keys], key=lambda one: one.size)
        listing = listing.following(page)
        if listing is None:
            return largest, True
    return largest, False


async def _plan(visit: Visit, within: str) -> Report | None:
    """Returns what retention would delete now, if the visitor asks for it."""
    if visit.query.get("plan") != "1":
        return None
    return await AsyncRetention(engine=visit.engine).plan(within)
