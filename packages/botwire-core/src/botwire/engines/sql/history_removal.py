"""Removing items from histories in SQL, and their sweep; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence

from botwire import operations as ops
from botwire.engines.sql import sizes
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import (
    STAT,
    Stat,
    bury,
    count_items,
    enter,
    items_of,
    keep_past,
    own_all,
    release,
    save,
    trim,
)
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, chunks, marks, sum_of
from botwire.engines.sql.tables import IN_HISTORY
from botwire.names import to_bytes


@handles(ops.DeleteItems)
def delete_items(context: Context, op: ops.DeleteItems) -> Steps[int]:
    """Deletes the items with these numbers; returns how many existed."""
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    deleted = yield from remove(context, history, stat, op.seqs)
    if deleted:
        context.change("history", "delete", history)
    return deleted


def remove(
    context: Context, history: bytes, stat: Stat, seqs: Sequence[int], *, dead: bool = False
) -> Steps[int]:
    """Deletes the items with these numbers, only dead or only live ones; returns how many."""
    deleted: list[int] = []
    if stat.base is not None and not dead:
        stat, deleted = yield from _leave_out(context, history, stat, seqs)
    bytes_before = stat.bytes
    for chunk in chunks(seqs):
        condition = f"seq IN ({marks(chunk)}) AND seq {'<=' if dead else '>'} ?"
        parameters = (*chunk, stat.dead_seq)
        stat = yield from keep_past(context, history, stat, condition, parameters)
        rows = yield Statement(
            f"DELETE FROM botwire_items WHERE {IN_HISTORY} AND {condition} "
            f"RETURNING seq, {sizes.ITEM}",
            (context.namespace, history, *parameters),
        )
        deleted += [seq for seq, _ in rows]
        freed = sum(size for _, size in rows)
        context.grown -= freed
        stat = stat._replace(bytes=stat.bytes - freed)
    if deleted or stat.bytes != bytes_before:
        archived = 0 if dead else sum(1 for seq in deleted if seq <= stat.archived_seq)
        stat = stat._replace(
            size=stat.size - (0 if dead else len(deleted) - archived),
            archived=stat.archived - archived,
            dead=stat.dead - (len(deleted) if dead else 0),
            updated_at=stat.updated_at if dead else context.now,
        )
        yield from save(context, history, stat)
    return len(deleted)


def drop_items(
    context: Context, history: bytes, stat: Stat, seqs: Sequence[int]
) -> Steps[tuple[Stat, int]]:
    """Deletes items; returns the row, whose counts are as before, and the bytes freed."""
    freed = 0
    for chunk in chunks(seqs):
        condition = f"seq IN ({marks(chunk)})"
        stat = yield from keep_past(context, history, stat, condition, chunk)
        rows = yield Statement(
            f"DELETE FROM botwire_items WHERE {IN_HISTORY} AND {condition} RETURNING {sizes.ITEM}",
            (context.namespace, history, *chunk),
        )
        freed += sum_of(rows)
    return stat, freed


def _leave_out(
    context: Context, history: bytes, stat: Stat, seqs: Sequence[int]
) -> Steps[tuple[Stat, list[int]]]:
    """Drops shared items with these numbers from a fork, if they are its first or its last.

    Otherwise it copies all shared items, so that the caller can delete them like any other.

    Returns:
        The row, and the numbers of the items that it dropped.
    """
    end = stat.shared[0].up_to
    table, parameters = items_of(context, history, stat.shared)
    given = sorted({seq for seq in seqs if seq <= end})
    found: Rows = []
    for chunk in chunks(given):
        found += yield Statement(
            f"SELECT seq FROM {table} WHERE seq IN ({marks(chunk)})", (*parameters, *chunk)
        )
    gone = sorted(seq for (seq,) in found)
    if not gone:
        return stat, []
    for newest, bound in ((True, ">= ?"), (False, "<= ?")):
        rows = yield Statement(
            f"SELECT seq FROM {table} WHERE seq {bound} AND seq <= ? LIMIT ?",
            (*parameters, gone[0] if newest else gone[-1], end, len(gone) + 1),
        )
        if len(rows) == len(gone):
            return (yield from trim(context, stat, gone, newest=newest)), gone
    return (yield from own_all(context, history, stat)), []


def empty(context: Context, history: bytes, stat: Stat) -> Steps[Stat]:
    """Deletes all items; returns the row, which keeps its metadata and expiry."""
    here = (context.namespace, history)
    stat = yield from keep_past(context, history, stat, "1 = 1", ())
    yield Statement(f"DELETE FROM botwire_items WHERE {IN_HISTORY}", here)
    yield from release(context, stat.shared)
    left = stat.metadata_size
    if stat.past:
        rows = yield Statement(
            f"SELECT COALESCE(sum({sizes.ITEM}), 0) FROM botwire_forked_items WHERE {IN_HISTORY}",
            here,
        )
        left += int(rows[0][0])
    context.grown -= stat.bytes - left
    emptied = stat.sharing(())._replace(
        size=0, archived=0, dead=0, bytes=left, updated_at=context.now
    )
    yield from save(context, history, emptied)
    return emptied


@handles(ops.ArchiveHistory)
def _archive_history(context: Context, op: ops.ArchiveHistory) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    up_to = min(op.up_to, stat.last_seq)
    if up_to <= stat.archived_seq:
        return 0
    count = yield from count_items(context, history, stat, stat.archived_seq, up_to)
    stat = stat._replace(
        archived_seq=up_to,
        archived=stat.archived + count,
        size=stat.size - count,
        updated_at=context.now,
    )
    yield from save(context, history, stat)
    context.change("history", "archive", history)
    return count


@handles(ops.ClearHistory)
def _clear_history(context: Context, op: ops.ClearHistory) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    count = stat.size + stat.archived
    if not stat.exists:
        return 0
    if op.limit is None or count <= op.limit:
        stat = yield from empty(context, history, stat)
        context.grown -= stat.metadata_size
        left = stat.bytes - stat.metadata_size
        stat = stat._replace(bytes=left, metadata=None, metadata_version=0, expires_at=None)
        yield from save(context, history, stat)
    else:
        count = yield from _clear_oldest(context, history, stat, op.limit)
    context.change("history", "clear", history)
    return count


def _clear_oldest(context: Context, history: bytes, stat: Stat, limit: int) -> Steps[int]:
    """Archives all items and deletes the oldest of them; returns how many it deleted."""
    stat = stat._replace(archived_seq=stat.last_seq, archived=stat.archived + stat.size, size=0)
    table, parameters = items_of(context, history, stat.shared)
    rows = yield Statement(
        f"SELECT seq FROM {table} WHERE seq > ? ORDER BY seq LIMIT ?",
        (*parameters, stat.dead_seq, limit),
    )
    return (yield from remove(context, history, stat, [seq for (seq,) in rows]))


# --- what expired ---------------------------------------------------------------------------

_DUE = 100  # histories examined per transaction


def sweep(context: Context, most: int) -> Steps[int]:
    """Buries expired histories of the namespace and removes dead items; returns how many.

    Also removes past items that no fork reads any longer.

    Args:
        context: The sweep's context, for one namespace.
        most: About how many items to remove.
    """
    rows = yield Statement(
        f"SELECT history, {STAT} FROM botwire_histories "
        "WHERE namespace = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?",
        (context.namespace, context.now, _DUE),
    )
    done = len(rows)
    for history, *columns in rows:
        yield from bury(context, history, Stat(*columns))
    rows = yield Statement(
        f"SELECT history, {STAT} FROM botwire_histories WHERE namespace = ? AND {UNSWEPT} LIMIT ?",
        (context.namespace, _DUE),
    )
    for history, *columns in rows:
        stat = Stat(*columns)
        if stat.dead:
            found = yield Statement(
                f"SELECT seq FROM botwire_items WHERE {IN_HISTORY} AND seq <= ? "
                "ORDER BY seq LIMIT ?",
                (context.namespace, history, stat.dead_seq, most),
            )
            removed = yield from remove(
                context, history, stat, [seq for (seq,) in found], dead=True
            )
        else:
            removed = yield from _forget_past(context, history, stat, most)
        done += removed
        most -= removed
        if most <= 0:
            break
    return done


def _forget_past(context: Context, history: bytes, stat: Stat, most: int) -> Steps[int]:
    """Deletes some past items of a history without forks; returns how many."""
    here = (context.namespace, history)
    rows = yield Statement(
        f"DELETE FROM botwire_forked_items WHERE {IN_HISTORY} AND (seq, until) IN "
        f"(SELECT seq, until FROM botwire_forked_items WHERE {IN_HISTORY} LIMIT ?) "
        f"RETURNING {sizes.ITEM}",
        (*here, *here, most),
    )
    freed = sum_of(rows)
    context.grown -= freed
    left = stat._replace(past=stat.past - len(rows), bytes=stat.bytes - freed)
    yield from save(context, history, left)
    return len(rows)


UNSWEPT = "(dead > 0 OR (past > 0 AND forks = 0))"
"""The condition that `sweep` has items to remove from a history."""
FIND_EXPIRED = (
    "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_histories "
    "WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) due UNION "
    "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_histories "
    f"WHERE {UNSWEPT} LIMIT ?) unswept"
)
"""Finds some of the namespaces that `sweep` has work in."""
