"""Checking a store for damage in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import pages, past_rows, sizes, words
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.steps import Context, Statement, Steps, chunks, marks
from botwire.engines.sql.store import NAMESPACED
from botwire.engines.sql.tables import IN_COLLECTION
from botwire.names import from_bytes, to_bytes

_SHOWN = 20  # most problems to report per check


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
        f"FROM botwire_records WHERE {IN_COLLECTION} AND id > ?",
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
