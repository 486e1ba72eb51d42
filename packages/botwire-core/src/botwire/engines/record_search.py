"""The search of records: by vector, by text, or both; exact, and filtered before it is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from botwire import record_operations as ops
from botwire.engines import words
from botwire.engines.record_statements import (
    Collection,
    check_dimension,
    conditions,
    fetch,
    read_collection,
    tester,
)
from botwire.engines.steps import WAIT, Handlers, Rows, Scope, Statement, Steps, chunks, marks
from botwire.engines.vector_cache import Row, Snapshot, load_numpy

_HERE = "namespace = ? AND collection = ?"
_ROW = "id, embedding, scope, tags, metadata, created_at, version"

_Ranked = list[tuple[bytes, float]]


def _search_records(scope: Scope, op: ops.SearchRecords) -> Steps:
    if op.vector is not None:
        load_numpy()  # it is missing even where there is nothing to search yet
    collection: Collection = yield from read_collection(scope, op.collection)
    if op.vector is not None:
        check_dimension(op.collection, collection.dimension, op.vector.dimension)
    if collection.size == 0:
        return ()
    best = op.offset + op.limit
    ranked: _Ranked
    if op.text is None:
        ranked = _sorted((yield from _by_vector(scope, collection, op, best)))
    elif op.vector is None:
        scores = yield from _by_text(scope, collection, op.text)
        ranked = yield from _selected(scope, collection, op.where, _sorted(scores), best)
    else:
        by_vector = yield from _by_vector(scope, collection, op, None)
        scores = yield from _by_text(scope, collection, op.text)
        by_text = yield from _selected(scope, collection, op.where, scores, None)
        ranked = _sorted(_mean(by_vector, by_text))
    if op.min_score is not None:
        ranked = [(id, score) for id, score in ranked if score >= op.min_score]
    page = ranked[op.offset : best]
    entries = yield from fetch(
        scope, collection.name, [id for id, _ in page], embeddings=op.embeddings
    )
    return tuple([ops.RecordMatch(entries[id], score) for id, score in page])


def _sorted(scores: Iterable[tuple[bytes, float]]) -> _Ranked:
    return sorted(scores, key=lambda pair: (-pair[1], pair[0]))


def _mean(one: _Ranked, other: _Ranked) -> _Ranked:
    total = dict(one)
    for id, score in other:
        total[id] = total.get(id, 0.0) + score
    return [(id, score / 2) for id, score in total.items()]


# --- by vector ------------------------------------------------------------------------------


def _by_vector(
    scope: Scope, collection: Collection, op: ops.SearchRecords, best: int | None
) -> Steps:
    """Answers the scores of at least the `best` records selected; None: of all."""
    assert op.vector is not None
    if collection.dimension is None:
        return []
    snapshot: Snapshot = yield from _snapshot(scope, collection, collection.dimension)
    return snapshot.scores(op.vector.raw, snapshot.select(op.where), op.metric, best)


def _snapshot(scope: Scope, collection: Collection, dimension: int) -> Steps:
    """Answers the collection's embeddings as this reader may see them."""
    cache = scope.vectors
    key = (scope.namespace, collection.name)
    while True:
        base, is_current = (None, False) if cache is None else cache.find(key, collection.revision)
        if is_current:
            return base
        if (
            cache is None
            or base is None
            or base.revision > collection.revision
            or base.dimension != dimension
        ):
            rows = yield Statement(f"SELECT {_ROW} FROM botwire_records WHERE {_HERE}", key)
            snapshot = Snapshot.of([Row(*row) for row in rows], dimension, collection.revision)
            if cache is not None:
                cache.keep(key, snapshot)
            return snapshot
        changed = yield Statement(
            f"SELECT {_ROW} FROM botwire_records WHERE {_HERE} AND version > ?",
            (*key, base.revision),
        )
        kept: dict[bytes, int] | None = None
        if collection.removed > base.revision:
            rows = yield Statement(
                f"SELECT id, version FROM botwire_records WHERE {_HERE} AND embedding IS NOT NULL",
                key,
            )
            kept = dict(rows)
            for chunk in chunks(base.unknown(kept)):
                changed += yield Statement(
                    f"SELECT {_ROW} FROM botwire_records WHERE {_HERE} AND id IN ({marks(chunk)})",
                    (*key, *chunk),
                )
        later = cache.advance(key, base, [Row(*row) for row in changed], kept, collection.revision)
        if later is not None:
            return later


# --- by text --------------------------------------------------------------------------------


def _by_text(scope: Scope, collection: Collection, text: str) -> Steps:
    """Answers the score of each record that holds a word of the text."""
    average = collection.words / collection.size
    found: list[Rows] = []
    for word in words.query_words(text):
        yield Statement(
            f"SELECT id, times, among FROM botwire_words WHERE {_HERE} AND word = ?",
            (scope.namespace, collection.name, word),
            then=found.append,
        )
    yield WAIT
    sums: dict[bytes, float] = {}
    for rows in found:
        weight = words.weight(len(rows), collection.size)
        for id, times, among in rows:
            sums[id] = sums.get(id, 0.0) + weight * words.relevance(times, among, average)
    return [(id, words.normal(total)) for id, total in sums.items()]


def _selected(
    scope: Scope,
    collection: Collection,
    where: ops.Selection,
    ranked: Sequence[tuple[bytes, float]],
    best: int | None,
) -> Steps:
    """Answers the first `best` that are selected, in the order given; None: all."""
    if where.is_everything:
        return list(ranked)
    sql, parameters = conditions(where)
    test = tester(where)
    selected: _Ranked = []
    for chunk in chunks(ranked):
        if best is not None and len(selected) >= best:
            break
        ids = [id for id, _ in chunk]
        rows = yield Statement(
            f"SELECT id, tags, metadata FROM botwire_records "
            f"WHERE {_HERE}{sql} AND id IN ({marks(ids)})",
            (scope.namespace, collection.name, *parameters, *ids),
        )
        passed = {row[0] for row in rows if test is None or test(row[1], row[2])}
        selected += [pair for pair in chunk if pair[0] in passed]
    return selected


HANDLERS: Handlers = {ops.SearchRecords: _search_records}
