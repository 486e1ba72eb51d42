"""What listing the versions of a key, an item or a record means in SQL; see `past_rows`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import pages, past_rows, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import items_of, read_row
from botwire.engines.sql.steps import Context, Rows, Statement, Steps
from botwire.engines.sql.tables import IN_COLLECTION, IN_HISTORY, THIS_KEY
from botwire.exact import Json
from botwire.names import to_bytes
from botwire.operations.authors import from_stored

_Source = tuple[str, Sequence[Any]]
"""What to select from and under which condition, with its parameters."""


def _read(
    context: Context,
    columns: str,
    present: _Source,
    past: _Source | None,
    before: int | None,
    limit: int,
) -> Steps[tuple[Rows, bool]]:
    """Returns a page of rows, the newest first, and whether there are more.

    A row has the given columns, the revision that wrote it, and the revision until which it was so.

    Args:
        context: The batch's context.
        columns: The columns to read.
        present: The rows that are there now.
        past: The rows that were; None if the past is not kept.
        before: Only rows that were written before this revision.
        limit: The most rows to return.
    """
    most = 2**62 if before is None else before
    parts = []
    parameters: list[Any] = []
    for source, until in ((present, "CAST(NULL AS BIGINT)"), (past, "until")):
        if source is not None:
            parts.append(
                f"SELECT {columns}, {tables.WRITTEN} AS written, {until} AS until "
                f"FROM {source[0]} AND {tables.WRITTEN} < ?"
            )
            parameters += [*source[1], most]
    sql = f"{' UNION ALL '.join(parts)} ORDER BY written DESC LIMIT ?"
    rows = yield Statement(sql, (*parameters, limit + 1))
    return pages.cut(rows, limit, context.room())


def _until(until: int | None, past: past_rows.Past) -> int | None:
    """Returns the revision that replaced a row; what has expired was replaced by none."""
    return None if until is None or until > past.revision else until


_KEY = "value_json, value_bytes, created_at, updated_at, expires_at, author"


@handles(ops.ReadVersions)
def _read_versions(context: Context, op: ops.ReadVersions) -> Steps[ops.VersionPage]:
    past = yield from past_rows.read_past(context)
    here = f"WHERE {THIS_KEY}"
    names = (context.namespace, to_bytes(op.key))
    # What has expired is a past value as well, swept or not.
    now = 0 if past.is_kept else context.now
    rows, more = yield from _read(
        context,
        _KEY,
        (f"botwire_keys {here} AND {tables.LIVE}", (*names, now)),
        (f"botwire_past_keys {here}", names) if past.is_kept else None,
        op.before,
        op.limit,
    )
    versions = [
        ops.KeyVersion(
            version,
            raw if text is None else Json.from_text(text),
            created_at,
            updated_at,
            expires_at,
            author and from_stored(author),
            _until(until, past),
        )
        for text, raw, created_at, updated_at, expires_at, author, version, until in rows
    ]
    return ops.VersionPage(tuple(versions), more)


@handles(ops.ReadItemVersions)
def _read_item_versions(context: Context, op: ops.ReadItemVersions) -> Steps[ops.ItemVersionPage]:
    past = yield from past_rows.read_past(context)
    history = to_bytes(op.name)
    stat = yield from read_row(context, history)
    column, given = ("seq", op.seq) if op.id is None else ("id", to_bytes(op.id))
    table, parameters = items_of(context, history, stat.shared)
    dead = 0 if past.is_kept else stat.on(context.now).dead_seq
    rows, more = yield from _read(
        context,
        tables.HISTORY_ITEM,
        (f"{table} WHERE {column} = ? AND seq > ?", (*parameters, given, dead)),
        (f"botwire_past_items WHERE {IN_HISTORY} AND {column} = ?",
         (context.namespace, history, given)) if past.is_kept else None,
        op.before,
        op.limit,
    )  # fmt: skip
    versions = [
        ops.ItemVersion(version, tables.history_item(tuple(item)), _until(until, past))
        for *item, version, until in rows
    ]
    return ops.ItemVersionPage(tuple(versions), more)


@handles(ops.ReadRecordVersions)
def _read_record_versions(
    context: Context, op: ops.ReadRecordVersions
) -> Steps[ops.RecordVersionPage]:
    past = yield from past_rows.read_past(context)
    here = f"WHERE {IN_COLLECTION} AND id = ?"
    names = (context.namespace, to_bytes(op.collection), to_bytes(op.id))
    now = 0 if past.is_kept else context.now
    rows, more = yield from _read(
        context,
        tables.record_columns(embeddings=op.embeddings),
        (f"botwire_records {here} AND {tables.LIVE}", (*names, now)),
        (f"botwire_past_records {here}", names) if past.is_kept else None,
        op.before,
        op.limit,
    )
    versions = [
        ops.RecordVersion(version, tables.record_entry(tuple(record)), _until(until, past))
        for *record, version, until in rows
    ]
    return ops.RecordVersionPage(tuple(versions), more)
