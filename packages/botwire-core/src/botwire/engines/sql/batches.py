"""Batches in SQL, once for SQLite and PostgreSQL.

Each shape has a module beside this one that defines its operations, such as `keys`.

Each function is a generator that yields statements and receives their rows; it does no I/O. An
engine opens a transaction, runs the generator with its own driver, and commits. If the generator
raises, the engine rolls back. Placeholders are ``?``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from botwire import operations as ops
from botwire import wire
from botwire.engines.sql import (  # noqa: F401 - importing a module registers its handlers
    accounts,
    checks,
    deletes,
    dumping,
    forks,
    histories,
    history_lists,
    history_removal,
    holds,
    keys,
    old_items,
    old_records,
    pages,
    past,
    past_restoring,
    past_rows,
    past_versions,
    record_reads,
    records,
    restoring,
    restoring_histories,
    restoring_records,
    retention,
    search,
    store,
    sweeping,
    tables,
)
from botwire.engines.sql.handlers import check_complete, handler_of, handles
from botwire.engines.sql.plans import Plan
from botwire.engines.sql.steps import WAIT, Context, Statement, Steps, side_by_side
from botwire.engines.sql.vector_cache import VectorCache
from botwire.errors import InvalidRequestError
from botwire.exact import decode_stored
from botwire.names import SYSTEM_NAMESPACE, from_bytes, to_bytes
from botwire.operations.authors import from_stored, to_stored
from botwire.operations.terms import AUDIT_LOG, BatchTerms, Usage

_TOGETHER = 4  # operations run together if their answers may be large, up to a page each


def read(
    batch: ops.Batch, now: int, vectors: VectorCache | None = None, *, in_rounds: bool = False
) -> Steps[ops.Results]:
    """Applies a batch that writes nothing.

    Args:
        batch: The operations.
        now: The current time.
        vectors: The engine's cache of embeddings.
        in_rounds: Whether to send the statements of several operations together, which saves round
            trips to a remote database.
    """
    limit = None if batch.terms is None else batch.terms.answer
    context = Context(to_bytes(batch.namespace), now, 0, vectors, limit=limit)
    if batch.at is None:
        return (yield from _read(context, batch, in_rounds=in_rounds))
    revision, context.now = yield from past_rows.find(context, batch.at)
    context.vectors = None  # the cache holds the present only
    return (yield from past_rows.as_of(_read(context, batch, in_rounds=in_rounds), revision))


def _read(context: Context, batch: ops.Batch, *, in_rounds: bool) -> Steps[ops.Results]:
    limit = context.limit
    parts = [handler_of(operation)(context, operation) for operation in batch.operations]
    if in_rounds and len(parts) > 1:
        return (yield from _in_rounds(context, batch.operations, parts))
    results: ops.Results = []
    for part in parts:
        result = yield from part
        results.append(result)
        if limit is not None and len(parts) > 1:
            context.answered += pages.size_of(result)
    return results


def _in_rounds(
    context: Context, operations: Sequence[ops.AnyOperation], parts: Sequence[Steps[Any]]
) -> Steps[ops.Results]:
    """Applies read-only operations together, a few at a time if their answers may be large."""
    together = len(parts)
    if context.limit is not None and together > _TOGETHER:
        most = (yield from pages.largest(context)) * sum(map(pages.count, operations))
        together = together if most <= context.limit else _TOGETHER
    results: ops.Results = []
    for start in range(0, len(parts), together):
        round_ = parts[start : start + together]
        if len(round_) <= _TOGETHER:
            context.sharing = len(round_)
        found = yield from side_by_side(round_)
        if context.limit is not None:
            context.answered += sum(map(pages.size_of, found))
        results += found
    return results


def write(
    batch: ops.Batch,
    now: int,
    *,
    lock: str = "",
    plan: Plan | None = None,
    locked: Callable[[], object] | None = None,
) -> Steps[ops.Results]:
    """Applies a batch inside a transaction that the engine has opened.

    Args:
        batch: The operations.
        now: The current time.
        lock: What to add to a SELECT so that it locks the row, if a transaction does not lock
            the whole database.
        plan: What was read before taking the lock; see `planning`.
        locked: Called once the namespace is locked, which may have been a long wait.

    Raises:
        UnplannedError: A new plan is needed.
    """
    namespace = to_bytes(batch.namespace)
    idempotency_id = None if batch.idempotency_id is None else to_bytes(batch.idempotency_id)
    row = yield from accounts.enter(namespace, now, lock, idempotency_id)
    if locked is not None:
        locked()
    usage = row.usage.on(now)
    if row.answered is not None:
        results = _recorded(batch, row.answered)
        if batch.terms is not None:
            batch.terms.tell(usage)
        return results

    context = Context(
        *(namespace, now, row.revision),
        lock=lock,
        limit=None if batch.terms is None else batch.terms.answer,
        plan=plan,
        author=to_stored(batch.author),
        keeps_past=row.keeps_past,
    )
    context.known = row.largest
    results, changed = yield from _write(context, batch.operations)
    writes = sum(not (batch.operations[i].removes or batch.operations[i].admin) for i in changed)
    yield WAIT  # until `context.grown` is known

    if batch.terms is not None:
        limit = batch.terms.quota.bytes
        if limit is not None and usage.bytes + context.grown > limit:
            yield from sweeping.make_room(context, usage.bytes + context.grown - limit)
        yield from accounts.hold(batch.terms, context, usage, writes, lock)
    if context.changes or context.grown:
        yield from accounts.leave(context, row, writes)
    yield from _write_down(batch.terms, changed, context)
    if idempotency_id is not None:
        answer_text = wire.encode_results(batch.operations, results, batch.digest)
        yield Statement(tables.REQUESTS.insert, (namespace, idempotency_id, answer_text, now))
    return results


def _recorded(batch: ops.Batch, answered: str) -> ops.Results:
    """Returns the results of a batch that was applied before, and is sent again."""
    recorded = decode_stored(answered)
    if batch.digest not in (None, recorded.get("digest", batch.digest)):
        raise InvalidRequestError(
            f"the id {batch.idempotency_id!r:.80} was used by another request: a request that "
            "is sent again is the same in every byte, and a new one has a new id",
            status=422,
        )
    return wire.decode_results(batch.operations, recorded)


def _write(
    context: Context, operations: Sequence[ops.AnyOperation]
) -> Steps[tuple[ops.Results, list[int]]]:
    """Applies operations; returns their results, and the indexes of those that changed anything."""
    results: ops.Results = []
    changed: list[int] = []
    for index, operation in enumerate(operations):
        at = context.begun = context.revision
        held = yield from holds.find(context, operation)
        if held:
            result = yield from handler_of(operation)(context, holds.lasting(operation))
            holds.check(context, operation, held, result, at)
        else:
            result = yield from handler_of(operation)(context, operation)
        results.append(result)
        if context.limit is not None and len(operations) > 1:
            context.answered += pages.size_of(result)
        if context.revision > at or operation.storewide or operation.admin:
            changed.append(index)
    return results, changed


def _write_down(terms: BatchTerms | None, changed: Sequence[int], done: Context) -> Steps[None]:
    """Writes the batch's changes to the audit log, in the same transaction."""
    asked = {} if terms is None else terms.audit
    told = [entry for index in changed for entry in asked.get(index, ())]
    entries = [(entry, None) for entry in [*told, *done.audit]]
    if not entries:
        return
    # A batch takes this lock last, so two batches that write here cannot deadlock.
    namespace = to_bytes(SYSTEM_NAMESPACE)
    row = yield from accounts.enter(namespace, done.now, done.lock)
    context = Context(
        namespace, done.now, row.revision, author=done.author, keeps_past=row.keeps_past
    )
    yield from histories.append(context, to_bytes(AUDIT_LOG), entries)
    yield from accounts.leave(context, row, 0)


# --- changes --------------------------------------------------------------------------------


@handles(ops.ReadChanges)
def _read_changes(context: Context, op: ops.ReadChanges) -> Steps[ops.ChangePage]:
    rows = yield Statement(
        "SELECT revision, COALESCE((SELECT min(revision) FROM botwire_changes "
        "WHERE namespace = ?), revision + 1) FROM botwire_namespaces WHERE namespace = ?",
        (context.namespace, context.namespace),
    )
    revision, oldest = rows[0] if rows else (0, 1)
    if op.after is None or op.after == revision:
        return ops.ChangePage((), revision)
    if not oldest - 1 <= op.after < revision:
        # The revision was pruned, or is from another store: what changed since is unknown.
        return ops.ChangePage((ops.ChangeEntry(revision, "namespace", "reset", ""),), revision)
    rows = yield Statement(
        "SELECT revision, shape, action, name, author, changed_at FROM botwire_changes "
        "WHERE namespace = ? AND revision > ? ORDER BY revision LIMIT ?",
        (context.namespace, op.after, op.limit),
    )
    changes = [
        ops.ChangeEntry(
            at, shape, action, from_bytes(name), author and from_stored(author), changed_at
        )
        for at, shape, action, name, author, changed_at in rows
    ]
    return ops.ChangePage(tuple(changes), revision)


@handles(ops.ReadUsage)
def _read_usage(context: Context, op: ops.ReadUsage) -> Steps[Usage]:
    rows = yield Statement(
        "SELECT bytes, writes, day FROM botwire_namespaces WHERE namespace = ?",
        (context.namespace,),
    )
    return Usage(*(rows[0] if rows else (0, 0, 0))).on(context.now)


check_complete()
