"""The operations on the past in SQL, and its sweep; see `engines.sql.past_rows`."""

from __future__ import annotations

from botwire import operations as ops
from botwire.clock import DAY, SECOND, micros
from botwire.engines.sql import past_rows
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import Stat, release
from botwire.engines.sql.schema import PAST_KEYS
from botwire.engines.sql.steps import Context, Statement, Steps, bounds
from botwire.engines.sql.tables import IN_HISTORY
from botwire.names import from_bytes, to_bytes

_SLACK = 60 * SECOND  # the past is deleted a minute's worth at a time
_FIRST_CHANGES = DAY  # younger changes are kept for watchers

FIND_DUE = (
    "SELECT namespace FROM botwire_namespaces WHERE keep_past <> 0 AND (keep_past < 0 "
    f"OR past_began + keep_past + {_SLACK} < ? OR namespace IN "
    "(SELECT namespace FROM botwire_keys WHERE expires_at <= ?)) LIMIT ?"
)
"""Finds some of the namespaces that `sweep` has work in, or whose keys have expired."""


# --- what is kept ---------------------------------------------------------------------------


def _stat(past: past_rows.Past) -> ops.PastStat:
    if not past.is_kept:
        return ops.PastStat(None, 0, None, past.revision)
    return ops.PastStat(past.keep_past / SECOND, past.since, past.began, past.revision)


@handles(ops.StatPast)
def _stat_past(context: Context, op: ops.StatPast) -> Steps[ops.PastStat]:
    return _stat((yield from past_rows.read_past(context)))


@handles(ops.KeepPast)
def _keep_past(context: Context, op: ops.KeepPast) -> Steps[ops.PastStat]:
    past = yield from past_rows.read_past(context)
    if op.seconds is None:
        if past.is_kept:
            past = past._replace(keep_past=-1, since=context.revision, began=context.now)
    elif past.is_kept:
        past = past._replace(keep_past=micros(op.seconds))
    else:
        if past.keep_past < 0:
            while (yield from _forget(context, context.revision, 2**62)):
                pass
        past = past._replace(
            keep_past=micros(op.seconds), since=context.revision, began=context.now
        )
    yield Statement(
        "UPDATE botwire_namespaces SET keep_past = ?, past_since = ?, past_began = ? "
        "WHERE namespace = ?",
        (*past[1:], context.namespace),
    )
    # Applies to the rest of this batch as well.
    context.keeps_past = past.is_kept
    return _stat(past)


def sweep(context: Context, most: int) -> Steps[int]:
    """Deletes some of the past that is older than the namespace keeps; returns how many rows.

    Args:
        context: The sweep's context, for one namespace.
        most: About how many rows to delete.
    """
    past = yield from past_rows.read_past(context)
    if past.keep_past < 0:
        deleted = yield from _forget(context, past.revision, most)
        if deleted < most:
            yield Statement(
                "UPDATE botwire_namespaces SET keep_past = 0 WHERE namespace = ?",
                (context.namespace,),
            )
        return deleted
    began = context.now - past.keep_past
    if began > past.began:
        since = yield from past_rows.revision_at(context, past, began)
        past = past._replace(since=since, began=began)
        yield Statement(
            "UPDATE botwire_namespaces SET past_since = ?, past_began = ? WHERE namespace = ?",
            (past.since, past.began, context.namespace),
        )
        if past.keep_past >= _FIRST_CHANGES:
            yield Statement(
                "DELETE FROM botwire_changes WHERE namespace = ? AND revision <= ?",
                (context.namespace, past.since),
            )
    return (yield from _forget(context, past.since, most))


def _forget(context: Context, up_to: int, most: int) -> Steps[int]:
    """Deletes some past rows that ended at or before a revision; returns how many."""
    return (yield from _erase(context, f"namespace = ? AND until <= {int(up_to)}", most))


def _erase(
    context: Context, condition: str, most: int, *names: bytes, shape: str | None = None
) -> Steps[int]:
    deleted = 0
    for table in past_rows.tables_of(shape):
        key = PAST_KEYS[table]
        size = past_rows.size_of(table)
        base = ", history, base" if table == "histories" else ""
        some = condition.format(name=past_rows.named_by(table))
        here = (context.namespace, *names)
        rows = yield Statement(
            f"DELETE FROM botwire_past_{table} WHERE namespace = ? AND ({key}, until) IN "
            f"(SELECT {key}, until FROM botwire_past_{table} WHERE {some} LIMIT ?) "
            f"RETURNING {size}{base}",
            (context.namespace, *here, most - deleted),
        )
        deleted += len(rows)
        context.grown -= sum(row[0] for row in rows)
        if base:
            yield from _release(context, {row[1:] for row in rows if row[2] is not None})
        if deleted >= most:
            break
    return deleted


def _release(context: Context, gone: set[tuple[bytes, str]]) -> Steps[None]:
    """Releases the items that past forks shared, once no row refers to them."""
    for history, base in sorted(gone):
        rows = yield Statement(
            f"SELECT 1 FROM botwire_histories WHERE {IN_HISTORY} AND base = ? UNION ALL "
            f"SELECT 1 FROM botwire_past_histories WHERE {IN_HISTORY} AND base = ? LIMIT 1",
            (context.namespace, history, base, context.namespace, history, base),
        )
        if not rows:
            yield from release(context, Stat(base=base).shared, for_good=True)


@handles(ops.ErasePast)
def _erase_past(context: Context, op: ops.ErasePast) -> Steps[int]:
    most = 2**62 if op.limit is None else op.limit
    # Without this, an earlier moment would look as if what has changed since had never existed.
    if op.shape is None:
        yield Statement(
            "UPDATE botwire_namespaces SET past_since = ?, past_began = ? WHERE namespace = ?",
            (context.revision, context.now, context.namespace),
        )
        return (yield from _erase(context, "namespace = ?", most))
    condition, names = "namespace = ?", []
    if op.name is not None:
        condition, names = "namespace = ? AND {name} = ?", [to_bytes(op.name)]
    deleted = yield from _erase(context, condition, most, *names, shape=op.shape)
    if deleted and context.keeps_past:
        context.change(op.shape, past_rows.ERASE, to_bytes(op.name or ""))
    return deleted


# --- reading --------------------------------------------------------------------------------


@handles(ops.FindRevision)
def _find_revision(context: Context, op: ops.FindRevision) -> Steps[int]:
    revision, _ = yield from past_rows.find(context, ops.Moment(time=op.time))
    return revision


@handles(ops.ListChanged)
def _list_changed(context: Context, op: ops.ListChanged) -> Steps[ops.ChangedPage]:
    revision, _ = yield from past_rows.find(context, op.at)
    if not op.prefix:  # everything of this shape, including what was erased
        yield from past_rows.refuse_erased(context, revision, op.shape)
    table = past_rows.THINGS[op.shape]
    column = past_rows.named_by(table)
    condition, between = bounds(column, op.prefix, op.after)
    here = (context.namespace, *between, revision)
    rows = yield Statement(
        f"SELECT {column} FROM botwire_{table} WHERE namespace = ?{condition} "
        f"AND {past_rows.KEPT[table].written} > ? "
        f"UNION SELECT {column} FROM botwire_past_{table} WHERE namespace = ?{condition} "
        f"AND until > ? ORDER BY {column} LIMIT ?",
        (*here, *here, op.limit + 1),
    )
    names = tuple([from_bytes(name) for (name,) in rows[: op.limit]])
    return ops.ChangedPage(names, len(rows) > op.limit)
