"""The search of records: by vector, by text, or both; exact, and filtered before it is cut."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from botwire import record_operations as ops
from botwire.engines import vector_table
from botwire.engines.collection import HERE as _HERE
from botwire.engines.collection import Collection, check_dimension, read_collection
from botwire.engines.record_statements import conditions, fetch_all, tester
from botwire.engines.steps import Handlers, Scope, Statement, Steps, chunks, marks
from botwire.engines.text_search import Ranked, by_text
from botwire.engines.vector_cache import Row, Snapshot, load_numpy

_ROW = "id, embedding, scope, tags, metadata, created_at, version"

# How many vectors are read at first beside those wanted: one page is enough for most searches, also
# where a filter that only Python knows leaves most of them out.
_MORE, _MORE_FILTERED = 50, 1_000
_LARGEST_PAGE = 100_000
_RARE = 1_000  # so many pass a filter that they are compared without asking which are near


def _search_records(scope: Scope, op: ops.SearchRecords) -> Steps:
    if op.vector is not None:
        load_numpy()  # it is missing even where there is nothing to search yet
    collection: Collection = yield from read_collection(scope, op.collection)
    if op.vector is not None:
        check_dimension(op.collection, collection.dimension, op.vector.dimension)
    if collection.size == 0:
        return ()
    best = op.offset + op.limit
    ranked: Ranked
    if op.text is None:
        ranked = _sorted((yield from _by_vector(scope, collection, op, best)))
    elif op.vector is None:
        ranked = yield from _by_text(scope, collection, op, best)
    else:
        ranked = _sorted((yield from _by_both(scope, collection, op, best)))
    if op.min_score is not None:
        ranked = [(id, score) for id, score in ranked if score >= op.min_score]
    page = ranked[op.offset : best]
    ids = [id for id, _ in page]
    entries = yield from fetch_all(scope, collection.name, ids, embeddings=op.embeddings)
    return tuple(
        [ops.RecordMatch(entry, score) for entry, (_, score) in zip(entries, page, strict=True)]
    )


def _sorted(scores: Iterable[tuple[bytes, float]], best: int | None = None) -> Ranked:
    """Returns scores with the highest first, or the `best` of them."""
    if best is None:
        return sorted(scores, key=_rank)
    return heapq.nsmallest(best, scores, key=_rank)


def _rank(pair: tuple[bytes, float]) -> tuple[float, bytes]:
    return -pair[1], pair[0]


# --- by vector ------------------------------------------------------------------------------


def _by_vector(scope: Scope, collection: Collection, op: ops.SearchRecords, best: int) -> Steps:
    """Answers the scores of at least the `best` records selected, in no order."""
    assert op.vector is not None
    if collection.dimension is None:
        return []
    if collection.indexed == vector_table.WHOLE:
        found = yield from _nearest(scope, collection, op, best)
        if found is not None:
            return found
    snapshot: Snapshot = yield from _snapshot(scope, collection, collection.dimension)
    return snapshot.scores(op.vector.raw, snapshot.select(op.where), op.metric, best)


def _by_both(scope: Scope, collection: Collection, op: ops.SearchRecords, best: int) -> Steps:
    """Answers the mean of both scores of at least the `best` records selected, in no order."""
    assert op.vector is not None
    assert op.text is not None
    found: Ranked = yield from by_text(scope, collection, op.text, None)
    if collection.dimension is not None and collection.indexed == vector_table.WHOLE:
        # The others have half of what the vector gives them: their order is that of the vector,
        # and what is not among the best of them is not among the best of all.
        texts = dict((yield from _selected(scope, collection, op.where, found, None)))
        others = yield from _nearest(scope, collection, op, best, texts.keys())
        if others is not None:
            sums = yield from _best_of_words(scope, collection, op, best, texts)
            return [(id, total / 2) for id, total in others + sums]
    by_vector: Ranked = []
    if collection.dimension is not None:
        snapshot: Snapshot = yield from _snapshot(scope, collection, collection.dimension)
        rows = snapshot.select(op.where)
        by_vector = snapshot.scores(op.vector.raw, rows, op.metric, best, dict(found))
        there = snapshot.ids()
        found = [pair for pair in found if pair[0] not in there]
    without_vector = yield from _selected(scope, collection, op.where, found, None)
    return [(id, total / 2) for id, total in by_vector + without_vector]


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


# --- by vector, in the database -------------------------------------------------------------


def _nearest(
    scope: Scope,
    collection: Collection,
    op: ops.SearchRecords,
    best: int,
    without: AbstractSet[bytes] = frozenset(),
) -> Steps:
    """Answers the `best` of those selected, but for some; None if the table cannot be trusted.

    Pages of vectors are read in the order of what their scores are at most, and the embeddings
    themselves compared, until what comes later has a lower bound than the last of the best has a
    score; or the same, and a later id, which is the order of equal scores.
    """
    assert op.vector is not None
    bound = vector_table.Bound.of(op.vector, op.metric)
    condition, passing = conditions(op.where), tester(op.where)
    # What is below is not wanted. (Other numbers say nothing, and SQL need not know them.)
    floor = None
    if op.text is None and op.min_score is not None and -1 <= op.min_score <= 1:
        floor = float(op.min_score)
    found: Ranked = []
    after: vector_table.Near | None = None
    limit = best + (_MORE_FILTERED if without or passing is not None else _MORE)
    while True:
        limit = min(limit, _LARGEST_PAGE)
        page: list[vector_table.Near] = yield from vector_table.nearest(
            scope,
            collection.name,
            bound,
            condition,
            floor=floor,
            after=after,
            limit=limit,
            metadata=passing is not None,
        )
        if not page and after is None and (yield from vector_table.is_lost(scope, collection.name)):
            return None
        passed = [near for near in page if near.id not in without]
        if passing is not None:
            passed = passing(passed)
        for some in chunks(passed, best + _MORE):
            found += yield from _scores(scope, collection, op, [near.id for near in some])
            found = _sorted(found)[:best]
            if _are_best(found, best, some[-1]):
                return found
        if len(page) < limit or _are_best(found, best, page[-1]):
            return found
        after = page[-1]
        if len(found) == best:
            floor = found[-1][1]
        limit *= 4 if passed else _LARGEST_PAGE
        if passing is not None and not passed and collection.size <= _LARGEST_PAGE:
            # What is so rare is looked for among all, without comparing what does not pass.
            rows = yield Statement(
                "SELECT id, tags, metadata FROM botwire_records "
                f"WHERE {_HERE}{condition[0]} AND embedding IS NOT NULL",
                (scope.namespace, collection.name, *condition[1]),
            )
            rare = [id for id, *_ in passing(rows) if id not in without]
            if len(rare) <= _RARE:
                found = yield from _scores(scope, collection, op, rare)
                return _sorted(found)[:best]


def _are_best(found: Ranked, best: int, last: vector_table.Near) -> bool:
    """Says whether nothing that comes after `last` can be among the `best`."""
    if len(found) < best:
        return False
    id, score = found[-1]
    return (-score, id) <= (-last.bound, last.id)


def _best_of_words(
    scope: Scope,
    collection: Collection,
    op: ops.SearchRecords,
    best: int,
    by_text: Mapping[bytes, float],
) -> Steps:
    """Answers the sum of both scores of the `best` of those found by text, at least."""
    assert op.vector is not None
    bound = vector_table.Bound.of(op.vector, op.metric)
    bounds = yield from vector_table.bounds(scope, collection.name, bound, list(by_text))
    highest = {id: bounds[id] + text for id, text in by_text.items() if id in bounds}
    # One without a vector has what the text gives it.
    sums = _sorted([(id, 0.0 + text) for id, text in by_text.items() if id not in bounds])[:best]
    for ids in chunks(sorted(highest, key=lambda id: -highest[id]), best + _MORE):
        if len(sums) >= best and highest[ids[0]] < sums[best - 1][1]:
            break
        scores = yield from _scores(scope, collection, op, ids)
        sums = _sorted(sums + [(id, score + by_text[id]) for id, score in scores])[:best]
    return sums


def _scores(
    scope: Scope, collection: Collection, op: ops.SearchRecords, ids: Sequence[bytes]
) -> Steps:
    """Answers the scores of some records by vector."""
    assert op.vector is not None
    found: Ranked = []
    for chunk in chunks(ids):
        rows = yield Statement(
            f"SELECT {_ROW} FROM botwire_records WHERE {_HERE} AND id IN ({marks(chunk)})",
            (scope.namespace, collection.name, *chunk),
        )
        page = Snapshot.of([Row(*row) for row in rows], op.vector.dimension, collection.revision)
        found += page.scores(op.vector.raw, page.select(ops.EVERYTHING), op.metric, None)
    return found


# --- by text --------------------------------------------------------------------------------


def _by_text(scope: Scope, collection: Collection, op: ops.SearchRecords, best: int) -> Steps:
    """Answers the `best` records selected that hold a word of the text, in order."""
    assert op.text is not None
    many = best if op.where.is_everything else best + _MORE_FILTERED
    ranked = _sorted((yield from by_text(scope, collection, op.text, many)), many)
    selected = yield from _selected(scope, collection, op.where, ranked, best)
    if len(selected) < best and len(ranked) == many:
        scores = yield from by_text(scope, collection, op.text, None)
        selected = yield from _selected(scope, collection, op.where, _sorted(scores), best)
    return selected


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
    passing = tester(where)
    selected: Ranked = []
    for chunk in chunks(ranked):
        if best is not None and len(selected) >= best:
            break
        ids = [id for id, _ in chunk]
        rows = yield Statement(
            f"SELECT id, tags, metadata FROM botwire_records "
            f"WHERE {_HERE}{sql} AND id IN ({marks(ids)})",
            (scope.namespace, collection.name, *parameters, *ids),
        )
        passed = {row[0] for row in (rows if passing is None else passing(rows))}
        selected += [pair for pair in chunk if pair[0] in passed]
    return selected


HANDLERS: Handlers = {ops.SearchRecords: _search_records}
