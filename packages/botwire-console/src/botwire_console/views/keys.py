"""Keys: a tree of names, and one key with its value, version, expiry and author."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from botwire import operations as ops
from botwire.errors import BotWireError, ConflictError
from botwire.names import MAX_NAME_BYTES, to_bytes
from botwire_console.editing import (
    UNCHANGED,
    Draft,
    StoredValue,
    differences,
    refusal_of,
    text_of,
    time_of,
)
from botwire_console.recipes import address, recipe
from botwire_console.visit import Visit

ROWS = 50
"""Rows of the tree per page."""
SEPARATORS = "/:"
"""The separators of a key's segments; a prefix that ends with one is shown as a folder."""

_READ = 200  # names per read
_ROUNDS = 60  # most reads per page


@dataclass(frozen=True)
class TreeRow:
    """A row of the tree: a key, or a folder of all keys with a prefix.

    Attributes:
        name: The key or the prefix.
        label: The part of the name that the rows above do not show.
        is_folder: Whether it is a folder.
        stat: The summary of the key; None for a folder.
    """

    name: str
    label: str
    is_folder: bool
    stat: ops.KeyStat | None = None


async def show_tree(visit: Visit) -> Response:
    """Shows the keys below a prefix, one page at a time."""
    namespace = visit.namespace
    prefix = visit.query.get("prefix", "")
    rows, following = await _rows(visit, namespace, prefix, visit.query.get("after"))
    template = "keys_rows.html" if visit.is_partial and "after" in visit.query else "keys.html"
    return await visit.page(
        template,
        ns=namespace,
        prefix=prefix,
        trail=_trail(prefix),
        rows=rows,
        following=following,
        first="after" not in visit.query,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "keys", prefix=prefix),
            f"memory.list_keys({prefix!r})" if prefix else "memory.list_keys()",
        ),
    )


async def _rows(
    visit: Visit, namespace: str, prefix: str, after: str | None
) -> tuple[list[TreeRow], str | None]:
    """Returns the rows after a name, and the name after which the next page begins."""
    rows: list[TreeRow] = []
    for _ in range(_ROUNDS):
        page = await visit.apply(namespace, ops.ListKeyStats(prefix, after, _READ))
        for stat in page.keys:
            if rows and rows[-1].is_folder and stat.key.startswith(rows[-1].name):
                continue
            if len(rows) == ROWS:
                break
            rows.append(_row(stat, prefix))
            after = stat.key
        if rows and rows[-1].is_folder:
            after = last_below(rows[-1].name)  # skips the rest of the folder
        if len(rows) == ROWS or not page.more:
            break
    rest = await visit.apply(namespace, ops.ListKeys(prefix, after, 1))
    return rows, after if rest.keys else None


def _row(stat: ops.KeyStat, prefix: str) -> TreeRow:
    key = stat.key
    rest = key[len(prefix) :]
    # A separator at the very end makes no folder: there would be nothing in it.
    ends = [at for one in SEPARATORS if 0 <= (at := rest.find(one)) < len(rest) - 1]
    if not ends:
        return TreeRow(key, rest or key, is_folder=False, stat=stat)
    label = rest[: min(ends) + 1]
    return TreeRow(prefix + label, label, is_folder=True)


def last_below(prefix: str) -> str:
    """Returns a name that follows all names with a prefix, but precedes all later names."""
    room = MAX_NAME_BYTES - len(to_bytes(prefix))
    return prefix + "\U0010ffff" * (room // 4) + ("", "\x7f", "\u07ff", "\uffff")[room % 4]


def _trail(prefix: str) -> list[tuple[str, str]]:
    """Returns the folders above a prefix, and the prefix: each with its label and its prefix."""
    trail, start = [], 0
    for at, character in enumerate(prefix, 1):
        if character in SEPARATORS:
            trail.append((prefix[start:at], prefix[:at]))
            start = at
    if start < len(prefix):
        trail.append((prefix[start:], prefix))
    return trail


# --- one key --------------------------------------------------------------------------------


async def show(visit: Visit) -> Response:
    """Shows a key; one that does not exist can be created here."""
    namespace = visit.namespace
    key = visit.query.get("key", "")
    if key and (folder := visit.query.get("under")):
        return visit.go("key", ns=namespace, key=folder + key)
    if not key:
        return await visit.page("key_new.html", ns=namespace, prefix=visit.query.get("prefix", ""))
    stored, _ = await _read(visit, namespace, key)
    return await _page(visit, namespace, key, stored, saved=visit.query.get("saved"))


async def save(visit: Visit) -> Response:
    """Stores a value if the key still has the version the visitor saw; else shows a conflict."""
    namespace = visit.namespace
    key = visit.need("key")
    draft = Draft.of(await visit.form())
    stored, entry = await _read(visit, namespace, key)
    try:
        value = await visit.work(draft.decode)
        ttl = draft.ttl(None if entry is None else entry.expires_at)
        operation = ops.PutKey(key, value, ttl, draft.version)
        version = await visit.apply(namespace, operation)
    except ConflictError:
        return await _conflict(visit, namespace, key, draft)
    except BotWireError as failure:  # the page keeps what was typed
        error = refusal_of(failure)
        return await _page(visit, namespace, key, stored, error.status, draft=draft, error=error)
    return visit.go("key", ns=namespace, key=key, saved=version)


async def delete(visit: Visit) -> Response:
    """Deletes a key if it still has the version the visitor saw."""
    namespace = visit.namespace
    key = visit.need("key")
    draft = Draft.of(await visit.form())
    try:
        await visit.apply(namespace, ops.DeleteKey(key, draft.version))
    except ConflictError:
        return await _conflict(visit, namespace, key, None)
    return visit.go("keys", ns=namespace, prefix="".join(name for name, _ in _trail(key)[:-1]))


async def _conflict(visit: Visit, namespace: str, key: str, draft: Draft | None) -> Response:
    stored, _ = await _read(visit, namespace, key)
    lines: list[tuple[str, str]] = []
    if draft is not None and stored.text is not None:
        text, mine = stored.text, draft.text
        lines = await visit.work(lambda: list(differences(text, mine)))
    return await _page(visit, namespace, key, stored, 409, draft=draft, lines=lines, conflict=True)


async def _read(visit: Visit, namespace: str, key: str) -> tuple[StoredValue, ops.KeyEntry | None]:
    (entry,) = await visit.apply(namespace, ops.GetKeys((key,)))
    if entry is None:
        return StoredValue(), None
    value = entry.value
    is_bytes = isinstance(value, bytes)
    return StoredValue(
        None if isinstance(value, bytes) else await visit.work(lambda: text_of(value)),
        len(value) if isinstance(value, bytes) else len(value.text),
        entry.version,
        is_bytes,
        entry.author,
        time_of(entry.created_at),
        time_of(entry.updated_at),
        time_of(entry.expires_at),
    ), entry


async def _page(
    visit: Visit,
    namespace: str,
    key: str,
    stored: StoredValue,
    status: int = 200,
    **context: Any,
) -> Response:
    return await visit.page(
        "key.html",
        status=status,
        ns=namespace,
        key=key,
        trail=_trail(key),
        stored=stored,
        recipe=recipe(visit, namespace, address(namespace, "keys", key), f"memory.entry({key!r})"),
        **{**UNCHANGED, **context},
    )
