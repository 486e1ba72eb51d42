"""Namespaces: a list of those that the visitor may see, and the contents of one."""

from __future__ import annotations

from starlette.responses import Response

from botwire import operations as ops
from botwire_console.links import ROOT
from botwire_console.recipes import address, recipe, store_recipe
from botwire_console.views.conversations import title_of
from botwire_console.visit import Visit

LISTED = 60
"""Namespaces per page."""
_RECENT = 6
"""The number of conversations shown with a namespace."""


async def show_all(visit: Visit) -> Response:
    """Shows all namespaces to an administrator, and to others those of their key."""
    if not visit.may("admin"):
        names = [pattern for pattern in visit.patterns if "*" not in pattern]
        patterns = [pattern for pattern in visit.patterns if "*" in pattern]
        if len(names) == 1 and not patterns:
            return visit.go("namespace", ns=names[0])
        return await visit.page("namespaces_own.html", names=names, patterns=patterns)
    prefix = visit.query.get("prefix", "")
    listing = ops.ListNamespaces(prefix, visit.query.get("after"), LISTED)
    page = await visit.apply_to_store(listing)
    is_rest = visit.is_partial and "after" in visit.query
    return await visit.page(
        "namespaces_rows.html" if is_rest else "namespaces.html",
        namespaces=page.namespaces,
        following=page.namespaces[-1].name if page.more else None,
        prefix=prefix,
        first="after" not in visit.query,
        root=ROOT,
        recipe=store_recipe(visit, "/v1/namespaces", f"ListNamespaces(prefix={prefix!r})"),
    )


async def show(visit: Visit) -> Response:
    """Shows the contents of a namespace, and its latest conversations."""
    namespace = visit.namespace
    stat, recent, collections = await visit.apply_all(
        namespace,
        ops.StatNamespace(),
        ops.ListHistories(limit=_RECENT, order="updated", descending=True),
        ops.ListCollections(limit=20),
    )
    return await visit.page(
        "namespace.html",
        ns=namespace,
        stat=stat,
        recent=[(one, title_of(one)) for one in recent.histories],
        collections=collections.collections,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "stat"),
            "memory.list_histories(order='updated', descending=True, limit=6)",
        ),
    )
