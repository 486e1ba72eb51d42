"""Reading whole namespaces in SQL, page by page; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import history_rows, pages, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.pages import Source
from botwire.engines.sql.steps import Context, Statement, Steps, bounds, marks
from botwire.engines.sql.tables import LIVE_RECORDS
from botwire.names import from_bytes, to_bytes


def _named(column: str, given: tuple[str, ...] | None) -> tuple[str, list[bytes]]:
    if given is None:
        return "", []
    listed = [to_bytes(name) for name in given]
    return f" AND {column} IN ({marks(listed)})" if listed else " AND 1 = 0", listed


@handles(ops.DumpHistories)
def _dump_histories(context: Context, op: ops.DumpHistories) -> Steps[ops.HistoryStates]:
    condition, parameters = bounds("history", "", op.after)
    only, named = _named("history", op.names)
    rows = yield Statement(
        f"SELECT history, {history_rows.STAT} FROM botwire_histories "
        f"WHERE namespace = ?{condition}{only} ORDER BY history LIMIT ?",
        (context.namespace, *parameters, *named, op.limit + 1),
    )
    states = [
        history_rows.state_of(from_bytes(name), history_rows.Stat(*row).on(context.now))
        for name, *row in rows[: op.limit]
    ]
    return ops.HistoryStates(tuple(states), len(rows) > op.limit)


@handles(ops.DumpCollections)
def _dump_collections(context: Context, op: ops.DumpCollections) -> Steps[ops.CollectionStates]:
    condition, parameters = bounds("collection", "", op.after)
    only, named = _named("collection", op.names)
    rows = yield Statement(
        "SELECT collection, dimension FROM botwire_collections "
        f"WHERE namespace = ?{condition}{only} ORDER BY collection LIMIT ?",
        (context.namespace, *parameters, *named, op.limit + 1),
    )
    states = [ops.CollectionState(from_bytes(row[0]), row[1]) for row in rows[: op.limit]]
    return ops.CollectionStates(tuple(states), len(rows) > op.limit)


@handles(ops.DumpRecords)
def _dump_records(context: Context, op: ops.DumpRecords) -> Steps[ops.RecordPage]:
    condition, parameters = bounds("id", "", op.after)
    return (yield from _records(context, op, condition, parameters, "ORDER BY id"))


@handles(ops.DumpRecordsSince)
def _dump_records_since(context: Context, op: ops.DumpRecordsSince) -> Steps[ops.RecordPage]:
    condition = " AND version > ?"
    parameters: tuple[Any, ...] = (op.since,)
    if op.after is not None:
        condition, parameters = " AND (version, id) > (?, ?)", (op.since, to_bytes(op.after))
    return (yield from _records(context, op, condition, parameters, "ORDER BY version, id"))


def _records(
    context: Context,
    op: ops.DumpRecords | ops.DumpRecordsSince,
    condition: str,
    parameters: Sequence[Any],
    order: str,
) -> Steps[ops.RecordPage]:
    source = Source(
        f"SELECT {tables.RECORD_ENTRY}",
        f"FROM botwire_records WHERE {LIVE_RECORDS}{condition}",
        (context.namespace, to_bytes(op.collection), context.now, *parameters),
        sizes.RECORD,
    )
    rows, more = yield from pages.read_page(context, source, order, op.limit)
    return ops.RecordPage(tuple([tables.record_entry(row) for row in rows]), more)


@handles(ops.DumpRecordIds)
def _dump_record_ids(context: Context, op: ops.DumpRecordIds) -> Steps[ops.IdPage]:
    condition, parameters = bounds("id", "", op.after)
    rows = yield Statement(
        f"SELECT id FROM botwire_records WHERE {LIVE_RECORDS}{condition} ORDER BY id LIMIT ?",
        (context.namespace, to_bytes(op.collection), context.now, *parameters, op.limit + 1),
    )
    ids = tuple([from_bytes(id) for (id,) in rows[: op.limit]])
    return ops.IdPage(ids, len(rows) > op.limit)
