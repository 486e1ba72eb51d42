"""The operations on keys in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import pages, past_rows, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.pages import Source
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, bounds, count_in, sum_of
from botwire.engines.sql.tables import THIS_KEY
from botwire.errors import ConflictError, InvalidRequestError
from botwire.exact import Json
from botwire.names import from_bytes, to_bytes


@handles(ops.GetKeys)
def _get_keys(context: Context, op: ops.GetKeys) -> Steps[tuple[ops.KeyEntry | None, ...]]:
    if len(op.keys) == 1:
        if context.limit is not None:
            context.rest()
        rows = yield Statement(
            f"SELECT {tables.KEY_ENTRY} FROM botwire_keys WHERE {THIS_KEY} AND {tables.LIVE}",
            (context.namespace, to_bytes(op.keys[0]), context.now),
        )
        return (tables.key_entry(rows[0]) if rows else None,)
    source = _source(f"WHERE namespace = ? AND {tables.LIVE}", (context.namespace, context.now))
    names = [to_bytes(key) for key in op.keys]
    rows, fitting = yield from pages.read_named(context, source, "key", names, context.rest())
    if fitting < len(names):
        raise context.too_large()
    entries = {row[0]: tables.key_entry(row) for row in rows}
    return tuple([entries.get(name) for name in names])


def _source(where: str, parameters: Sequence[Any]) -> Source:
    return Source(f"SELECT {tables.KEY_ENTRY}", f"FROM botwire_keys {where}", parameters, sizes.KEY)


def _expect(context: Context, key: str, version: int | None) -> Steps[None]:
    if version is None:
        return

    def compare(rows: Rows) -> None:
        current = rows[0][0] if rows else 0
        if current != version:
            found = f"has version {current}" if current else "does not exist"
            wanted = f"to have version {version}" if version else "not to exist"
            raise ConflictError(
                f"key {key!r:.80} {found}, but was expected {wanted}: read it again and retry"
            )

    yield Statement(
        f"SELECT version FROM botwire_keys WHERE {THIS_KEY} AND {tables.LIVE}",
        (context.namespace, to_bytes(key), context.now),
        then=compare,
    )


@handles(ops.CheckKey)
def _check_key(context: Context, op: ops.CheckKey) -> Steps[None]:
    yield from _expect(context, op.key, op.version)


@handles(ops.PutKey)
def _put_key(context: Context, op: ops.PutKey) -> Steps[int]:
    yield from _expect(context, op.key, op.if_version)
    return (yield from _put(context, to_bytes(op.key), op.value, context.expiry(op.ttl)))


def _put(context: Context, key: bytes, value: ops.Value, expires_at: int | None) -> Steps[int]:
    version = context.change("key", "put", key)
    now = context.now
    author = context.author
    context.grow([sizes.key(key, value, author)])
    yield from past_rows.keep(context, "keys", THIS_KEY, (context.namespace, key))
    row = tables.key_row(context.namespace, key, value, author, version, now, now, expires_at)
    yield Statement(tables.PUT_KEY, row, then=context.count_replaced)
    return version


@handles(ops.IncrementKey)
def _increment_key(context: Context, op: ops.IncrementKey) -> Steps[int]:
    (entry,) = yield from _get_keys(context, ops.GetKeys((op.key,)))
    start: Any = 0
    if entry is not None:
        start = entry.value.value if isinstance(entry.value, Json) else entry.value
        if isinstance(start, bool) or not isinstance(start, int):
            raise InvalidRequestError(
                f"key {op.key!r:.80} holds a {type(start).__name__}, and only an int can be "
                "incremented"
            )
    total: int = start + op.by
    value = Json.of(total, f"the sum in key {op.key!r:.80}")
    yield from _put(context, to_bytes(op.key), value, entry.expires_at if entry else None)
    return total


@handles(ops.DeleteKey)
def _delete_key(context: Context, op: ops.DeleteKey) -> Steps[bool]:
    yield from _expect(context, op.key, op.if_version)
    key = to_bytes(op.key)
    live, parameters = f"{THIS_KEY} AND {tables.LIVE}", (context.namespace, key, context.now)
    yield from past_rows.keep(context, "keys", live, parameters)
    rows = yield Statement(
        f"DELETE FROM botwire_keys WHERE {live} RETURNING {sizes.KEY}", parameters
    )
    if rows:
        context.grown -= rows[0][0]
        context.change("key", "delete", key)
    return bool(rows)


@handles(ops.ListKeys)
def _list_keys(context: Context, op: ops.ListKeys) -> Steps[ops.KeyPage]:
    condition, between = bounds("key", op.prefix, op.after)
    rows = yield Statement(
        f"SELECT key FROM botwire_keys WHERE namespace = ?{condition} AND {tables.LIVE} "
        "ORDER BY key LIMIT ?",
        (context.namespace, *between, context.now, op.limit + 1),
    )
    return ops.KeyPage(
        tuple([from_bytes(row[0]) for row in rows[: op.limit]]), len(rows) > op.limit
    )


@handles(ops.ListKeyStats)
def _list_key_stats(context: Context, op: ops.ListKeyStats) -> Steps[ops.KeyStatPage]:
    condition, between = bounds("key", op.prefix, op.after)
    rows = yield Statement(
        f"SELECT {tables.KEY_STAT} FROM botwire_keys WHERE namespace = ?{condition} "
        f"AND {tables.LIVE} ORDER BY key LIMIT ?",
        (context.namespace, *between, context.now, op.limit + 1),
    )
    stats = tuple([tables.key_stat(row) for row in rows[: op.limit]])
    return ops.KeyStatPage(stats, len(rows) > op.limit)


@handles(ops.ScanKeys)
def _scan_keys(context: Context, op: ops.ScanKeys) -> Steps[ops.EntryPage]:
    condition, between = bounds("key", op.prefix, op.after)
    if op.before is not None:
        condition += " AND key < ?"
        between.append(to_bytes(op.before))
    source = _source(
        f"WHERE namespace = ?{condition} AND {tables.LIVE}",
        (context.namespace, *between, context.now),
    )
    order = f"ORDER BY key {'DESC' if op.descending else 'ASC'}"
    rows, more = yield from pages.read_page(context, source, order, op.limit)
    return ops.EntryPage(tuple([tables.key_entry(row) for row in rows]), more)


@handles(ops.CountKeys)
def _count_keys(context: Context, op: ops.CountKeys) -> Steps[int]:
    condition, between = bounds("key", op.prefix)
    rows = yield Statement(
        f"SELECT count(*) FROM botwire_keys WHERE namespace = ?{condition} AND {tables.LIVE}",
        (context.namespace, *between, context.now),
    )
    return count_in(rows)


@handles(ops.ClearKeys)
def _clear_keys(context: Context, op: ops.ClearKeys) -> Steps[int]:
    condition, between = bounds("key", op.prefix)
    if op.limit is None:
        count = yield from _clear_all_keys(context, condition, between)
    else:
        # Leave expired keys to the sweep, so that a caller that repeats this by the count finishes.
        first = (
            "namespace = ? AND key IN (SELECT key FROM botwire_keys "
            f"WHERE namespace = ?{condition} AND {tables.LIVE} ORDER BY key LIMIT ?)"
        )
        parameters = (context.namespace, context.namespace, *between, context.now, op.limit)
        yield from past_rows.keep(context, "keys", first, parameters)
        rows = yield Statement(
            f"DELETE FROM botwire_keys WHERE {first} RETURNING {sizes.KEY}", parameters
        )
        count = len(rows)
        context.grown -= sum_of(rows)
    if count:
        context.change("key", "clear", to_bytes(op.prefix))
    return count


def _clear_all_keys(context: Context, condition: str, between: Sequence[Any]) -> Steps[int]:
    rows = yield Statement(
        f"SELECT COALESCE(sum(CASE WHEN {tables.LIVE} THEN 1 ELSE 0 END), 0), "
        f"COALESCE(sum({sizes.KEY}), 0) FROM botwire_keys WHERE namespace = ?{condition}",
        (context.now, context.namespace, *between),
    )
    count: int
    count, size = rows[0]
    context.grown -= size
    every, parameters = f"namespace = ?{condition}", (context.namespace, *between)
    yield from past_rows.keep(context, "keys", every, parameters)
    yield Statement(f"DELETE FROM botwire_keys WHERE {every}", parameters)
    return count


def sweep(context: Context, most: int) -> Steps[int]:
    """Deletes keys of the namespace that have expired; returns how many."""
    # Where the past is kept, two statements must select the same keys.
    order = "ORDER BY expires_at, key " if context.keeps_past else ""
    expired = (
        "namespace = ? AND key IN "
        f"(SELECT key FROM botwire_keys WHERE namespace = ? AND expires_at <= ? {order}LIMIT ?)"
    )
    parameters = (context.namespace, context.namespace, context.now, most)
    yield from past_rows.keep(context, "keys", expired, parameters)
    rows = yield Statement(
        f"DELETE FROM botwire_keys WHERE {expired} RETURNING {sizes.KEY}", parameters
    )
    context.grown -= sum_of(rows)
    return len(rows)
