"""The sweep: removes expired data, the past that is no longer kept, and old changes and answers.

Each shape has its own generator that removes what has expired in one namespace, such as
`keys.sweep`. This module finds the namespaces and divides the work into short transactions. A
database with a single lock runs `sweep`; one that locks namespaces separately runs `find_expired`,
then `sweep_namespace` for each, then `forget_requests`.
"""

from __future__ import annotations

from collections import Counter

from botwire.clock import DAY
from botwire.engines.sql import accounts, history_removal, keys, past, records, sizes
from botwire.engines.sql.steps import Context, Statement, Steps

KEPT_REQUESTS = DAY
"""How long a retried request is recognized, in microseconds."""

_SWEPT_NAMESPACES = 1_000  # namespaces that one query looks for
_SWEPT_ROWS = 500  # keys or answers per transaction, which take some 5 to 20 ms
_DUE = (
    "SELECT EXISTS (SELECT 1 FROM botwire_histories WHERE namespace = ? AND expires_at <= ?) "
    "OR EXISTS (SELECT 1 FROM botwire_histories "
    f"WHERE namespace = ? AND {history_removal.UNSWEPT}), "
    "EXISTS (SELECT 1 FROM botwire_records WHERE namespace = ? AND expires_at <= ?)"
)  # whether the sweep has histories or records to remove in a namespace
_SWEPT_RECORDS = 100  # records per transaction, with the words of their texts
_SWEPT_CHANGES = 10_000  # changes per transaction on all namespaces, which take some 15 ms


def make_room(context: Context, bytes_: int) -> Steps[None]:
    """Deletes what expired in the namespace until it has freed this many bytes."""
    target = context.grown - bytes_
    while context.grown > target and (yield from _forget_expired(context)):
        pass


def _forget_expired(context: Context) -> Steps[int]:
    """Deletes some of what expired in the namespace; returns how many elements."""
    done = yield from keys.sweep(context, _SWEPT_ROWS)
    here = context.namespace
    due = yield Statement(_DUE, (here, context.now, here, here, context.now))
    if due[0][0]:
        done += yield from history_removal.sweep(context, _SWEPT_ROWS)
    if due[0][1]:
        done += yield from records.sweep(context, _SWEPT_RECORDS)
    return done


def sweep(now: int) -> Steps[bool]:
    """Removes some of what expired in all namespaces, and some of the old changes.

    For databases with a single lock, which this holds for some 15 to 40 ms. Reads never show what
    expired, swept or not.

    Returns:
        Whether there may be more.
    """
    rows = yield Statement(
        "DELETE FROM botwire_keys WHERE (namespace, key) IN "
        "(SELECT namespace, key FROM botwire_keys WHERE expires_at <= ? "
        # Namespaces that keep their past are swept one by one.
        "AND namespace NOT IN (SELECT namespace FROM botwire_namespaces WHERE keep_past <> 0) "
        f"ORDER BY expires_at LIMIT ?) RETURNING namespace, {sizes.KEY}",
        (now, _SWEPT_ROWS),
    )
    freed: Counter[bytes] = Counter()
    for namespace, size in rows:
        freed[namespace] += size
    if freed:
        yield Statement(
            "UPDATE botwire_namespaces SET bytes = bytes - ? WHERE namespace = ?",
            [(size, namespace) for namespace, size in freed.items()],
            many=True,
        )
    if len(rows) == _SWEPT_ROWS:
        return True
    left = _SWEPT_ROWS
    for namespace in (yield from _find_expired(now)):
        left -= yield from _sweep_shapes(namespace, now, left)
        if left <= 0:
            return True
    forgotten = 0
    for namespace in (yield from accounts.find_quiet(now, _SWEPT_NAMESPACES)):
        forgotten += yield from sweep_namespace(namespace, now, "")
        if forgotten >= _SWEPT_CHANGES:
            return True
    return (yield from forget_requests(now))


def _find_expired(now: int) -> Steps[list[bytes]]:
    """Returns some of the namespaces in which histories or records have expired."""
    rows = yield Statement(
        history_removal.FIND_EXPIRED, (now, _SWEPT_NAMESPACES, _SWEPT_NAMESPACES)
    )
    rows += yield Statement(records.FIND_EXPIRED, (now, _SWEPT_NAMESPACES))
    rows += yield Statement(past.FIND_DUE, (now, now, _SWEPT_NAMESPACES))
    return list(dict.fromkeys(namespace for (namespace,) in rows))


def _sweep_shapes(namespace: bytes, now: int, most: int) -> Steps[int]:
    row = yield from accounts.enter(namespace, now, "")
    context = Context(namespace, now, row.revision, keeps_past=row.keeps_past)
    removed = 0
    if row.keep_past:
        removed += yield from keys.sweep(context, most)
        removed += yield from past.sweep(context, most)
    removed += yield from history_removal.sweep(context, most)
    # A record takes ten times as long as an item because of its indexed words.
    removed += 10 * (yield from records.sweep(context, max(1, (most - removed) // 10)))
    yield from accounts.tidy(context, row)
    return removed


def find_expired(now: int) -> Steps[list[bytes]]:
    """Returns some of the namespaces that need sweeping, to be swept one by one."""
    rows = yield Statement(
        "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_keys "
        f"WHERE expires_at <= ? ORDER BY expires_at LIMIT {_SWEPT_NAMESPACES}) oldest",
        (now,),
    )
    expired = [namespace for (namespace,) in rows]
    expired += yield from _find_expired(now)
    return expired + (yield from accounts.find_quiet(now, _SWEPT_NAMESPACES))


def sweep_namespace(namespace: bytes, now: int, lock: str) -> Steps[int]:
    """Removes some of what expired in a namespace, in a transaction that locks it first.

    Also removes all of its changes if they are old, and returns how many.
    """
    row = yield from accounts.enter(namespace, now, lock)
    context = Context(namespace, now, row.revision, keeps_past=row.keeps_past)
    yield from _forget_expired(context)
    if row.keep_past:
        yield from past.sweep(context, _SWEPT_ROWS)
    return (yield from accounts.tidy(context, row))


def forget_requests(now: int) -> Steps[bool]:
    """Removes some of the recorded answers that are too old; returns whether there may be more."""
    rows = yield Statement(
        "DELETE FROM botwire_requests WHERE (namespace, id) IN "
        "(SELECT namespace, id FROM botwire_requests WHERE created_at <= ? "
        "ORDER BY created_at LIMIT ?) RETURNING 1",
        (now - KEPT_REQUESTS, _SWEPT_ROWS),
    )
    return len(rows) == _SWEPT_ROWS
