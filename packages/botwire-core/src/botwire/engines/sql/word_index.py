"""The index of words: which record contains a word, how often, and among how many words.

Writing it takes most of the time of a put of long texts. So a plan finds out before the lock is
taken which rows change, and one statement writes a hundred of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain

from botwire import operations as ops
from botwire.engines.sql import past_rows, tables
from botwire.engines.sql.plans import Reindexing, WordRow
from botwire.engines.sql.steps import Context, Statement, Steps, T, chunks
from botwire.engines.sql.tables import IN_COLLECTION

Texts = Mapping[bytes, bytes]
"""The texts of records, by id."""

_TOGETHER = 100  # rows that one statement writes: half the time of a statement per row on SQLite
_ONE = f"{IN_COLLECTION} AND word = ? AND id = ?"
_REMOVE_ONE = f"DELETE FROM botwire_words WHERE {_ONE}"
# This form lets SQLite find each row by its whole key; with (word, id) alone, it scans.
_REMOVE = (
    "DELETE FROM botwire_words WHERE (namespace, collection, word, id) IN "
    f"(SELECT ?, ?, e.column1, e.column2 FROM (VALUES {', '.join(['(?, ?)'] * _TOGETHER)}) e)"
)
_WRITE_ONE = tables.WORDS.upsert()
_WRITE = (
    "INSERT INTO botwire_words (namespace, collection, word, id, times, among, since) "
    "SELECT h.namespace, h.collection, e.column1, e.column2, e.column3, e.column4, h.since "
    "FROM (SELECT ? AS namespace, ? AS collection, CAST(? AS BIGINT) AS since) h, "
    f"(VALUES {', '.join(['(?, ?, ?, ?)'] * _TOGETHER)}) e WHERE true "
    "ON CONFLICT (namespace, collection, word, id) DO UPDATE "
    "SET times = excluded.times, among = excluded.among, since = excluded.since"
)


def reindexing(old: Texts, new: Texts, count: Callable[[bytes], Counter[bytes]]) -> Reindexing:
    """Returns the rows to change if `new` texts replace `old` ones.

    Args:
        old: The present text of each record that has one.
        new: The new text of each record that gets one.
        count: Returns how often each word of a text occurs.
    """
    removed: dict[bytes, list[tuple[bytes, bytes]]] = {}
    changed: dict[bytes, list[tuple[bytes, bytes]]] = {}
    written: dict[bytes, list[WordRow]] = {}
    growth = 0
    for id in sorted({*old, *new}):
        before = count(old[id]) if id in old else Counter[bytes]()
        after = count(new[id]) if id in new else Counter[bytes]()
        among = after.total()
        was_among = before.total()
        growth += among - was_among
        for word in before.keys() - after.keys():
            removed.setdefault(word, []).append((word, id))
        for word, times in after.items():
            was = before.get(word)
            if was != times or among != was_among:
                written.setdefault(word, []).append((word, id, times, among))
                if was is not None:
                    changed.setdefault(word, []).append((word, id))
    return Reindexing(old, new, _in_order(removed), _in_order(changed), _in_order(written), growth)


def _in_order(rows: Mapping[bytes, list[T]]) -> list[T]:
    # Most words are in many texts, so this is faster than sorting the rows.
    return [row for word in sorted(rows) for row in rows[word]]


def planned_for(context: Context, operation: ops.AnyOperation) -> Reindexing | None:
    """Returns what an operation was planned to change in the index, if it was planned."""
    return None if context.plan is None else context.plan.words.get(id(operation))


def reindex(
    context: Context,
    collection: bytes,
    old: Texts,
    new: Texts,
    planned: Reindexing | None = None,
) -> Steps[int]:
    """Brings the index up to date; returns how many more words the texts have.

    Args:
        context: The batch's context.
        collection: The records' collection.
        old: The present text of each record that has one.
        new: The new text of each record that gets one.
        planned: What was found out before the lock was taken, for the texts of that time.
    """
    if planned is None or (planned.old, planned.new) != (old, new):
        planned = reindexing(old, new, context.words_of)
    here = (context.namespace, collection)
    if context.keeps_past:
        gone = [(*here, *row) for row in chain(planned.removed, planned.changed)]
        yield from past_rows.keep_each(context, "words", _ONE, gone)
    whole = len(planned.removed) // _TOGETHER * _TOGETHER
    for chunk in chunks(planned.removed[:whole], _TOGETHER):
        yield Statement(_REMOVE, (*here, *chain.from_iterable(chunk)))
    if planned.removed[whole:]:
        rows = [(*here, *row) for row in planned.removed[whole:]]
        yield Statement(_REMOVE_ONE, rows, many=True)
    since = context.until if context.keeps_past else None
    whole = len(planned.written) // _TOGETHER * _TOGETHER
    for written in chunks(planned.written[:whole], _TOGETHER):
        yield Statement(_WRITE, (*here, since, *chain.from_iterable(written)))
    if planned.written[whole:]:
        added = [(*here, *row, since) for row in planned.written[whole:]]
        yield Statement(_WRITE_ONE, added, many=True)
    return planned.growth
