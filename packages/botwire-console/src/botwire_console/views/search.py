"""One search box over namespaces, names and texts."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from botwire import operations as ops
from botwire.errors import ConfigurationError
from botwire.names import SYSTEM_NAMESPACE, check_namespace
from botwire_console.recipes import batch_recipe, recipe
from botwire_console.searching import SearchResult, search
from botwire_console.visit import Recipe, Visit

MOST_NAMESPACES = 20
"""The most namespaces whose contents are searched at once."""

_PAGES = 10  # pages of a thousand namespaces whose names are searched


async def show(visit: Visit) -> Response:
    """Searches a namespace, or all namespaces that the visitor may list."""
    words = visit.query.get("q", "").strip()
    within = visit.query.get("ns") or None
    skip = visit.number("skip") or 0
    following: int | None = None
    found: list[SearchResult] = []
    names: list[str] = []
    limits: list[str] = []
    if words:
        if within is not None:
            visit.require("read", check_namespace(within))
            inside: Sequence[str] = [within]
        else:
            names, limits = await _named(visit, words)
            inside, following = await _searched(visit, skip)
            if following or skip:
                limits.append(f"contents of {len(inside)} namespaces, the busiest today first")
        for name in inside:
            found.append(await search(visit, name, words))  # noqa: PERF401 - ruff knows no await
    return await visit.page(
        "search.html",
        ns=within,
        words=words,
        names=names,
        limits=limits,
        following=following,
        found=[one for one in found if one.hits or within is not None],
        patterns=[one for one in visit.patterns if "*" in one] if not visit.may("admin") else [],
        recipe=_recipe(visit, within, words) if words else None,
    )


async def _named(visit: Visit, words: str) -> tuple[list[str], list[str]]:
    """Returns the namespaces whose names contain the words, and what was not searched."""
    wanted = words.casefold()
    if not visit.may("admin"):
        own = [one for one in visit.patterns if "*" not in one and wanted in one.casefold()]
        # This does not reveal whether it exists: the visitor typed the name.
        if words not in own and _is_name(words) and visit.may("read", words):
            own.append(words)
        return own, []
    names: list[str] = []
    listing: ops.ListNamespaces | None = ops.ListNamespaces()
    for _ in range(_PAGES):
        if listing is None:
            return names, []
        page = await visit.apply_to_store(listing)
        names += [one.name for one in page.namespaces if wanted in one.name.casefold()]
        listing = listing.following(page)
    begin = await visit.apply_to_store(ops.ListNamespaces(words, limit=50))
    names = list(dict.fromkeys([*names, *[one.name for one in begin.namespaces]]))
    return names[:50], [] if listing is None else [f"names of the first {_PAGES},000 namespaces"]


async def _searched(visit: Visit, skip: int) -> tuple[list[str], int | None]:
    """Returns the namespaces to search, and how many to skip for the next; None: no more."""
    end = min(skip + MOST_NAMESPACES, ops.MAX_PAGE)
    if visit.may("admin"):
        usage = await visit.apply_to_store(ops.ListUsage("writes", end))
        names, count = [one.name for one in usage.largest], usage.namespaces
    else:
        names = [one for one in visit.patterns if "*" not in one]
        count = len(names)
    return names[skip:end], end if skip < end < count else None


def _is_name(words: str) -> bool:
    try:
        check_namespace(words)
    except ConfigurationError:
        return False
    return True


def _recipe(visit: Visit, namespace: str | None, words: str) -> Recipe:
    if namespace is None and visit.may("admin"):
        listing = ops.ListNamespaces(words[:64])
        return batch_recipe(visit, SYSTEM_NAMESPACE, listing, f"ops.ListNamespaces({words[:64]!r})")
    namespace = namespace or next((one for one in visit.patterns if "*" not in one), "NAMESPACE")
    find = ops.SearchRecords("default", text=words, embeddings=False)
    shell = batch_recipe(visit, namespace, find, "")
    call = "\n".join(
        [
            f"print([key for key in memory.list_keys() if {words!r} in key])",
            f"print(memory.records().search(text={words!r}))",
        ]
    )
    return Recipe(shell.curl, recipe(visit, namespace, "", call).python)
