"""The operations on stores and whole namespaces in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import pages, past_rows, sizes, tables, words
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import EXISTS
from botwire.engines.sql.record_reads import HOLDS_RECORDS
from botwire.engines.sql.schema import PAST_KEYS
from botwire.engines.sql.steps import Context, Statement, Steps, bounds, chunks, marks
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE, from_bytes, to_bytes
from botwire.operations.terms import DAY

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
_FLOOR = (to_bytes(SYSTEM_NAMESPACE), to_bytes("revisions/floor"))
_SHOWN = 20  # most problems to report per check


def first_revision() -> Steps[int]:
    """Returns the highest revision of all forgotten namespaces, above which new ones begin.

    A forgotten namespace leaves no trace of its name. If it is written to again, a client or a
    cache that remembers an old version must not mistake the new data for the old.
    """
    rows = yield Statement(
        "SELECT value_json FROM botwire_keys WHERE namespace = ? AND key = ?", _FLOOR
    )
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
    system = to_bytes(SYSTEM_NAMESPACE)
    rows = yield Statement(
        "SELECT namespace, revision, created_at FROM botwire_namespaces "
        "WHERE namespace <> ? AND NOT (namespace >= ? AND namespace < ?)"
        f"{condition} ORDER BY namespace LIMIT ?",
        # "0" follows "/" in ASCII: this leaves out the system namespace and everything below it.
        (system, system + b"/", system + b"0", *parameters, op.limit + 1),
    )
    entries = [ops.NamespaceEntry(from_bytes(row[0]), *row[1:]) for row in rows[: op.limit]]
    return ops.NamespacePage(tuple(entries), len(rows) > op.limit)


@handles(ops.ListUsage)
def _list_usage(context: Context, op: ops.ListUsage) -> Steps[ops.StoreUsage]:
    system = to_bytes(SYSTEM_NAMESPACE)
    others = "namespace <> ? AND NOT (namespace >= ? AND namespace < ?)"
    parameters = (system, system + b"/", system + b"0")
    ((namespaces, size),) = yield Statement(
        "SELECT count(*), CAST(COALESCE(sum(bytes), 0) AS BIGINT) FROM botwire_namespaces "
        f"WHERE {others}",
        parameters,
    )
    today = context.now // DAY
    rows = yield Statement(
        "SELECT namespace, revision, created_at, bytes, "
        "CASE WHEN day BETWEEN ? AND ? THEN writes ELSE 0 END AS written "
        f"FROM botwire_namespaces WHERE {others} "
        f"ORDER BY {'bytes' if op.order == 'bytes' else 'written'} DESC, namespace LIMIT ?",
        (today, today + 1, *parameters, op.limit),
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


# --- a namespace ----------------------------------------------------------------------------


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


_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "key {} has a version that the namespace has not reached, or none",
        (
            "SELECT key FROM botwire_keys WHERE namespace = ? AND (version < 1 OR version > "
            "COALESCE((SELECT revision FROM botwire_namespaces n "
            "WHERE n.namespace = botwire_keys.namespace), 0))"
        ),
    ),
    (
        "key {} holds no value, or two",
        (
            "SELECT key FROM botwire_keys WHERE namespace = ? "
            "AND (value_json IS NULL) = (value_bytes IS NULL)"
        ),
    ),
    (
        "history {} has a wrong count of items",
        (
            "SELECT h.history FROM botwire_histories h LEFT JOIN botwire_items i "
            "ON i.namespace = h.namespace AND i.history = h.history "
            "WHERE h.namespace = ? AND h.base IS NULL "
            "GROUP BY h.history, h.size, h.archived, h.archived_seq, h.dead, h.dead_seq "
            "HAVING h.dead <> sum(CASE WHEN i.seq <= h.dead_seq THEN 1 ELSE 0 END) "
            "OR h.dead + h.archived <> sum(CASE WHEN i.seq <= h.archived_seq THEN 1 ELSE 0 END) "
            "OR h.size + h.archived + h.dead <> count(i.seq)"
        ),
    ),
    (
        "history {} has a wrong count of bytes",
        (
            f"SELECT h.history FROM botwire_histories h WHERE h.namespace = ? AND h.bytes <> "
            f"COALESCE(length(h.metadata), 0) + COALESCE((SELECT sum({sizes.ITEM}) "
            "FROM botwire_items i WHERE i.namespace = h.namespace AND i.history = h.history), 0) "
            f"+ COALESCE((SELECT sum({sizes.ITEM}) FROM botwire_forked_items p "
            "WHERE p.namespace = h.namespace AND p.history = h.history), 0)"
        ),
    ),
    (
        "history {} has items or an archive beyond its end",
        (
            "SELECT h.history FROM botwire_histories h WHERE h.namespace = ? AND (h.archived_seq > "
            "h.last_seq OR EXISTS (SELECT 1 FROM botwire_items i WHERE i.namespace = h.namespace "
            "AND i.history = h.history AND i.seq > h.last_seq))"
        ),
    ),
    (
        "history {} does not exist but still has items",
        (
            "SELECT DISTINCT i.history FROM botwire_items i WHERE i.namespace = ? AND NOT EXISTS "
            "(SELECT 1 FROM botwire_histories h WHERE h.namespace = i.namespace "
            "AND h.history = i.history)"
        ),
    ),
    (
        "collection {} has a wrong count of records",
        (
            "SELECT c.collection FROM botwire_collections c WHERE c.namespace = ? AND c.size <> "
            "(SELECT count(*) FROM botwire_records r WHERE r.namespace = c.namespace "
            "AND r.collection = c.collection)"
        ),
    ),
    (
        "collection {} has a wrong count of bytes",
        (
            f"SELECT c.collection FROM botwire_collections c WHERE c.namespace = ? AND c.bytes <> "
            f"COALESCE((SELECT sum({sizes.RECORD}) FROM botwire_records r "
            "WHERE r.namespace = c.namespace AND r.collection = c.collection), 0)"
        ),
    ),
    (
        "collection {} has embeddings of a dimension other than its own",
        (
            "SELECT c.collection FROM botwire_collections c WHERE c.namespace = ? AND EXISTS "
            "(SELECT 1 FROM botwire_records r WHERE r.namespace = c.namespace "
            "AND r.collection = c.collection AND r.embedding IS NOT NULL "
            "AND length(r.embedding) <> 4 * COALESCE(c.dimension, 0))"
        ),
    ),
    (
        "collection {} has a wrong count of words",
        (
            "SELECT c.collection FROM botwire_collections c WHERE c.namespace = ? AND c.words <> "
            "COALESCE((SELECT sum(w.times) FROM botwire_words w WHERE w.namespace = c.namespace "
            "AND w.collection = c.collection), 0)"
        ),
    ),
    (
        "collection {} has a revision that the namespace has not reached",
        (
            "SELECT c.collection FROM botwire_collections c WHERE c.namespace = ? AND c.revision > "
            "COALESCE((SELECT revision FROM botwire_namespaces n "
            "WHERE n.namespace = c.namespace), 0)"
        ),
    ),
    (
        "collection {} does not exist but still has records",
        (
            "SELECT DISTINCT r.collection FROM botwire_records r WHERE r.namespace = ? "
            "AND NOT EXISTS (SELECT 1 FROM botwire_collections c WHERE c.namespace = r.namespace "
            "AND c.collection = r.collection)"
        ),
    ),
    (
        "record {} has a version that the namespace has not reached, or none",
        (
            "SELECT id FROM botwire_records WHERE namespace = ? AND (version < 1 OR version > "
            "COALESCE((SELECT revision FROM botwire_namespaces n "
            "WHERE n.namespace = botwire_records.namespace), 0))"
        ),
    ),
    (
        "record {} does not exist but still has indexed words",
        (
            "SELECT DISTINCT w.id FROM botwire_words w WHERE w.namespace = ? AND NOT EXISTS "
            "(SELECT 1 FROM botwire_records r WHERE r.namespace = w.namespace "
            "AND r.collection = w.collection AND r.id = w.id)"
        ),
    ),
)


_BYTES = (
    "SELECT n.bytes, n.largest, "
    f"COALESCE((SELECT sum({sizes.KEY}) FROM botwire_keys k WHERE k.namespace = n.namespace), 0) "
    "+ COALESCE((SELECT sum(h.bytes) FROM botwire_histories h "
    "WHERE h.namespace = n.namespace), 0) "
    "+ COALESCE((SELECT sum(c.bytes) FROM botwire_collections c "
    "WHERE c.namespace = n.namespace), 0)"
    + "".join(
        f" + COALESCE((SELECT sum({past_rows.size_of(table)}) FROM botwire_past_{table} p "
        "WHERE p.namespace = n.namespace), 0)"
        for table in past_rows.TABLES
    )
    + ", "
    + ", ".join(
        f"COALESCE((SELECT max({size}) FROM {table} t WHERE t.namespace = n.namespace), 0)"
        for table, size in (
            ("botwire_keys", sizes.KEY),
            ("botwire_items", sizes.ITEM),
            ("botwire_records", sizes.RECORD),
        )
    )
    + " FROM botwire_namespaces n WHERE n.namespace = ?"
)


@handles(ops.CheckNamespace)
def _check_namespace(context: Context, op: ops.CheckNamespace) -> Steps[tuple[str, ...]]:
    problems: list[str] = []
    for says, sql in _CHECKS:
        rows = yield Statement(f"{sql} LIMIT {_SHOWN}", (context.namespace,))
        problems += [says.format(repr(from_bytes(row[0]))) for row in rows]
    rows = yield Statement(
        "SELECT max(revision), (SELECT revision FROM botwire_namespaces n WHERE n.namespace = ?) "
        "FROM botwire_changes WHERE namespace = ?",
        (context.namespace, context.namespace),
    )
    last, revision = rows[0]
    if last is not None and last > (revision or 0):
        problems.append(f"change {last} is beyond the namespace's revision {revision}")
    for counted, largest, held, *sized in (yield Statement(_BYTES, (context.namespace,))):
        if counted != held:
            problems.append(f"the namespace counts {counted} bytes but holds {held}")
        if largest < max(sized):
            problems.append(f"an element is larger than the recorded maximum of {largest} bytes")
    return tuple(problems)


@handles(ops.CheckRecords)
def _check_records(context: Context, op: ops.CheckRecords) -> Steps[ops.RecordCheck]:
    collection = to_bytes(op.collection)
    after = b"" if op.after is None else to_bytes(op.after)
    source = pages.Source(
        "SELECT id, text",
        "FROM botwire_records WHERE namespace = ? AND collection = ? AND id > ?",
        (context.namespace, collection, after),
        sizes.RECORD,
    )
    rows, more = yield from pages.read_page(context, source, "ORDER BY id", op.limit)
    problems: list[str] = []
    for id, text in rows:
        counts = words.count(from_bytes(text))
        among = counts.total()
        indexed: dict[bytes, tuple[int, int]] = {}
        for chunk in chunks(sorted(counts)):
            # Naming the words lets the primary key find each of them.
            found = yield Statement(
                "SELECT word, times, among FROM botwire_words WHERE namespace = ? "
                f"AND collection = ? AND word IN ({marks(chunk)}) AND id = ?",
                (context.namespace, collection, *chunk, id),
            )
            indexed.update((word, (times, total)) for word, times, total in found)
        if indexed != {word: (times, among) for word, times in counts.items()}:
            problems.append(f"record {from_bytes(id)!r} is indexed by the wrong words")
    last = from_bytes(rows[-1][0]) if more else None
    return ops.RecordCheck(tuple(problems), last)


def orphans() -> Iterable[Statement]:
    """Yields a statement per table that selects namespaces with rows but no row of their own."""
    for table in NAMESPACED.values():
        yield Statement(
            f"SELECT DISTINCT t.namespace FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM "
            f"botwire_namespaces n WHERE n.namespace = t.namespace) LIMIT {_SHOWN}"
        )


def describe_orphans(found: Iterable[tuple[Any, ...]]) -> list[str]:
    """Returns a problem for each namespace in the rows that `orphans` selected."""
    names = sorted({from_bytes(row[0]) for row in found})
    return [f"namespace {name!r} does not exist but still has rows" for name in names]
