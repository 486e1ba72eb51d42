"""Conversations: the histories of a namespace, and one of them, page by page from its end."""

from __future__ import annotations

from starlette.responses import Response

from botwire import operations as ops
from botwire_console.recipes import address, recipe
from botwire_console.turns import turns
from botwire_console.visit import Visit

LISTED = 50
"""Conversations per page."""
SHOWN = 40
"""Items of a conversation per page."""


async def show_all(visit: Visit) -> Response:
    """Shows the histories of a namespace, the last active first."""
    namespace = visit.namespace
    prefix = visit.query.get("prefix", "")
    listing = ops.ListHistories(
        prefix,
        visit.query.get("after"),
        LISTED,
        order="updated",
        descending=True,
        after_time=visit.number("at"),
    )
    page = await visit.apply(namespace, listing)
    is_rest = visit.is_partial and "after" in visit.query
    return await visit.page(
        "conversations_rows.html" if is_rest else "conversations.html",
        ns=namespace,
        prefix=prefix,
        histories=[(stat, title_of(stat)) for stat in page.histories],
        following=page.histories[-1] if page.more else None,
        first="after" not in visit.query,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "histories", order="updated", descending="true", prefix=prefix),
            "memory.list_histories("
            + (f"{prefix!r}, " if prefix else "")
            + f'order="updated", descending=True, limit={LISTED})',
        ),
    )


def title_of(stat: ops.HistoryStat) -> str:
    """Returns the title in the metadata of a history, or its name."""
    title = stat.metadata.value.get("title")
    return title if isinstance(title, str) and title.strip() else stat.name


async def show(visit: Visit) -> Response:
    """Shows the end of a conversation, or the items before a given one."""
    namespace, name = visit.namespace, visit.need("name")
    before = visit.number("before")
    archived = visit.query.get("archived") == "1"
    read = ops.ReadHistory(name, 0, before, SHOWN, newest_first=True, archived=archived)
    if visit.is_partial and before is not None:
        page = await visit.apply(namespace, read)
        stat = None
    else:
        stat, page = await visit.apply_all(namespace, ops.StatHistory(name), read)
    items = list(reversed(page.items))
    shown = await visit.work(lambda: turns(items))
    return await visit.page(
        "conversation.html" if stat is not None else "conversation_turns.html",
        ns=namespace,
        name=name,
        stat=stat,
        title="" if stat is None else title_of(stat),
        metadata={} if stat is None else stat.metadata.value,
        turns=shown,
        earlier=items[0].seq if page.more else None,
        is_end=before is None,
        archived=archived,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "histories", name, "items", newest_first="true", limit=SHOWN),
            f"memory.history({name!r}).tail({SHOWN})",
        ),
    )
