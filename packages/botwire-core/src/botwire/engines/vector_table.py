"""A table of vectors beside the records, which PostgreSQL searches itself where it has pgvector.

``botwire_records.embedding`` stays what counts. ``botwire_vectors`` holds each embedding a second
time, divided by its length and rounded to 32 bits (so that no sum of pgvector's, which adds in 32
bits, can overflow or vanish), and the length. What it gives is an upper bound of each score, in
order; `record_search` reads the best of them and compares the embeddings themselves.

``botwire_collections.indexed`` says whether a collection has its vectors there: `NONE`, `WHOLE`, or
else since when they are being filled in. Whoever writes records has read that row, with the
namespace locked, and keeps the table up unless it is `NONE`. So all processes agree at every
moment, those too that were started before the extension came.

The table is made when no collection has anything in it, so what a row says is true of the table
that there is; what happens where one goes away is in `_async.postgres_vectors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from botwire.engines.collection import HERE, Collection
from botwire.engines.steps import WAIT, Rows, Scope, Statement, Steps, chunks, marks
from botwire.names import from_bytes
from botwire.vectors import Vector

NONE, WHOLE = 0, 1
LARGEST = 16_000
"""Most numbers in a vector of pgvector; embeddings of more are compared by numpy."""

DROP = ("DROP TABLE IF EXISTS botwire_vectors",)
"""Statements that clear away what ``DROP EXTENSION`` leaves of the table."""
MAKE = (
    *DROP,
    """CREATE TABLE botwire_vectors (
        namespace BYTEA NOT NULL,
        collection BYTEA NOT NULL,
        id BYTEA NOT NULL,
        unit vector NOT NULL,
        norm DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (namespace, collection, id)
    )""",
    # In the row as long as it fits a page: reading it elsewhere takes longer than comparing it.
    "ALTER TABLE botwire_vectors ALTER COLUMN unit SET STORAGE MAIN",
)
"""Statements that make the table, only where no collection has anything in it."""

# Sent as a type that stays what it is should the extension be made anew.
_VECTOR = "?::float4[]::vector"
_MANY = 2_000  # ids, of which reading all of a collection's is no slower than naming them
_FILLED_AT_ONCE = 500_000  # numbers of a page, about: for so long writers of the namespace wait


# --- is it there ----------------------------------------------------------------------------


class Found(NamedTuple):
    """What of pgvector there is in a database.

    Attributes:
        extension: Whether it could be used.
        table: Whether there is a table, whatever became of its columns.
        whole: Whether the table can be used.
    """

    extension: bool
    table: bool
    whole: bool


def look() -> Steps:
    """Answers a `Found`."""
    rows = yield Statement(
        "SELECT to_regtype('vector') IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector'), "
        "to_regclass('botwire_vectors') IS NOT NULL, "
        "EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('botwire_vectors') "
        "AND attname = 'unit' AND NOT attisdropped AND atttypid = to_regtype('vector'))"
    )
    return Found(*rows[0])


def find_indexed(limit: int) -> Steps:
    """Answers some of the namespaces with collections that are not `NONE`."""
    rows = yield Statement(
        "SELECT DISTINCT namespace FROM botwire_collections WHERE indexed <> 0 LIMIT ?", (limit,)
    )
    return [namespace for (namespace,) in rows]


def give_up(namespace: bytes, lock: str) -> Steps:
    """Makes a namespace's collections `NONE` if the table is gone; answers whether there is one.

    In a transaction of its own, which locks the namespace first: nobody can make the table, and
    fill it for this namespace, between the look and the change.
    """
    yield Statement(f"SELECT 1 FROM botwire_namespaces WHERE namespace = ?{lock}", (namespace,))
    found: Found = yield from look()
    if not found.whole:
        yield Statement(
            "UPDATE botwire_collections SET indexed = 0 WHERE namespace = ? AND indexed <> 0",
            (namespace,),
        )
    return found.whole


# --- writing --------------------------------------------------------------------------------


def state(scope: Scope, collection: Collection, dimension: int | None) -> int:
    """Returns what `Collection.indexed` is with a write that gives it this dimension."""
    if dimension is not None and dimension > LARGEST:
        return NONE  # there was no embedding before, so nothing of it is in the table
    if scope.pgvector and collection.size == 0:
        return WHOLE
    return collection.indexed


def put(scope: Scope, collection: bytes, embeddings: Iterable[tuple[bytes, Vector]]) -> Steps:
    """Writes embeddings by id, over those that are there."""
    parameters = [
        (scope.namespace, collection, id, *vector.normalised()) for id, vector in embeddings
    ]
    if parameters:
        yield Statement(
            "INSERT INTO botwire_vectors (namespace, collection, id, unit, norm) "
            f"VALUES (?, ?, ?, {_VECTOR}, ?) ON CONFLICT (namespace, collection, id) "
            "DO UPDATE SET unit = excluded.unit, norm = excluded.norm",
            parameters,
            many=True,
        )


def remove(scope: Scope, collection: bytes, ids: Sequence[bytes]) -> Steps:
    """Deletes the vectors of records."""
    for chunk in chunks(ids):
        yield Statement(
            f"DELETE FROM botwire_vectors WHERE {HERE} AND id IN ({marks(chunk)})",
            (scope.namespace, collection, *chunk),
        )


def clear(namespace: bytes, collection: bytes) -> Steps:
    """Deletes all vectors of a collection."""
    yield Statement(f"DELETE FROM botwire_vectors WHERE {HERE}", (namespace, collection))


def forget(namespace: bytes) -> Steps:
    """Deletes all vectors of a namespace and answers how many there were."""
    where = "FROM botwire_vectors WHERE namespace = ?"
    rows = yield Statement(f"SELECT count(*) {where}", (namespace,))
    yield Statement(f"DELETE {where}", (namespace,))
    return rows[0][0]


# --- filling --------------------------------------------------------------------------------


class Filling(NamedTuple):
    """How far a collection is filled.

    Attributes:
        since: What its `Collection.indexed` was: another number is another filling, which began
            anew.
        after: The last id that was looked at.
    """

    since: int
    after: bytes


def find_unfilled(after: tuple[bytes, bytes], limit: int) -> Steps:
    """Answers some of the collections, as namespace and name, that the table could hold."""
    return (
        yield Statement(
            "SELECT namespace, collection FROM botwire_collections WHERE indexed <> 1 "
            "AND COALESCE(dimension, 0) <= ? AND (namespace, collection) > (?, ?) "
            "ORDER BY namespace, collection LIMIT ?",
            (LARGEST, *after, limit),
        )
    )


def fill(namespace: bytes, name: bytes, at: Filling | None, now: int, lock: str) -> Steps:
    """Fills in a page of a collection's vectors; answers how far it came, None at the end.

    In a transaction of its own, which locks the namespace first, as writers do. Whoever comes
    later, after a kill say, goes on with what is missing.
    """
    rows = yield Statement(
        f"SELECT 1 FROM botwire_namespaces WHERE namespace = ?{lock}", (namespace,)
    )
    if not rows:
        return None
    here = (namespace, name)
    rows = yield Statement(f"SELECT dimension, indexed FROM botwire_collections WHERE {HERE}", here)
    dimension, indexed = rows[0] if rows else (None, WHOLE)
    if indexed == WHOLE or (dimension or 0) > LARGEST:
        return None
    if at is None:
        at = Filling(indexed or now, b"")
        if indexed == NONE:
            yield from clear(*here)
    elif at.since != indexed:
        return None
    limit = max(10, min(500, _FILLED_AT_ONCE // (dimension or 1)))
    rows = yield Statement(
        f"SELECT id, embedding FROM botwire_records r WHERE {HERE} AND id > ? "
        "AND embedding IS NOT NULL AND NOT EXISTS (SELECT 1 FROM botwire_vectors v "
        "WHERE v.namespace = r.namespace AND v.collection = r.collection AND v.id = r.id) "
        "ORDER BY id LIMIT ?",
        (*here, at.after, limit),
    )
    yield from put(Scope(namespace, now, 0), name, [(id, Vector.stored(raw)) for id, raw in rows])
    reached = at.since if len(rows) == limit else WHOLE
    if reached != indexed:
        yield Statement(
            f"UPDATE botwire_collections SET indexed = ? WHERE {HERE}", (reached, *here)
        )
    return None if reached == WHOLE else Filling(at.since, rows[-1][0])


# --- reading --------------------------------------------------------------------------------


class Bound(NamedTuple):
    """An expression of SQL for what a row's score is at most, and its parameters."""

    sql: str
    parameters: Sequence[Any]

    @classmethod
    def of(cls, query: Vector, metric: str) -> Bound:
        """Returns the bound of the scores for a query; see `SearchRecords.metric`."""
        unit, norm = query.normalised()
        # What a sum of products of 32 bits may be off, in any order, and the rounding of the two
        # units (Higham, Accuracy and Stability, 3.1), twice that to have room to spare.
        error = 2 * (query.dimension + 2) * 2.0**-24 if norm else 0.0
        # <#> is the inner product with its sign changed. In a SELECT of its own the query is read
        # once, and not for every row.
        cosine = f"(? - (unit <#> (SELECT {_VECTOR})))"
        if metric != "l2":
            return cls(cosine, (error, unit))
        # |a - q|² = |a|² + |q|² - 2 |a| |q| cos, in double precision, and below what it can be.
        return cls(
            f"1 / (1 + GREATEST(0, ? * (norm * norm + ?) - 2 * norm * ? * {cosine}))",
            (1 - 1e-11, norm * norm, norm, error, unit),
        )


class Near(NamedTuple):
    """A vector in the order of its bound.

    Attributes:
        bound: The score of the record is not higher.
        tags: Of the record, if they were asked for.
        metadata: As `tags`.
    """

    id: bytes
    bound: float
    tags: str = ""
    metadata: str = ""


def nearest(
    scope: Scope,
    collection: bytes,
    bound: Bound,
    condition: tuple[str, Sequence[Any]],
    *,
    floor: float | None,
    after: Near | None,
    limit: int,
    metadata: bool,
) -> Steps:
    """Answers a `Near` for each of a page of vectors, the highest bound first, then by id.

    Args:
        scope: The batch's.
        collection: Which.
        bound: For the query.
        condition: On the columns of ``botwire_records``, and its parameters; as of `conditions`.
        floor: Only bounds as high as this.
        after: The last of the page before.
        limit: How many at most.
        metadata: Whether to answer tags and metadata.
    """
    here = (scope.namespace, collection)
    sql, given = condition
    source = "botwire_vectors"
    if sql:
        source += " JOIN botwire_records USING (namespace, collection, id)"
    where = "TRUE"
    parameters: list[Any] = []
    if floor is not None:
        where += " AND bound >= ?"
        parameters.append(floor)
    if after is not None:
        where += " AND (bound < ? OR (bound = ? AND id > ?))"
        parameters += [after.bound, after.bound, after.id]
    # OFFSET 0 keeps PostgreSQL from computing the bound again in every condition.
    page = (
        f"SELECT id, bound FROM (SELECT id, {bound.sql} AS bound FROM {source} "
        f"WHERE {HERE}{sql} OFFSET 0) every WHERE {where} ORDER BY bound DESC, id LIMIT ?"
    )
    parameters = [*bound.parameters, *here, *given, *parameters, limit]
    if metadata:
        page = (
            f"SELECT id, bound, tags, metadata FROM ({page}) page JOIN botwire_records "
            f"USING (id) WHERE {HERE} ORDER BY bound DESC, id"
        )
        parameters += here
    rows = yield Statement(page, parameters)
    return [Near(*row) for row in rows]


def bounds(scope: Scope, collection: bytes, bound: Bound, ids: Sequence[bytes]) -> Steps:
    """Answers the bounds of records by id, of these at least, if they have a vector."""
    select = f"SELECT id, {bound.sql} FROM botwire_vectors WHERE {HERE}"
    parameters = (*bound.parameters, scope.namespace, collection)
    if len(ids) > _MANY:
        return dict((yield Statement(select, parameters)))
    found: Rows = []
    for chunk in chunks(ids):
        yield Statement(
            f"{select} AND id IN ({marks(chunk)})", (*parameters, *chunk), then=found.extend
        )
    yield WAIT
    return dict(found)


def is_lost(scope: Scope, collection: bytes) -> Steps:
    """Answers whether a collection that has embeddings has no vectors at all.

    A reader whose snapshot is older than a table that was made anew finds it empty.
    """
    here = (scope.namespace, collection)
    rows = yield Statement(
        f"SELECT NOT EXISTS (SELECT 1 FROM botwire_vectors WHERE {HERE}) AND EXISTS "
        f"(SELECT 1 FROM botwire_records WHERE {HERE} AND embedding IS NOT NULL)",
        (*here, *here),
    )
    return rows[0][0]


# --- checking -------------------------------------------------------------------------------


def check(namespace: bytes, shown: int) -> Steps:
    """Answers what is wrong with a namespace's vectors (list of str), but for what they hold."""
    indexed = yield Statement(
        "SELECT 1 FROM botwire_collections WHERE namespace = ? AND indexed <> 0 LIMIT 1",
        (namespace,),
    )
    if not indexed:
        return []
    if not (yield from look()).whole:
        return []  # a search finds out and does without
    lost = yield Statement(
        "SELECT c.collection FROM botwire_collections c WHERE c.namespace = ? AND c.indexed = 1 "
        "AND (SELECT count(*) FROM botwire_vectors v WHERE v.namespace = c.namespace "
        "AND v.collection = c.collection) <> (SELECT count(r.embedding) FROM botwire_records r "
        "WHERE r.namespace = c.namespace AND r.collection = c.collection) LIMIT ?",
        (namespace, shown),
    )
    left = yield Statement(
        "SELECT v.id FROM botwire_vectors v WHERE v.namespace = ? AND NOT EXISTS (SELECT 1 "
        "FROM botwire_records r WHERE r.namespace = v.namespace AND r.collection = v.collection "
        "AND r.id = v.id AND r.embedding IS NOT NULL) LIMIT ?",
        (namespace, shown),
    )
    return [
        *[f"collection {from_bytes(name)!r} has other vectors than embeddings" for (name,) in lost],
        *[f"there is a vector of {from_bytes(id)!r}, which has no embedding" for (id,) in left],
    ]


def check_vectors(scope: Scope, collection: Collection, embeddings: Mapping[bytes, bytes]) -> Steps:
    """Answers which of some embeddings, by id, have another vector than theirs (list of str)."""
    if not embeddings or not (yield from look()).whole:
        return []
    found: dict[bytes, tuple[Any, float]] = {}
    for chunk in chunks(list(embeddings)):
        rows = yield Statement(
            f"SELECT id, unit::float4[], norm FROM botwire_vectors "
            f"WHERE {HERE} AND id IN ({marks(chunk)})",
            (scope.namespace, collection.name, *chunk),
        )
        found.update((id, (Vector.of(unit), norm)) for id, unit, norm in rows)
    wrong = []
    for id, raw in embeddings.items():
        vector = found.get(id)
        if vector is None and collection.indexed != WHOLE:
            continue  # not filled in yet
        if vector != Vector.stored(raw).normalised():
            wrong.append(f"record {from_bytes(id)!r} has another vector than its embedding")
    return wrong
