"""Reading records in SQL: applying a selection, and listing scopes, tags and collections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from botwire import filters, scopes
from botwire import operations as ops
from botwire.engines.sql import pages, sizes, tables
from botwire.engines.sql.collection import (
    Collection,
    read_collection,
    read_dimension,
)
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.plans import SelectedRecord
from botwire.engines.sql.steps import Context, Statement, Steps, marks
from botwire.engines.sql.tables import LIVE_RECORDS
from botwire.exact import decode_stored
from botwire.names import from_bytes, prefix_end, to_bytes

_PAGE = 500  # records read at a time if SQL cannot apply a filter
_PAGE_BYTES = 32 * 1024 * 1024  # about how many bytes these records may hold


def conditions(where: ops.Selection) -> tuple[str, list[Any]]:
    """Returns SQL for the part of a selection that SQL can test, to append to a condition."""
    sql = ""
    parameters: list[Any] = []
    if where.ids is not None:
        sql += f" AND id IN ({marks(where.ids)})" if where.ids else " AND 1 = 0"
        parameters += [to_bytes(id) for id in where.ids]
    if where.scope != scopes.ROOT:
        first, after = scopes.below(where.scope)
        sql += " AND (scope = ? OR (scope >= ? AND scope < ?))"
        parameters += [to_bytes(where.scope), first, after]
    if where.created_after is not None:
        sql += " AND created_at > ?"
        parameters.append(where.created_after)
    if where.created_before is not None:
        sql += " AND created_at < ?"
        parameters.append(where.created_before)
    return sql, parameters


Passing = Callable[[Sequence[Any]], list[Any]]
"""Returns the rows that pass a test; each row ends with the texts of its tags and metadata."""


def tester(where: ops.Selection) -> Passing | None:
    """Returns the test of tags and metadata, or None if SQL tests everything."""
    if where.tags is None and where.filter is None:
        return None
    tags = None if where.tags is None else set(where.tags)
    condition = None if where.filter is None else filters.read_filter(where.filter)

    def passing(rows: Sequence[Any]) -> list[Any]:
        if tags is not None:
            rows = [row for row in rows if not tags.isdisjoint(decode_stored(row[-2]))]
        if condition is None:
            return list(rows)
        return [
            row
            for row, value in zip(rows, filters.decode_all([row[-1] for row in rows]), strict=True)
            if condition(value)
        ]

    return passing


def matching(
    context: Context,
    collection: bytes,
    where: ops.Selection,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> Steps[list[SelectedRecord]]:
    """Returns a `SelectedRecord` for each selected record, newest first.

    Without a limit, records with the same time are in no particular order.
    """
    sql, parameters = conditions(where)
    passing = tester(where)
    here = [context.namespace, collection, context.now, *parameters]
    # Walks the index on times backwards; another order of ids needs a sort within each moment.
    direction, beyond = ("DESC", "<") if limit is None else ("ASC", ">")
    order = f"ORDER BY created_at DESC, id {direction} LIMIT ?"
    if passing is None:
        rows = yield Statement(
            f"SELECT id, created_at, tags FROM botwire_records WHERE {LIVE_RECORDS}{sql} {order} "
            "OFFSET ?",
            (*here, 2**62 if limit is None else limit, offset),
        )
        return [SelectedRecord(*row) for row in rows]
    found: list[SelectedRecord] = []
    size = max(1, min(_PAGE, _PAGE_BYTES // max(1, (yield from pages.largest(context)))))
    wanted = None if limit is None else offset + limit
    after: tuple[int, bytes] | None = None
    while wanted is None or len(found) < wanted:
        page, bounds = "", []
        if after is not None:
            # Only the first comparison lets the scan start inside the index on times.
            page = f" AND created_at <= ? AND (created_at < ? OR id {beyond} ?)"
            bounds = [after[0], *after]
        rows = yield Statement(
            "SELECT id, created_at, tags, metadata FROM botwire_records "
            f"WHERE {LIVE_RECORDS}{sql}{page} {order}",
            (*here, *bounds, size),
        )
        found += [SelectedRecord(*row[:3]) for row in passing(rows)]
        if len(rows) < size:
            break
        after = (rows[-1][1], rows[-1][0])
    return found[offset:wanted]


def fetch(
    context: Context, collection: bytes, ids: Sequence[bytes], room: int | None, *, embeddings: bool
) -> Steps[list[ops.RecordEntry | None]]:
    """Returns a `RecordEntry` or None for each of the first ids, as many as fit.

    Args:
        context: The batch's context.
        collection: The records' collection.
        ids: The ids.
        room: The most bytes that the records may hold; None means no limit.
        embeddings: Whether to read embeddings.
    """
    source = pages.Source(
        f"SELECT {tables.record_columns(embeddings=embeddings)}",
        f"FROM botwire_records WHERE {LIVE_RECORDS}",
        (context.namespace, collection, context.now),
        sizes.RECORD if embeddings else sizes.BARE_RECORD,
    )
    rows, fitting = yield from pages.read_named(context, source, "id", ids, room)
    entries = {row[0]: tables.record_entry(row) for row in rows}
    return [entries.get(id) for id in ids[:fitting]]


def fetch_all(
    context: Context, collection: bytes, ids: Sequence[bytes], *, embeddings: bool
) -> Steps[list[ops.RecordEntry | None]]:
    """Returns the same as `fetch`, for all ids.

    Raises:
        PayloadTooLargeError: The records hold more than the batch may answer.
    """
    found = yield from fetch(context, collection, ids, context.rest(), embeddings=embeddings)
    if len(found) < len(ids):
        raise context.too_large()
    return found


@handles(ops.GetRecords)
def _get_records(context: Context, op: ops.GetRecords) -> Steps[tuple[ops.RecordEntry | None, ...]]:
    ids = [to_bytes(id) for id in op.ids]
    collection = to_bytes(op.collection)
    return tuple((yield from fetch_all(context, collection, ids, embeddings=op.embeddings)))


@handles(ops.ListRecords)
def _list_records(context: Context, op: ops.ListRecords) -> Steps[ops.RecordPage]:
    collection = to_bytes(op.collection)
    found = yield from matching(context, collection, op.where, limit=op.limit + 1, offset=op.offset)
    ids = [row.id for row in found[: op.limit]]
    entries = yield from fetch(context, collection, ids, context.room(), embeddings=op.embeddings)
    return ops.RecordPage(tuple(filter(None, entries)), len(found) > len(entries))


@handles(ops.StatRecords)
def _stat_records(context: Context, op: ops.StatRecords) -> Steps[ops.RecordStat]:
    collection: Collection = yield from read_collection(context, op.collection)
    dimension = yield from read_dimension(context, collection)
    if tester(op.where) is None:
        sql, parameters = conditions(op.where)
        rows = yield Statement(
            "SELECT count(*), min(created_at), max(created_at) FROM botwire_records "
            f"WHERE {LIVE_RECORDS}{sql}",
            (context.namespace, collection.name, context.now, *parameters),
        )
        count, oldest, newest = rows[0]
        return ops.RecordStat(count, oldest, newest, dimension)
    found = yield from matching(context, collection.name, op.where)
    if not found:
        return ops.RecordStat(0, None, None, dimension)
    return ops.RecordStat(len(found), found[-1].created_at, found[0].created_at, dimension)


@handles(ops.ListScopes)
def _list_scopes(context: Context, op: ops.ListScopes) -> Steps[tuple[str, ...]]:
    first, after = scopes.below(op.parent)
    rows = yield Statement(
        "SELECT DISTINCT scope FROM botwire_records "
        f"WHERE {LIVE_RECORDS} AND scope >= ? AND scope < ?",
        (context.namespace, to_bytes(op.collection), context.now, first, after),
    )
    return scopes.children(op.parent, [from_bytes(row[0]) for row in rows])


@handles(ops.ListTags)
def _list_tags(context: Context, op: ops.ListTags) -> Steps[tuple[ops.TagCount, ...]]:
    collection = to_bytes(op.collection)
    if tester(op.where) is None:
        sql, parameters = conditions(op.where)
        rows = yield Statement(
            f"SELECT tags, count(*) FROM botwire_records WHERE {LIVE_RECORDS}{sql} GROUP BY tags",
            (context.namespace, collection, context.now, *parameters),
        )
    else:
        found = yield from matching(context, collection, op.where)
        rows = [(row.tags, 1) for row in found]
    counts: dict[str, int] = {}
    for text, count in rows:
        for tag in decode_stored(text):
            counts[tag] = counts.get(tag, 0) + count
    return tuple([ops.TagCount(tag, counts[tag]) for tag in sorted(counts)])


HOLDS_RECORDS = (
    "size > 0 AND (expiring = 0 OR EXISTS (SELECT 1 FROM botwire_records r "
    f"WHERE r.namespace = c.namespace AND r.collection = c.collection AND {tables.LIVE}))"
)
"""The condition that a collection ``c`` holds records at a given time."""


@handles(ops.ListCollections)
def _list_collections(context: Context, op: ops.ListCollections) -> Steps[ops.CollectionPage]:
    low, end = to_bytes(op.prefix), prefix_end(to_bytes(op.prefix))
    sql, parameters = " AND collection >= ?", [low]
    if end is not None:
        sql, parameters = sql + " AND collection < ?", [*parameters, end]
    if op.after is not None:
        sql, parameters = sql + " AND collection > ?", [*parameters, to_bytes(op.after)]
    rows = yield Statement(
        f"SELECT collection FROM botwire_collections c WHERE namespace = ?{sql} "
        f"AND {HOLDS_RECORDS} ORDER BY collection LIMIT ?",
        (context.namespace, *parameters, context.now, op.limit + 1),
    )
    names = [from_bytes(row[0]) for row in rows]
    return ops.CollectionPage(tuple(names[: op.limit]), len(names) > op.limit)
