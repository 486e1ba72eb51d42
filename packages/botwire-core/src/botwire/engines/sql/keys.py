"""What the operations on keys mean in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import pages, sizes
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.pages import Source
from botwire.engines.sql.steps import Rows, Scope, Statement, Steps, bounds, count_in
from botwire.errors import ConflictError, InvalidRequestError
from botwire.exact import Json
from botwire.names import from_bytes, to_bytes

_LIVE = "(expires_at IS NULL OR expires_at > ?)"
_ENTRY = "key, value_json, value_bytes, version, created_at, updated_at, expires_at"


def _entry(row: tuple[Any, ...]) -> ops.KeyEntry:
    key, text, raw, version, created_at, updated_at, expires_at = row
    value = Json.from_text(text) if text is not None else raw
    return ops.KeyEntry(from_bytes(key), value, version, created_at, updated_at, expires_at)


@handles(ops.GetKeys)
def _get_keys(scope: Scope, op: ops.GetKeys) -> Steps[tuple[ops.KeyEntry | None, ...]]:
    if len(op.keys) == 1:
        if scope.limit is not None:
            scope.rest()
        rows = yield Statement(
            f"SELECT {_ENTRY} FROM botwire_keys WHERE namespace = ? AND key = ? AND {_LIVE}",
            (scope.namespace, to_bytes(op.keys[0]), scope.now),
        )
        return (_entry(rows[0]) if rows else None,)
    source = _source(f"WHERE namespace = ? AND {_LIVE}", (scope.namespace, scope.now))
    names = [to_bytes(key) for key in op.keys]
    rows, fitting = yield from pages.read_named(scope, source, "key", names, scope.rest())
    if fitting < len(names):
        raise scope.too_large()
    found = {row[0]: _entry(row) for row in rows}
    return tuple([found.get(name) for name in names])


def _source(where: str, parameters: Sequence[Any]) -> Source:
    return Source(f"SELECT {_ENTRY}", f"FROM botwire_keys {where}", parameters, sizes.KEY)


def _expect(scope: Scope, key: str, version: int | None) -> Steps[None]:
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
        f"SELECT version FROM botwire_keys WHERE namespace = ? AND key = ? AND {_LIVE}",
        (scope.namespace, to_bytes(key), scope.now),
        then=compare,
    )


@handles(ops.CheckKey)
def _check_key(scope: Scope, op: ops.CheckKey) -> Steps[None]:
    yield from _expect(scope, op.key, op.version)


@handles(ops.PutKey)
def _put_key(scope: Scope, op: ops.PutKey) -> Steps[int]:
    yield from _expect(scope, op.key, op.if_version)
    expires_at = None if op.ttl is None else scope.now + max(1, round(op.ttl * 1_000_000))
    return (yield from _put(scope, to_bytes(op.key), op.value, expires_at))


def _put(scope: Scope, key: bytes, value: ops.Value, expires_at: int | None) -> Steps[int]:
    version = scope.change("key", "put", key)
    is_json = isinstance(value, Json)
    scope.grow([sizes.key(key, value)])
    yield Statement(
        "INSERT INTO botwire_keys (namespace, key, value_json, value_bytes, version, "
        "created_at, updated_at, expires_at, replaced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) "
        "ON CONFLICT (namespace, key) DO UPDATE SET "
        f"replaced = {sizes.STORED_KEY}, "
        "value_json = excluded.value_json, value_bytes = excluded.value_bytes, "
        "version = excluded.version, updated_at = excluded.updated_at, "
        "expires_at = excluded.expires_at, "
        # A key that expired is gone: what is set next is a new key.
        "created_at = CASE WHEN botwire_keys.expires_at <= excluded.updated_at "
        "THEN excluded.created_at ELSE botwire_keys.created_at END "
        "RETURNING replaced",
        (
            scope.namespace,
            key,
            value.text if isinstance(value, Json) else None,
            None if is_json else value,
            version,
            scope.now,
            scope.now,
            expires_at,
        ),
        then=scope.count_replaced,
    )
    return version


@handles(ops.IncrementKey)
def _increment_key(scope: Scope, op: ops.IncrementKey) -> Steps[int]:
    (entry,) = yield from _get_keys(scope, ops.GetKeys((op.key,)))
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
    yield from _put(scope, to_bytes(op.key), value, entry.expires_at if entry else None)
    return total


@handles(ops.DeleteKey)
def _delete_key(scope: Scope, op: ops.DeleteKey) -> Steps[bool]:
    yield from _expect(scope, op.key, op.if_version)
    key = to_bytes(op.key)
    rows = yield Statement(
        f"DELETE FROM botwire_keys WHERE namespace = ? AND key = ? AND {_LIVE} "
        f"RETURNING {sizes.KEY}",
        (scope.namespace, key, scope.now),
    )
    if rows:
        scope.grown -= rows[0][0]
        scope.change("key", "delete", key)
    return bool(rows)


@handles(ops.ListKeys)
def _list_keys(scope: Scope, op: ops.ListKeys) -> Steps[ops.KeyPage]:
    condition, between = bounds("key", op.prefix, op.after)
    rows = yield Statement(
        f"SELECT key FROM botwire_keys WHERE namespace = ?{condition} AND {_LIVE} "
        "ORDER BY key LIMIT ?",
        (scope.namespace, *between, scope.now, op.limit + 1),
    )
    return ops.KeyPage(
        tuple([from_bytes(row[0]) for row in rows[: op.limit]]), len(rows) > op.limit
    )


@handles(ops.ScanKeys)
def _scan_keys(scope: Scope, op: ops.ScanKeys) -> Steps[ops.EntryPage]:
    condition, between = bounds("key", op.prefix, op.after)
    if op.before is not None:
        condition += " AND key < ?"
        between.append(to_bytes(op.before))
    source = _source(
        f"WHERE namespace = ?{condition} AND {_LIVE}", (scope.namespace, *between, scope.now)
    )
    order = f"ORDER BY key {'DESC' if op.descending else 'ASC'}"
    rows, more = yield from pages.read_page(scope, source, order, op.limit)
    return ops.EntryPage(tuple([_entry(row) for row in rows]), more)


@handles(ops.CountKeys)
def _count_keys(scope: Scope, op: ops.CountKeys) -> Steps[int]:
    condition, between = bounds("key", op.prefix)
    rows = yield Statement(
        f"SELECT count(*) FROM botwire_keys WHERE namespace = ?{condition} AND {_LIVE}",
        (scope.namespace, *between, scope.now),
    )
    return count_in(rows)


@handles(ops.ClearKeys)
def _clear_keys(scope: Scope, op: ops.ClearKeys) -> Steps[int]:
    condition, between = bounds("key", op.prefix)
    if op.limit is None:
        count = yield from _clear_all_keys(scope, condition, between)
    else:
        # What has expired is left to the sweep, so that a caller who counts comes to an end.
        rows = yield Statement(
            "DELETE FROM botwire_keys WHERE namespace = ? AND key IN (SELECT key FROM botwire_keys "
            f"WHERE namespace = ?{condition} AND {_LIVE} ORDER BY key LIMIT ?) "
            f"RETURNING {sizes.KEY}",
            (scope.namespace, scope.namespace, *between, scope.now, op.limit),
        )
        count = len(rows)
        scope.grown -= sum(size for (size,) in rows)
    if count:
        scope.change("key", "clear", to_bytes(op.prefix))
    return count


def _clear_all_keys(scope: Scope, condition: str, between: Sequence[Any]) -> Steps[int]:
    rows = yield Statement(
        f"SELECT COALESCE(sum(CASE WHEN {_LIVE} THEN 1 ELSE 0 END), 0), "
        f"COALESCE(sum({sizes.KEY}), 0) FROM botwire_keys WHERE namespace = ?{condition}",
        (scope.now, scope.namespace, *between),
    )
    count: int
    count, size = rows[0]
    scope.grown -= size
    yield Statement(
        f"DELETE FROM botwire_keys WHERE namespace = ?{condition}",
        (scope.namespace, *between),
    )
    return count
