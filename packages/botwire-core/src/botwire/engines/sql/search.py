"""Searching records by vector, by text, or by both: exact, and filtered before the limit."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace

from botwire import operations as ops
from botwire.engines.sql.collection import (
    Collection,
    check_dimension,
    read_collection,
    read_dimension,
)
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.record_reads import conditions, fetch_all, tester
from botwire.engines.sql.steps import Context, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import IN_COLLECTION, LIVE_RECORDS
from botwire.engines.sql.text_search import Ranked, by_text
from botwire.engines.sql.vector_snapshots import Snapshot, VectorRow, load_numpy
from botwire.engines.sql.words import BESIDE_A_VECTOR, normal, normal_beside_a_vector
from botwire.names import to_bytes

_ROW = "id, embedding, scope, tags, metadata, created_at, version, expires_at"

_MORE_FILTERED = 1_000  # extra text matches to find if a filter will drop some


@handles(ops.SearchRecords)
def _search_records(context: Context, op: ops.SearchRecords) -> Steps[tuple[ops.RecordMatch, ...]]:
    if op.vector is not None:
        load_numpy()  # a missing numpy is reported even if there is nothing to search yet
    collection: Collection = yield from read_collection(context, op.collection)
    if op.vector is not None:
        dimension = yield from read_dimension(context, collection)
        check_dimension(op.collection, dimension, op.vector.dimension)
        if dimension is None and op.text is None:
            return ()
        collection = collection._replace(dimension=dimension)
    if collection.size == 0:
        return ()
    best = op.offset + op.limit
    ranked: Ranked
    if op.text is None:
        ranked = _sorted((yield from _by_vector(context, collection, op, best)))
    elif op.vector is None:
        sums: Ranked = yield from _by_text(context, collection, op, best)
        ranked = [(id, normal(total)) for id, total in sums]
    else:
        ranked = _sorted((yield from _by_both(context, collection, op, best)))
    if op.min_score is not None:
        ranked = [(id, score) for id, score in ranked if score >= op.min_score]
    page = ranked[op.offset : best]
    ids = [id for id, _ in page]
    entries = yield from fetch_all(context, collection.name, ids, embeddings=op.embeddings)
    return tuple(
        [
            ops.RecordMatch(entry, score)
            for entry, (_, score) in zip(entries, page, strict=True)
            if entry is not None
        ]
    )


def _sorted(scores: Iterable[tuple[bytes, float]], best: int | None = None) -> Ranked:
    """Returns the scores, highest first; with `best`, only that many."""
    if best is None:
        return sorted(scores, key=_rank)
    return heapq.nsmallest(best, scores, key=_rank)


def _rank(pair: tuple[bytes, float]) -> tuple[float, bytes]:
    return -pair[1], pair[0]


# --- by vector ------------------------------------------------------------------------------


def _by_vector(
    context: Context, collection: Collection, op: ops.SearchRecords, best: int
) -> Steps[Ranked]:
    """Returns the scores of at least the `best` selected records, in no order."""
    assert op.vector is not None
    if collection.dimension is None:
        return []
    snapshot: Snapshot = yield from _snapshot(context, collection, collection.dimension)
    rows = snapshot.select(op.where, context.now)
    return snapshot.scores(op.vector.raw, rows, op.metric, best)


def _by_both(
    context: Context, collection: Collection, op: ops.SearchRecords, best: int
) -> Steps[Ranked]:
    """Returns the weighted means of both scores, for at least the `best` records, in no order."""
    assert op.vector is not None
    assert op.text is not None
    sums: Ranked = yield from by_text(context, collection, op.text, None)
    found = [(id, BESIDE_A_VECTOR * normal_beside_a_vector(total)) for id, total in sums]
    by_vector: Ranked = []
    if collection.dimension is not None:
        snapshot: Snapshot = yield from _snapshot(context, collection, collection.dimension)
        rows = snapshot.select(op.where, context.now)
        by_vector = snapshot.scores(op.vector.raw, rows, op.metric, best, dict(found))
        there = snapshot.ids()
        found = [pair for pair in found if pair[0] not in there]
    without_vector = yield from _selected(context, collection, op.where, found, None)
    return [(id, total / (BESIDE_A_VECTOR + 1)) for id, total in by_vector + without_vector]


def _snapshot(context: Context, collection: Collection, dimension: int) -> Steps[Snapshot]:
    """Returns a snapshot of the collection's embeddings as of this transaction."""
    cache = context.vectors
    key = (context.namespace, collection.name)
    while True:
        base, is_current = (None, False) if cache is None else cache.find(key, collection.revision)
        if base is not None and is_current:
            return base
        if (
            cache is None
            or base is None
            or base.revision > collection.revision
            or base.dimension != dimension
        ):
            rows = yield Statement(f"SELECT {_ROW} FROM botwire_records WHERE {IN_COLLECTION}", key)
            snapshot = Snapshot.of(
                [VectorRow(*row) for row in rows], dimension, collection.revision
            )
            if cache is not None:
                cache.keep(key, snapshot)
            return snapshot
        changed = yield Statement(
            f"SELECT {_ROW} FROM botwire_records WHERE {IN_COLLECTION} AND version > ?",
            (*key, base.revision),
        )
        kept: dict[bytes, int] | None = None
        if collection.removed > base.revision:
            rows = yield Statement(
                f"SELECT id, version FROM botwire_records WHERE {IN_COLLECTION} "
                "AND embedding IS NOT NULL",
                key,
            )
            kept = dict(rows)
            for chunk in chunks(base.unknown(kept)):
                changed += yield Statement(
                    f"SELECT {_ROW} FROM botwire_records WHERE {IN_COLLECTION} "
                    f"AND id IN ({marks(chunk)})",
                    (*key, *chunk),
                )
        later = cache.advance(
            key, base, [VectorRow(*row) for row in changed], kept, collection.revision
        )
        if later is not None:
            return later


# --- by text --------------------------------------------------------------------------------


def _by_text(
    context: Context, collection: Collection, op: ops.SearchRecords, best: int
) -> Steps[Ranked]:
    """Returns the scores of the `best` selected records with a word of the text, in order."""
    assert op.text is not None
    many = best if _takes_all(collection, op.where) else best + _MORE_FILTERED
    ranked = _sorted((yield from by_text(context, collection, op.text, many)), many)
    selected = yield from _selected(context, collection, op.where, ranked, best)
    if len(selected) < best and len(ranked) == many:
        scores = yield from by_text(context, collection, op.text, None)
        selected = yield from _selected(context, collection, op.where, _sorted(scores), best)
    return selected


def _takes_all(collection: Collection, where: ops.Selection) -> bool:
    """Returns whether a selection takes every indexed record."""
    return where.is_everything and not collection.expiring


def _selected(
    context: Context,
    collection: Collection,
    where: ops.Selection,
    ranked: Sequence[tuple[bytes, float]],
    best: int | None,
) -> Steps[Ranked]:
    """Returns the first `best` pairs that the selection takes, in order; all if None."""
    if _takes_all(collection, where):
        return list(ranked)
    if where.ids is not None:  # tested here, as the statement of each chunk would name them all
        chosen = {to_bytes(id) for id in where.ids}
        ranked = [pair for pair in ranked if pair[0] in chosen]
        where = replace(where, ids=None)
    sql, parameters = conditions(where)
    passing = tester(where)
    selected: Ranked = []
    for chunk in chunks(ranked):
        if best is not None and len(selected) >= best:
            break
        ids = [id for id, _ in chunk]
        rows = yield Statement(
            f"SELECT id, tags, metadata FROM botwire_records "
            f"WHERE {LIVE_RECORDS}{sql} AND id IN ({marks(ids)})",
            (context.namespace, collection.name, context.now, *parameters, *ids),
        )
        passed = {row[0] for row in (rows if passing is None else passing(rows))}
        selected += [pair for pair in chunk if pair[0] in passed]
    return selected
