"""Listing and describing histories in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import filters
from botwire import operations as ops
from botwire.engines.sql import tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import (
    EXISTS,
    STAT,
    Stat,
    metadata_of,
    read_row,
)
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, bounds
from botwire.names import from_bytes, to_bytes


@handles(ops.StatHistory)
def _stat_history(context: Context, op: ops.StatHistory) -> Steps[ops.HistoryStat]:
    stat = yield from read_row(context, to_bytes(op.name))
    return _public_stat((to_bytes(op.name), *stat.on(context.now)))


def _public_stat(row: Sequence[Any]) -> ops.HistoryStat:
    """Returns the public stat for a row that begins with the history's name."""
    stat = Stat(*row[1:])
    return ops.HistoryStat(
        *(
            from_bytes(row[0]),
            stat.size,
            stat.archived,
            stat.last_seq,
            stat.created_at,
            stat.updated_at,
        ),
        metadata=metadata_of(stat.metadata),
        metadata_version=stat.metadata_version,
        expires_at=stat.expires_at,
    )


_SCANNED = 1_000  # histories that one statement reads if there is a filter


@handles(ops.ListHistories)
def _list_histories(context: Context, op: ops.ListHistories) -> Steps[ops.HistoryPage]:
    found: Rows = []
    if op.where is None:
        found = yield from _scan(context, op, op.limit + 1)
    else:
        test = filters.read_filter(op.where)
        condition = "" if test({}) else " AND metadata IS NOT NULL"
        following = op
        while len(found) <= op.limit:
            rows = yield from _scan(context, following, _SCANNED, condition)
            metadata = filters.decode_all([row[_METADATA] or "{}" for row in rows])
            found += [row for row, value in zip(rows, metadata, strict=True) if test(value)]
            if len(rows) < _SCANNED:
                break
            last = _public_stat(rows[-1])
            following = following.following(ops.HistoryPage((last,), more=True)) or op
    stats = tuple([_public_stat(row) for row in found[: op.limit]])
    return ops.HistoryPage(stats, len(found) > op.limit)


_METADATA = 1 + STAT.split(", ").index("metadata")


def _scan(context: Context, op: ops.ListHistories, limit: int, also: str = "") -> Steps[Rows]:
    """Returns the names and the rows of the next histories, before any filter on metadata."""
    by_time = op.order == "updated"
    beyond, direction = ("<", "DESC") if op.descending else (">", "ASC")
    condition, parameters = bounds(
        "history", op.prefix, None if by_time or op.descending else op.after
    )
    if op.after is not None and by_time:
        # Only the first comparison lets the scan start inside the index on times.
        condition += (
            f" AND updated_at {beyond}= ? AND (updated_at {beyond} ? OR history {beyond} ?)"
        )
        parameters += [op.after_time, op.after_time, to_bytes(op.after)]  # type: ignore[list-item]
    elif op.after is not None and op.descending:
        condition += " AND history < ?"
        parameters.append(to_bytes(op.after))
    order = f"updated_at {direction}, history {direction}" if by_time else f"history {direction}"
    return (
        yield Statement(
            f"SELECT history, {STAT} FROM botwire_histories WHERE namespace = ?{condition}{also} "
            f"AND {EXISTS} AND {tables.LIVE} ORDER BY {order} LIMIT ?",
            (context.namespace, *parameters, context.now, limit),
        )
    )
