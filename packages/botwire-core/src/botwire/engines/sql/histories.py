"""What the operations on histories mean in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire.engines.sql import pages, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.steps import (
    Context,
    Rows,
    Statement,
    Steps,
    bounds,
    chunks,
    count_in,
    marks,
)
from botwire.errors import ConflictError
from botwire.exact import Json
from botwire.names import from_bytes, to_bytes

_APPEND = (
    tables.HISTORIES.upsert(
        archived="botwire_histories.archived",
        archived_seq="botwire_histories.archived_seq",
        created_at="botwire_histories.created_at",
        **{
            counted: f"botwire_histories.{counted} + excluded.{counted}"
            for counted in ("last_seq", "size", "bytes")
        },
    )
    + " RETURNING last_seq"
)
_STAT = "size, archived, last_seq, archived_seq, created_at, updated_at, bytes"


class _Stat(NamedTuple):
    size: int
    archived: int
    last_seq: int
    archived_seq: int
    created_at: int
    updated_at: int
    bytes: int


def _stat(context: Context, history: bytes) -> Steps[_Stat]:
    rows = yield Statement(
        f"SELECT {_STAT} FROM botwire_histories WHERE namespace = ? AND history = ?",
        (context.namespace, history),
    )
    return _Stat(*rows[0]) if rows else _Stat(0, 0, 0, 0, 0, 0, 0)


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
        "SELECT last_seq FROM botwire_histories WHERE namespace = ? AND history = ?",
        (context.namespace, to_bytes(name)),
        then=compare,
    )


@handles(ops.ExtendHistory)
def _extend_history(context: Context, op: ops.ExtendHistory) -> Steps[tuple[int, ...]]:
    history = to_bytes(op.name)
    known: dict[str, int] = {}
    if op.ids is not None:
        given = [to_bytes(id) for id in op.ids if id is not None]
        for chunk in chunks(given):
            rows = yield Statement(
                "SELECT id, seq FROM botwire_items "
                f"WHERE namespace = ? AND history = ? AND id IN ({marks(chunk)})",
                (context.namespace, history, *chunk),
            )
            known.update((from_bytes(id), seq) for id, seq in rows)
    ids = op.ids or (None,) * len(op.values)
    new = [
        (value, id)
        for value, id in zip(op.values, ids, strict=True)
        if id is None or id not in known
    ]
    if new:
        yield from _expect_last(context, op.name, op.if_last)
        first = yield from append(context, history, new)
    results = []
    for id in ids:
        if id is not None and id in known:
            results.append(known[id])
        else:
            results.append(first)
            first += 1
    return tuple(results)


def append(context: Context, history: bytes, new: Sequence[tuple[Json, str | None]]) -> Steps[int]:
    """Appends values with their ids, none of which is there yet, and answers the first's number."""
    stored = [(None if id is None else to_bytes(id), value) for value, id in new]
    added = [sizes.item(id, value) for id, value in stored]
    now = context.now
    rows = yield Statement(
        _APPEND,
        (context.namespace, history, len(new), len(new), 0, 0, now, now, sum(added)),
    )
    first: int = rows[0][0] - len(new) + 1
    items = [(seq, id, value, now) for seq, (id, value) in enumerate(stored, first)]
    yield tables.insert_items(context.namespace, history, items)
    context.grow(added)
    context.change("history", "append", history)
    return first


@handles(ops.ReplaceHistory)
def _replace_history(context: Context, op: ops.ReplaceHistory) -> Steps[tuple[int, ...]]:
    yield from _expect_last(context, op.name, op.if_last)
    yield from _clear_history(context, ops.ClearHistory(op.name))
    if not op.values:
        return ()
    ids = op.ids or (None,) * len(op.values)
    new = list(zip(op.values, ids, strict=True))
    first = yield from append(context, to_bytes(op.name), new)
    return tuple(range(first, first + len(new)))


_NOT_ARCHIVED = (
    " AND seq > COALESCE((SELECT archived_seq FROM botwire_histories "
    "WHERE namespace = ? AND history = ?), 0)"
)


@handles(ops.ReadHistory)
def _read_history(context: Context, op: ops.ReadHistory) -> Steps[ops.ItemPage]:
    history = to_bytes(op.name)
    sql = "FROM botwire_items WHERE namespace = ? AND history = ?"
    parameters: list[Any] = [context.namespace, history]
    if not op.archived:
        sql += _NOT_ARCHIVED
        parameters += [context.namespace, history]
    if op.after:
        sql += " AND seq > ?"
        parameters.append(op.after)
    if op.before is not None:
        sql += " AND seq < ?"
        parameters.append(op.before)
    source = pages.Source(f"SELECT {tables.HISTORY_ITEM}", sql, parameters, sizes.ITEM)
    order = f"ORDER BY seq {'DESC' if op.newest_first else 'ASC'}"
    rows, more = yield from pages.read_page(context, source, order, op.limit)
    return ops.ItemPage(tuple([tables.history_item(row) for row in rows]), more)


@handles(ops.StatHistory)
def _stat_history(context: Context, op: ops.StatHistory) -> Steps[ops.HistoryStat]:
    stat = yield from _stat(context, to_bytes(op.name))
    return _public_stat(op.name, stat)


def _public_stat(name: str, stat: _Stat) -> ops.HistoryStat:
    return ops.HistoryStat(
        name, stat.size, stat.archived, stat.last_seq, stat.created_at, stat.updated_at
    )


@handles(ops.DeleteItems)
def _delete_items(context: Context, op: ops.DeleteItems) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from _stat(context, history)
    deleted: list[int] = []
    freed = 0
    for chunk in chunks(op.seqs):
        rows = yield Statement(
            "DELETE FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND seq IN ({marks(chunk)}) "
            f"RETURNING seq, {sizes.ITEM}",
            (context.namespace, history, *chunk),
        )
        deleted += [seq for seq, _ in rows]
        freed += sum(size for _, size in rows)
    if deleted:
        archived = sum(1 for seq in deleted if seq <= stat.archived_seq)
        yield from _shrink(context, history, len(deleted) - archived, archived, freed)
        context.change("history", "delete", history)
    return len(deleted)


def _shrink(context: Context, history: bytes, size: int, archived: int, freed: int) -> Steps[None]:
    """Counts fewer items that are not archived, fewer that are, and fewer bytes."""
    yield Statement(
        "UPDATE botwire_histories SET size = size - ?, archived = archived - ?, "
        "bytes = bytes - ?, updated_at = ? WHERE namespace = ? AND history = ?",
        (size, archived, freed, context.now, context.namespace, history),
    )
    context.grown -= freed


@handles(ops.PopItem)
def _pop_item(context: Context, op: ops.PopItem) -> Steps[ops.HistoryItem | None]:
    last = ops.ReadHistory(op.name, limit=1, newest_first=True)
    page = yield from _read_history(context, last)
    if not page.items:
        return None
    yield from _delete_items(context, ops.DeleteItems(op.name, (page.items[0].seq,)))
    return page.items[0]


@handles(ops.ArchiveHistory)
def _archive_history(context: Context, op: ops.ArchiveHistory) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from _stat(context, history)
    up_to = min(op.up_to, stat.last_seq)
    if up_to <= stat.archived_seq:
        return 0
    rows = yield Statement(
        "SELECT count(*) FROM botwire_items "
        "WHERE namespace = ? AND history = ? AND seq > ? AND seq <= ?",
        (context.namespace, history, stat.archived_seq, up_to),
    )
    count = count_in(rows)
    yield Statement(
        "UPDATE botwire_histories SET archived_seq = ?, archived = archived + ?, "
        "size = size - ?, updated_at = ? WHERE namespace = ? AND history = ?",
        (up_to, count, count, context.now, context.namespace, history),
    )
    context.change("history", "archive", history)
    return count


@handles(ops.ClearHistory)
def _clear_history(context: Context, op: ops.ClearHistory) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from _stat(context, history)
    count = stat.size + stat.archived
    if not count:
        return 0
    if op.limit is None or count <= op.limit:
        yield Statement(
            "DELETE FROM botwire_items WHERE namespace = ? AND history = ?",
            (context.namespace, history),
        )
        yield from _shrink(context, history, stat.size, stat.archived, stat.bytes)
    else:
        count = yield from _clear_oldest(context, history, op.limit)
    context.change("history", "clear", history)
    return count


def _clear_oldest(context: Context, history: bytes, limit: int) -> Steps[int]:
    """Archives all items and deletes the oldest of them; answers how many."""
    yield Statement(
        "UPDATE botwire_histories SET archived_seq = last_seq, archived = archived + size, "
        "size = 0 WHERE namespace = ? AND history = ?",
        (context.namespace, history),
    )
    rows = yield Statement(
        "DELETE FROM botwire_items WHERE namespace = ? AND history = ? AND seq IN (SELECT seq "
        "FROM botwire_items WHERE namespace = ? AND history = ? ORDER BY seq LIMIT ?) "
        f"RETURNING {sizes.ITEM}",
        (context.namespace, history, context.namespace, history, limit),
    )
    yield from _shrink(context, history, 0, len(rows), sum(size for (size,) in rows))
    return len(rows)


@handles(ops.ListHistories)
def _list_histories(context: Context, op: ops.ListHistories) -> Steps[ops.HistoryPage]:
    condition, between = bounds("history", op.prefix, op.after)
    rows = yield Statement(
        f"SELECT history, {_STAT} FROM botwire_histories "
        f"WHERE namespace = ?{condition} AND size + archived > 0 ORDER BY history LIMIT ?",
        (context.namespace, *between, op.limit + 1),
    )
    stats = [_public_stat(from_bytes(row[0]), _Stat(*row[1:])) for row in rows[: op.limit]]
    return ops.HistoryPage(tuple(stats), len(rows) > op.limit)
