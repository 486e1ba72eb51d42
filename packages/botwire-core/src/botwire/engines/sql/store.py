"""The operations on stores and whole namespaces in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from botwire import operations as ops
from botwire.clock import DAY
from botwire.engines.sql import past_rows, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import EXISTS
from botwire.engines.sql.record_reads import HOLDS_RECORDS
from botwire.engines.sql.schema import PAST_KEYS
from botwire.engines.sql.steps import Context, Statement, Steps, bounds
from botwire.engines.sql.tables import THIS_KEY
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE, from_bytes, to_bytes

NAMESPACED = {
    "keys": "botwire_keys",
    "histories": "botwire_histories",
    "items": "botwire_items",
    "forked_items": "botwire_forked_items",
    "collections": "botwire_collections",
    "records": "botwire_records",
    "words": "botwire_words",
    "changes": "botwire_changes",
    "answers": "botwire_requests",
    **{f"past_{table}": f"botwire_past_{table}" for table in past_rows.TABLES},
}
"""Every table with rows of a namespace except ``botwire_namespaces``, by the kind of its rows."""

_IN_PARTS = {
    "changes": "revision",
    "answers": "id",
    **{f"past_{table}": f"{key}, until" for table, key in PAST_KEYS.items()},
}
"""The kinds of rows that are erased in parts, with the columns that identify a row."""
_EXPIRING = (
    ("key", "botwire_keys", "key"),
    ("history", "botwire_histories", "history"),
    ("record", "botwire_records", "collection, id"),
)
"""What expires: its shape, its table, and the columns that name it."""
_NOT_SYSTEM = "namespace <> ? AND NOT (namespace >= ? AND namespace < ?)"
_NAME = to_bytes(SYSTEM_NAMESPACE)
# "0" follows "/" in ASCII: this leaves out the system namespace and everything below it.
_SYSTEM = (_NAME, _NAME + b"/", _NAME + b"0")
_FLOOR = (_NAME, to_bytes("revisions/floor"))


def first_revision() -> Steps[int]:
    """Returns the highest revision of all forgotten namespaces, above which new ones begin.

    A forgotten namespace leaves no trace of its name. If it is written to again, a client or a
    cache that remembers an old version must not mistake the new data for the old.
    """
    rows = yield Statement(f"SELECT value_json FROM botwire_keys WHERE {THIS_KEY}", _FLOOR)
    return int(rows[0][0]) if rows else 0


@handles(ops.ListExpiring)
def _list_expiring(context: Context, op: ops.ListExpiring) -> Steps[tuple[ops.Expiring, ...]]:
    found: list[ops.Expiring] = []
    for shape, table, columns in _EXPIRING:
        rows = yield Statement(
            f"SELECT {columns}, expires_at FROM {table} WHERE namespace = ? AND expires_at > ? "
            "ORDER BY expires_at LIMIT ?",
            (context.namespace, context.now, op.limit),
        )
        for *names, name, expires_at in rows:
            collection = from_bytes(names[0]) if names else None
            found.append(ops.Expiring(shape, from_bytes(name), expires_at, collection))
    found.sort(key=lambda one: (one.expires_at, one.shape, one.collection or "", one.name))
    return tuple(found[: op.limit])


@handles(ops.ListNamespaces)
def _list_namespaces(context: Context, op: ops.ListNamespaces) -> Steps[ops.NamespacePage]:
    condition, parameters = bounds("namespace", op.prefix, op.after)
    rows = yield Statement(
        "SELECT namespace, revision, created_at FROM botwire_namespaces "
        f"WHERE {_NOT_SYSTEM}{condition} ORDER BY namespace LIMIT ?",
        (*_SYSTEM, *parameters, op.limit + 1),
    )
    entries = [ops.NamespaceEntry(from_bytes(row[0]), *row[1:]) for row in rows[: op.limit]]
    return ops.NamespacePage(tuple(entries), len(rows) > op.limit)


@handles(ops.ListUsage)
def _list_usage(context: Context, op: ops.ListUsage) -> Steps[ops.StoreUsage]:
    ((namespaces, size),) = yield Statement(
        "SELECT count(*), CAST(COALESCE(sum(bytes), 0) AS BIGINT) FROM botwire_namespaces "
        f"WHERE {_NOT_SYSTEM}",
        _SYSTEM,
    )
    today = context.now // DAY
    rows = yield Statement(
        "SELECT namespace, revision, created_at, bytes, "
        "CASE WHEN day BETWEEN ? AND ? THEN writes ELSE 0 END AS written "
        f"FROM botwire_namespaces WHERE {_NOT_SYSTEM} "
        f"ORDER BY {'bytes' if op.order == 'bytes' else 'written'} DESC, namespace LIMIT ?",
        (today, today + 1, *_SYSTEM, op.limit),
    )
    largest = tuple([ops.NamespaceUsage(from_bytes(row[0]), *row[1:]) for row in rows])
    return ops.StoreUsage(namespaces, size, largest)


@handles(ops.ForgetNamespace)
def _forget_namespace(context: Context, op: ops.ForgetNamespace) -> Steps[tuple[ops.RowCount, ...]]:
    namespace = to_bytes(op.name)
    # Writers lock this row, so a write either is visible now or comes after everything is erased.
    rows = yield Statement(
        f"SELECT revision FROM botwire_namespaces WHERE namespace = ?{context.lock}", (namespace,)
    )
    erased = dict.fromkeys(NAMESPACED, 0)
    if op.limit is not None:
        for kind, columns in _IN_PARTS.items():
            table = NAMESPACED[kind]
            gone = yield Statement(
                f"DELETE FROM {table} WHERE namespace = ? AND ({columns}) IN (SELECT {columns} "
                f"FROM {table} WHERE namespace = ? ORDER BY {columns} LIMIT ?) RETURNING 1",
                (namespace, namespace, op.limit),
            )
            erased[kind] = len(gone)
        if op.limit in erased.values():
            return tuple([ops.RowCount(*one) for one in erased.items()])
    counts = []
    for kind, table in NAMESPACED.items():
        found = yield Statement(f"SELECT count(*) FROM {table} WHERE namespace = ?", (namespace,))
        counts.append(ops.RowCount(kind, erased[kind] + found[0][0]))
        if found[0][0]:
            yield Statement(f"DELETE FROM {table} WHERE namespace = ?", (namespace,))
    if rows:
        yield Statement("DELETE FROM botwire_namespaces WHERE namespace = ?", (namespace,))
        floor = yield from first_revision()
        if rows[0][0] > floor:
            value = Json.of(rows[0][0])
            row = tables.key_row(*_FLOOR, value, None, 1, context.now, context.now, None)
            context.grow([sizes.key(_FLOOR[1], value, None)])
            yield Statement(tables.PUT_KEY, row, then=context.count_replaced)
    return tuple(counts)


@handles(ops.StatNamespace)
def _stat_namespace(context: Context, op: ops.StatNamespace) -> Steps[ops.NamespaceStat]:
    here = (context.namespace,)
    rows = yield Statement(
        "SELECT revision, created_at, bytes FROM botwire_namespaces WHERE namespace = ?", here
    )
    revision, created_at, size = rows[0] if rows else (0, None, 0)
    counts: list[int] = []
    for sql, *parameters in (
        (f"count(*) FROM botwire_keys WHERE namespace = ? AND {tables.LIVE}", context.now),
        (
            (
                "count(*), COALESCE(sum(size + archived), 0) FROM botwire_histories "
                f"WHERE namespace = ? AND {EXISTS} AND {tables.LIVE}"
            ),
            context.now,
        ),
        (
            f"count(*) FROM botwire_collections c WHERE namespace = ? AND {HOLDS_RECORDS}",
            context.now,
        ),
        (f"count(*) FROM botwire_records WHERE namespace = ? AND {tables.LIVE}", context.now),
    ):
        rows = yield Statement(f"SELECT {sql}", (*here, *parameters))
        counts += [int(number) for number in rows[0]]
    keys, histories, items, collections, records = counts
    return ops.NamespaceStat(
        revision, created_at, keys, histories, items, collections, records, size
    )
