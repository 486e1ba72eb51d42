"""A namespace's row: its lock, its revision, its changes, and its usage; see `schema`."""

from __future__ import annotations

from typing import NamedTuple

from botwire.clock import DAY
from botwire.engines.sql import store, tables
from botwire.engines.sql.steps import Context, Rows, Statement, Steps
from botwire.names import to_bytes
from botwire.operations.terms import BatchTerms, Usage

KEPT_CHANGES = 10_000
"""How many of a namespace's latest changes can be read, if they are at most a day old."""

_PRUNE_EVERY = 1_000  # changes
_SELECT = (
    "SELECT revision, largest, day_began, keep_past, past_since, bytes, writes, day "
    "FROM botwire_namespaces "
    "WHERE namespace = ?"
)
_SELECT_REQUEST = "SELECT results FROM botwire_requests WHERE namespace = ? AND id = ?"


class NamespaceRow(NamedTuple):
    """A namespace's row as a batch finds it.

    Attributes:
        revision: The namespace's revision.
        largest: The size of the largest element ever written to it.
        day_began: The revision at which the day of `usage` began.
        keep_past: How long the namespace keeps its past; see `schema`.
        past_since: The revision from which the past is complete.
        usage: The usage as of the last write.
        answered: The recorded answer to the batch's request; None on the first attempt.
    """

    revision: int
    largest: int
    day_began: int
    keep_past: int
    past_since: int
    usage: Usage
    answered: str | None = None

    @property
    def keeps_past(self) -> bool:
        """Whether the namespace keeps what a write changes or deletes."""
        return self.keep_past > 0


def enter(
    namespace: bytes, now: int, lock: str, idempotency_id: bytes | None = None
) -> Steps[NamespaceRow]:
    """Locks a namespace, creates its row if it is missing, and returns it as a `NamespaceRow`.

    Once the lock is held, a separate statement looks up the request. A join would miss what another
    attempt wrote while this one waited for the lock.

    Args:
        namespace: The namespace.
        now: The current time.
        lock: What to add to a SELECT so that it locks the row; see `batches.write`.
        idempotency_id: The id of the batch's request, if it has one.
    """
    select = _SELECT + lock
    rows: Rows = []
    answered: Rows = []
    while True:
        if idempotency_id is None:
            rows = yield Statement(select, (namespace,))
        else:
            yield Statement(select, (namespace,), then=rows.extend)
            answered = yield Statement(_SELECT_REQUEST, (namespace, idempotency_id))
        if rows:
            revision, largest, day_began, keep_past, past_since, *usage = rows[0]
            known = answered[0][0] if answered else None
            return NamespaceRow(
                revision, largest, day_began, keep_past, past_since, Usage(*usage), known
            )
        first = yield from store.first_revision()
        yield Statement(
            "INSERT INTO botwire_namespaces (namespace, revision, created_at) VALUES (?, ?, ?) "
            "ON CONFLICT (namespace) DO NOTHING",
            (namespace, first, now),
        )


def leave(context: Context, row: NamespaceRow, writes: int) -> Steps[None]:
    """Saves what a batch changed in its namespace.

    Args:
        context: The batch's context.
        row: The row as the batch found it.
        writes: The number of writes in the batch.
    """
    usage = row.usage.on(context.now)
    largest = max(row.largest, context.largest)
    written = (context.revision, context.grown, largest, usage.writes + writes)
    if usage.day == row.usage.day:  # the usual case, which leaves the index alone
        yield Statement(
            "UPDATE botwire_namespaces SET revision = ?, bytes = bytes + ?, largest = ?, "
            "writes = ? WHERE namespace = ?",
            (*written, context.namespace),
        )
    else:
        yield Statement(
            "UPDATE botwire_namespaces SET revision = ?, bytes = bytes + ?, largest = ?, "
            "writes = ?, day = ?, day_began = ? WHERE namespace = ?",
            (*written, usage.day, row.revision, context.namespace),
        )
        # Yesterday's changes may be seconds old; earlier ones are at least a day old. If the day
        # goes backwards because a clock was wrong, their age is unknown.
        of_yesterday = usage.day == row.usage.day + 1
        if usage.day > row.usage.day:
            yield from _forget_changes(
                context, row, row.day_began if of_yesterday else row.revision
            )
    if context.changes:
        yield Statement(tables.CHANGES.insert, context.changes, many=True)
    if context.revision // _PRUNE_EVERY > row.revision // _PRUNE_EVERY:
        yield from _forget_changes(context, row, context.revision - KEPT_CHANGES)


def _forget_changes(context: Context, row: NamespaceRow, up_to: int) -> Steps[None]:
    if row.keeps_past:
        # The changes tell when each revision was made; see `past_rows`.
        up_to = min(up_to, row.past_since)
    yield Statement(
        "DELETE FROM botwire_changes WHERE namespace = ? AND revision <= ?",
        (context.namespace, up_to),
    )


def find_quiet(now: int, limit: int) -> Steps[list[bytes]]:
    """Returns some of the namespaces whose changes are all at least a day old."""
    rows = yield Statement(
        "SELECT namespace FROM botwire_namespaces WHERE day > 0 AND day < ? ORDER BY day LIMIT ?",
        (now // DAY - 1, limit),
    )
    return [namespace for (namespace,) in rows]


def tidy(context: Context, row: NamespaceRow) -> Steps[int]:
    """Saves what a sweep freed, and deletes the changes if all are old; returns how many.

    Args:
        context: The sweep's context, for one namespace.
        row: The row as the sweep found it.
    """
    if 0 < row.usage.day < context.now // DAY - 1:
        rows = yield Statement(
            "DELETE FROM botwire_changes WHERE namespace = ? AND revision <= ? RETURNING revision",
            (context.namespace, row.past_since if row.keeps_past else row.revision),
        )
        yield Statement(
            "UPDATE botwire_namespaces SET bytes = bytes + ?, writes = 0, day = 0 "
            "WHERE namespace = ?",
            (context.grown, context.namespace),
        )
        return len(rows)
    yield Statement(
        "UPDATE botwire_namespaces SET bytes = bytes + ? WHERE namespace = ?",
        (context.grown, context.namespace),
    )
    return 0


def hold(terms: BatchTerms, context: Context, usage: Usage, writes: int, lock: str) -> Steps[None]:
    """Enforces a batch's terms before the commit, and charges the batch to its account.

    Args:
        terms: The batch's terms.
        context: The batch's context, after all operations were applied.
        usage: The usage of its namespace before the batch.
        writes: The number of writes in the batch.
        lock: As in `enter`.

    Raises:
        QuotaExceededError: A quota is used up.
    """
    used = Usage(usage.bytes + context.grown, usage.writes + writes, usage.day)
    terms.tell(used)
    terms.quota.check(used, context.now, whose="this namespace", writes=writes, grown=context.grown)
    if terms.account is None or not writes:
        return
    account = to_bytes(terms.account)
    row = yield from enter(account, context.now, lock)
    counted = row.usage.on(context.now)
    counted = counted._replace(writes=counted.writes + writes)
    terms.tell(used, counted)
    terms.account_quota.check(
        counted, context.now, whose=terms.account_name, writes=writes, grown=0
    )
    yield Statement(
        "UPDATE botwire_namespaces SET writes = ?, day = ? WHERE namespace = ?",
        (counted.writes, counted.day, account),
    )
