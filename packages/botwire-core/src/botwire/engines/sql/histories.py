"""The operations on histories in SQL; see `engines.sql.batches`.

An expired history looks as if it had been cleared. As with keys, expiry is not recorded as a
change. Reads tell from the row alone that a history has expired. The next write, or the sweep,
buries the history: its items become dead, and the sweep removes them in parts.

A fork shares items with other histories; see `history_rows`. An operation that changes a shared
item in the middle copies all shared items first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import pages, past_rows, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_removal import delete_items, empty, remove
from botwire.engines.sql.history_rows import (
    STAT,
    Stat,
    bury,
    enter,
    items_of,
    keep_past,
    own_all,
    read_row,
    remove_dead,
    save,
)
from botwire.engines.sql.steps import (
    Context,
    Rows,
    Statement,
    Steps,
    chunks,
    marks,
)
from botwire.engines.sql.tables import IN_HISTORY
from botwire.errors import ConflictError, NotFoundError
from botwire.exact import Json
from botwire.names import from_bytes, to_bytes

# An expired history keeps its expiry until it is buried, which shows that this is still to do.
_APPEND = (
    tables.HISTORIES.upsert(
        **{
            kept: f"botwire_histories.{kept}"
            for kept in (
                *("archived", "archived_seq", "created_at"),
                *("metadata", "metadata_version", "dead_seq", "dead"),
                *("base", "forks", "forked_seq", "forked_version", "past"),
            )
        },
        **{
            counted: f"botwire_histories.{counted} + excluded.{counted}"
            for counted in ("last_seq", "size", "bytes")
        },
        expires_at="CASE WHEN botwire_histories.expires_at <= excluded.updated_at "
        "THEN botwire_histories.expires_at "
        "ELSE COALESCE(excluded.expires_at, botwire_histories.expires_at) END",
    )
    + " RETURNING last_seq, expires_at"
)


def _expect_last(context: Context, name: str, if_last: int | None) -> Steps[None]:
    if if_last is None:
        return

    def compare(rows: Rows) -> None:
        last = rows[0][0] if rows else 0
        if last != if_last:
            raise ConflictError(
                f"history {name!r:.80} ends at {last}, not at {if_last}: "
                "read what was added and retry"
            )

    yield Statement(
        f"SELECT last_seq FROM botwire_histories WHERE {IN_HISTORY}",
        (context.namespace, to_bytes(name)),
        then=compare,
    )


def _floor(column: str) -> str:
    """Returns SQL for the number of the last item hidden from readers."""
    return (
        f"COALESCE((SELECT CASE WHEN expires_at <= ? THEN last_seq ELSE {column} END "
        f"FROM botwire_histories WHERE {IN_HISTORY}), 0)"
    )


@handles(ops.ExtendHistory)
def _extend_history(context: Context, op: ops.ExtendHistory) -> Steps[tuple[int, ...]]:
    history = to_bytes(op.name)
    known = yield from _known(context, history, op.ids or ())
    ids = op.ids or (None,) * len(op.values)
    new = [
        (value, id)
        for value, id in zip(op.values, ids, strict=True)
        if id is None or id not in known
    ]
    if new or not op.values:  # if all of them are there, this is a retry
        yield from _expect_last(context, op.name, op.if_last)
    if new:
        first = yield from append(context, history, new, op.ttl)
    results = []
    for id in ids:
        if id is not None and id in known:
            results.append(known[id])
        else:
            results.append(first)
            first += 1
    return tuple(results)


def _known(context: Context, history: bytes, ids: Sequence[str | None]) -> Steps[dict[str, int]]:
    """Returns the numbers of the items with these ids, by id, without unused ids."""
    given = [to_bytes(id) for id in ids if id is not None]
    if not given:
        return {}
    stats: Rows = []
    yield Statement(
        f"SELECT {STAT} FROM botwire_histories WHERE {IN_HISTORY}",
        (context.namespace, history),
        then=stats.extend,
    )
    own = f"FROM botwire_items WHERE {IN_HISTORY}", [context.namespace, history]
    found = yield from _numbered(own, given)
    stat = Stat(*stats[0]) if stats else Stat()
    seen = stat.on(context.now)
    dead = [seq for _, seq in found if seq <= seen.dead_seq]
    if dead:
        # Dead items' ids are free again, so delete the rows before new items take the ids.
        stat = yield from enter(context, history)
        yield from remove(context, history, stat, dead, dead=True)
    if seen.base is not None:
        table, parameters = items_of(context, history, seen.shared)
        found = yield from _numbered((f"FROM {table} WHERE seq > ?", [*parameters, 0]), given)
    return {from_bytes(id): seq for id, seq in found if seq > seen.dead_seq}


def _numbered(source: tuple[str, list[Any]], ids: Sequence[bytes]) -> Steps[Rows]:
    sql, parameters = source
    found: Rows = []
    for chunk in chunks(ids):
        found += yield Statement(
            f"SELECT id, seq {sql} AND id IN ({marks(chunk)})", (*parameters, *chunk)
        )
    return found


def append(
    context: Context,
    history: bytes,
    new: Sequence[tuple[Json, str | None]],
    ttl: float | None = None,
) -> Steps[int]:
    """Appends values with new ids; returns the number of the first item."""
    stored = [(None if id is None else to_bytes(id), value) for value, id in new]
    author = context.author
    added = [sizes.item(id, value, author) for id, value in stored]
    now, expires_at = context.now, context.expiry(ttl)
    version = context.change("history", "append", history)
    yield from past_rows.keep(context, "histories", IN_HISTORY, (context.namespace, history))
    rows = yield Statement(
        _APPEND,
        (
            *(context.namespace, history, len(new), len(new), 0, 0, now, now, sum(added)),
            *(None, 0, expires_at, 0, 0, None, 0, 0, 0, 0, version),
        ),
    )
    last, expiry = rows[0]
    if expiry is not None and expiry <= now:
        stat = yield from read_row(context, history)
        buried = yield from bury(context, history, stat, len(new))
        yield from save(context, history, buried._replace(expires_at=expires_at))
    first: int = last - len(new) + 1
    items = [
        (seq, id, value, now, version, author) for seq, (id, value) in enumerate(stored, first)
    ]
    yield tables.insert_items(context.namespace, history, items)
    context.grow(added)
    return first


@handles(ops.ReplaceHistory)
def _replace_history(context: Context, op: ops.ReplaceHistory) -> Steps[tuple[int, ...]]:
    yield from _expect_last(context, op.name, op.if_last)
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    if stat.size + stat.archived:
        yield from empty(context, history, stat)
        context.change("history", "clear", history)
    elif stat.dead:
        # Dead items' ids are free again, so delete the rows before new items take the ids.
        yield from remove_dead(context, history, stat)
    if not op.values:
        return ()
    ids = op.ids or (None,) * len(op.values)
    first = yield from append(context, history, list(zip(op.values, ids, strict=True)), op.ttl)
    return tuple(range(first, first + len(op.values)))


@handles(ops.UpdateItem)
def _update_item(context: Context, op: ops.UpdateItem) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    column, given = ("seq", op.seq) if op.id is None else ("id", to_bytes(op.id))
    table, parameters = items_of(context, history, stat.shared)
    rows = yield Statement(
        f"SELECT seq, id, version, {sizes.ITEM} FROM {table} WHERE {column} = ? AND seq > ?",
        (*parameters, given, stat.dead_seq),
    )
    if not rows:
        which = op.seq if op.id is None else f"{op.id!r:.80}"
        raise NotFoundError(f"history {op.name!r:.80} has no item {which}")
    seq, id, version, size = rows[0]
    if op.if_version not in (None, version):
        raise ConflictError(
            f"item {seq} of history {op.name!r:.80} has version {version}, not {op.if_version}: "
            "read it again and retry"
        )
    if stat.base is not None and seq <= stat.shared[0].up_to:
        stat = yield from own_all(context, history, stat)
    stat = yield from keep_past(context, history, stat, "seq = ?", (seq,))
    new = context.change("history", "update", history)
    yield Statement(
        f"UPDATE botwire_items SET value_json = ?, version = ?, author = ?, since = NULL "
        f"WHERE {IN_HISTORY} AND seq = ?",
        (op.value.text, new, context.author, context.namespace, history, seq),
    )
    added = sizes.item(id, op.value, context.author)
    context.grow([added], size)
    expires_at = stat.expires_at if op.ttl is None else context.expiry(op.ttl)
    stat = stat._replace(
        bytes=stat.bytes + added - size, updated_at=context.now, expires_at=expires_at
    )
    yield from save(context, history, stat)
    return new


@handles(ops.SetHistoryMetadata)
def _set_history_metadata(context: Context, op: ops.SetHistoryMetadata) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    if op.if_version not in (None, stat.metadata_version):
        raise ConflictError(
            f"the metadata of history {op.name!r:.80} has version {stat.metadata_version}, not "
            f"{op.if_version}: read it again and retry"
        )
    text = None if op.metadata.text == ops.NO_METADATA.text else op.metadata.text
    version = context.change("history", "metadata", history)
    added = len(text or "") - stat.metadata_size
    context.grown += added
    stat = stat._replace(
        bytes=stat.bytes + added,
        metadata=text,
        metadata_version=0 if text is None else version,
        created_at=stat.created_at or context.now,
        updated_at=context.now,
    )
    yield from save(context, history, stat)
    return version


@handles(ops.ExpireHistory)
def _expire_history(context: Context, op: ops.ExpireHistory) -> Steps[bool]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    if not stat.exists:
        return False
    context.change("history", "expire", history)
    stat = stat._replace(expires_at=context.expiry(op.ttl), updated_at=context.now)
    yield from save(context, history, stat)
    return True


@handles(ops.ReadHistory)
def _read_history(context: Context, op: ops.ReadHistory) -> Steps[ops.ItemPage]:
    history = to_bytes(op.name)
    here = (context.namespace, history)
    floor = _floor("dead_seq" if op.archived else "archived_seq")
    condition = f"seq > {floor}"
    bounds: list[Any] = [context.now, *here]
    if op.after:
        condition += " AND seq > ?"
        bounds.append(op.after)
    if op.before is not None:
        condition += " AND seq < ?"
        bounds.append(op.before)
    order = f"ORDER BY seq {'DESC' if op.newest_first else 'ASC'}"

    select = f"SELECT {tables.HISTORY_ITEM}"
    # Sent along with the query for the items, because few histories share items.
    forked: Rows = []
    yield Statement(
        f"SELECT {STAT} FROM botwire_histories WHERE {IN_HISTORY} AND base IS NOT NULL",
        here,
        then=forked.extend,
    )
    own = pages.Source(
        select,
        f"FROM botwire_items WHERE {IN_HISTORY} AND {condition}",
        [*here, *bounds],
        sizes.ITEM,
    )
    rows, more = yield from pages.read_page(context, own, order, op.limit)
    if forked:
        also = f" AND {condition} {order} LIMIT ?"
        shared = Stat(*forked[0]).shared
        table, parameters = items_of(context, history, shared, also, [*bounds, op.limit + 1])
        every = pages.Source(select, f"FROM {table} WHERE 1 = 1", parameters, sizes.ITEM)
        rows, more = yield from pages.read_page(context, every, order, op.limit)
    return ops.ItemPage(tuple([tables.history_item(row) for row in rows]), more)


@handles(ops.PopItem)
def _pop_item(context: Context, op: ops.PopItem) -> Steps[ops.HistoryItem | None]:
    last = ops.ReadHistory(op.name, limit=1, newest_first=True)
    page = yield from _read_history(context, last)
    if not page.items:
        return None
    yield from delete_items(context, ops.DeleteItems(op.name, (page.items[0].seq,)))
    return page.items[0]
