"""A namespace's row: its lock, its revision, its changes, and what it uses; see `schema`."""

from __future__ import annotations

from botwire.engines import store_statements
from botwire.engines.steps import Scope, Statement, Steps
from botwire.names import to_bytes
from botwire.terms import Terms, Usage

KEPT_CHANGES = 10_000
"""How many of a namespace's last changes can still be asked for."""

_PRUNE_EVERY = 1_000  # changes
_SELECT = "SELECT revision, bytes, writes, day FROM botwire_namespaces WHERE namespace = ?"


def enter(namespace: bytes, now: int, lock: str) -> Steps:
    """Locks a namespace, makes its row if there is none, and answers its revision and `Usage`.

    Args:
        namespace: Which.
        now: The present time.
        lock: What to add to a SELECT so that it locks the row; see `statements.write`.
    """
    select = _SELECT + lock
    rows = yield Statement(select, (namespace,))
    if not rows:
        first = yield from store_statements.first_revision()
        yield Statement(
            "INSERT INTO botwire_namespaces (namespace, revision, created_at) VALUES (?, ?, ?) "
            "ON CONFLICT (namespace) DO NOTHING",
            (namespace, first, now),
        )
        rows = yield Statement(select, (namespace,))
    revision, size, writes, day = rows[0]
    return revision, Usage(size, writes, day)


def leave(scope: Scope, before: int, usage: Usage, writes: int) -> Steps:
    """Writes down what a batch changed in its namespace.

    Args:
        scope: The batch's.
        before: The revision it began with.
        usage: As of the present day, without the batch.
        writes: How many it made.
    """
    yield Statement(
        "UPDATE botwire_namespaces SET revision = ?, bytes = bytes + ?, writes = ?, day = ? "
        "WHERE namespace = ?",
        (scope.revision, scope.grown, usage.writes + writes, usage.day, scope.namespace),
    )
    if scope.changes:
        yield Statement(
            "INSERT INTO botwire_changes (namespace, revision, shape, action, name) "
            "VALUES (?, ?, ?, ?, ?)",
            scope.changes,
            many=True,
        )
    if scope.revision // _PRUNE_EVERY > before // _PRUNE_EVERY:
        yield Statement(
            "DELETE FROM botwire_changes WHERE namespace = ? AND revision <= ?",
            (scope.namespace, scope.revision - KEPT_CHANGES),
        )


def hold(terms: Terms, scope: Scope, usage: Usage, writes: int, lock: str) -> Steps:
    """Holds a batch to its terms, before it is committed, and counts it in its account.

    Args:
        terms: The batch's.
        scope: The batch's, all operations applied.
        usage: What its namespace used before.
        writes: How many it made.
        lock: As in `enter`.

    Raises:
        QuotaExceededError: A quota is used up.
    """
    terms.usage = Usage(usage.bytes + scope.grown, usage.writes + writes, usage.day)
    terms.quota.check(
        terms.usage, scope.now, whose="this namespace", writes=writes, grown=scope.grown
    )
    if terms.account is None or not writes:
        return
    account = to_bytes(terms.account)
    _, used = yield from enter(account, scope.now, lock)
    counted = used.on(scope.now)
    counted = counted._replace(writes=counted.writes + writes)
    terms.account_usage = counted
    terms.account_quota.check(counted, scope.now, whose=terms.account_name, writes=writes, grown=0)
    yield Statement(
        "UPDATE botwire_namespaces SET writes = ?, day = ? WHERE namespace = ?",
        (counted.writes, counted.day, account),
    )
