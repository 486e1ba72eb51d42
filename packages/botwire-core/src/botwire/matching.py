"""Searches with a test that a filter cannot express: it is applied to what the search finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from botwire.models import Match, Record

Test = Callable[[Record], bool]
"""Returns whether a record passes."""

_PAGE = 200
"""How many matches to read at a time if a test refuses some of them."""


def search_passing(
    search: Callable[..., list[Match]], passes: Test | None, limit: int
) -> list[Match]:
    """Returns the best matches that pass a test, reading as many as that takes.

    Args:
        search: `Records.search` with all arguments but ``limit`` and ``offset``.
        passes: The test; None: all pass.
        limit: The most matches to return.
    """
    found: list[Match] = []
    offset, size = 0, limit if passes is None else max(limit, _PAGE)
    while len(found) < limit:
        page = search(limit=size, offset=offset)
        found += [match for match in page if passes is None or passes(match.record)]
        offset += len(page)
        if len(page) < size:
            break
    return found[:limit]


async def asearch_passing(
    search: Callable[..., Awaitable[list[Match]]], passes: Test | None, limit: int
) -> list[Match]:
    """Like `search_passing`, with `AsyncRecords.search`."""
    found: list[Match] = []
    offset, size = 0, limit if passes is None else max(limit, _PAGE)
    while len(found) < limit:
        page = await search(limit=size, offset=offset)
        found += [match for match in page if passes is None or passes(match.record)]
        offset += len(page)
        if len(page) < size:
            break
    return found[:limit]
