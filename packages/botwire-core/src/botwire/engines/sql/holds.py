"""Holds, which prevent deletion, and the storage of policies.

Policies and holds are keys of the system namespace. A batch that deletes something, or that sets an
expiry, reads the holds; no other batch does, so holds cost nothing elsewhere. Whatever a hold
covers does not expire: `KeepExpiring` removes existing expiries, and writes to histories and
records set none. A key that is written with a ttl while it is held is a lock or a lease: it
expires, and its owner may delete it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_type_hints

from botwire import operations as ops
from botwire import wire
from botwire.engines.sql import past_rows
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import STAT, Stat, save
from botwire.engines.sql.steps import Context, Statement, Steps, marks
from botwire.engines.sql.tables import IN_COLLECTION, THIS_KEY
from botwire.exact import Json
from botwire.names import (
    SYSTEM_NAMESPACE,
    from_bytes,
    is_reserved,
    join_parts,
    matches,
    prefix_end,
    to_bytes,
)

_FOLDERS = {False: "retention/policies/", True: "retention/holds/"}
_RESTORES = (ops.RestoreHistory, ops.RestoreKeys, ops.RestoreRecords)


def key_of(name: str, namespaces: str, *, hold: bool) -> str:
    """Returns the key in the system namespace that stores a policy or a hold."""
    return _FOLDERS[hold] + join_parts(namespaces, name)


def read_policies(*, hold: bool) -> Steps[list[ops.RetentionPolicy]]:
    """Returns all policies, or all holds."""
    first = to_bytes(_FOLDERS[hold])
    rows = yield Statement(
        "SELECT value_json FROM botwire_keys WHERE namespace = ? AND key >= ? AND key < ? "
        "ORDER BY key",
        (to_bytes(SYSTEM_NAMESPACE), first, prefix_end(first)),
    )
    return [decode(text) for (text,) in rows]


def _holds_on(context: Context, namespace: str) -> Steps[list[ops.RetentionPolicy]]:
    """Returns the holds whose patterns match a namespace; the batch reads all holds once."""
    if context.holds is None:
        context.holds = yield from read_policies(hold=True)
    return [hold for hold in context.holds if matches(hold.namespaces, namespace)]


def is_held(context: Context, history: str | None = None) -> Steps[bool]:
    """Returns whether a hold covers a history of the namespace, or with None, its records."""
    namespace = from_bytes(context.namespace)
    here = yield from _holds_on(context, namespace)
    return any(hold.covers(namespace, history) for hold in here)


def decode(text: str) -> ops.RetentionPolicy:
    """Returns the policy stored in a key of the system namespace."""
    policy: ops.RetentionPolicy = wire.decode_stored(
        ops.RetentionPolicy, Json.from_text(text).value
    )
    return policy


# --- what a batch may not delete ------------------------------------------------------------


def find(context: Context, operation: ops.AnyOperation) -> Steps[Sequence[ops.RetentionPolicy]]:
    """Returns the holds that concern what the operations may delete or make expire.

    A hold applies to batches that begin after it was set.
    """
    if not _is_concerned(operation):
        return ()
    namespace = from_bytes(context.namespace)
    if isinstance(operation, ops.ForgetNamespace):
        namespace = operation.name
    elif is_reserved(namespace):
        return ()
    here = yield from _holds_on(context, namespace)
    if not here:
        return ()
    if isinstance(operation, ops.ForgetNamespace):
        return (yield from _holding(namespace, here))
    history = _history_of(operation)
    if isinstance(operation, ops.DeleteKey):
        rows = yield Statement(
            f"SELECT 1 FROM botwire_keys WHERE {THIS_KEY} AND expires_at IS NOT NULL",
            (context.namespace, to_bytes(operation.key)),
        )
        if rows:
            return ()
    return [hold for hold in here if hold.covers(namespace, history)]


def lasting(operation: ops.AnyOperation) -> ops.AnyOperation:
    """Returns an operation without its ttl, for use on something held."""
    changed: dict[str, Any] = {}
    if isinstance(operation, ops.PutRecords):
        changed["records"] = tuple([replace(one, ttl=None) for one in operation.records])
    elif isinstance(operation, ops.RestoreKeys):
        changed["entries"] = tuple([one._replace(expires_at=None) for one in operation.entries])
    elif isinstance(operation, ops.RestoreRecords):
        changed["records"] = tuple([one._replace(expires_at=None) for one in operation.records])
    elif isinstance(operation, ops.RestoreHistory):
        changed["state"] = operation.state._replace(expires_at=None)
    elif hasattr(operation, "ttl") and not isinstance(operation, ops.PutKey):
        changed["ttl"] = None
    return replace(operation, **changed) if changed else operation  # type: ignore[type-var]


def _is_concerned(operation: ops.AnyOperation) -> bool:
    """Returns whether an operation may delete something or make it expire."""
    if operation.removes:
        return not operation.storewide or isinstance(operation, ops.ForgetNamespace)
    if operation.may_remove:
        return True
    if isinstance(operation, ops.KeepPast):
        return operation.seconds is None
    if isinstance(operation, ops.PutRecords):
        return any(record.ttl is not None for record in operation.records)
    has_ttl = getattr(operation, "ttl", None) is not None
    return has_ttl and not isinstance(operation, ops.PutKey)


def _history_of(operation: ops.AnyOperation) -> str | None:
    """Returns the history that an operation writes to; None if it writes to something else."""
    if isinstance(operation, ops.RestoreHistory):
        return operation.state.name
    if isinstance(operation, (ops.ErasePast, ops.RestorePast)):
        return operation.name if operation.shape == "history" else None
    cls: Any = type(operation)  # mypy takes no class for hashable
    return getattr(operation, "name", None) if _names_history(cls) else None


@functools.cache
def _names_history(cls: type[Any]) -> bool:
    """Returns whether the field `name` of an operation is declared as the name of a history."""
    return bool(get_type_hints(cls, include_extras=True).get("name") == ops.HistoryName)


def _holding(
    namespace: str, holds: Sequence[ops.RetentionPolicy]
) -> Steps[Sequence[ops.RetentionPolicy]]:
    """Returns the holds that cover anything in a namespace."""
    whole = [hold for hold in holds if hold.histories is None]
    if len(whole) == len(holds):
        return whole
    rows = yield Statement(
        "SELECT history FROM botwire_histories WHERE namespace = ?", (to_bytes(namespace),)
    )
    histories = [from_bytes(history) for (history,) in rows]
    return [
        hold
        for hold in holds
        if hold in whole or any(hold.covers(namespace, one) for one in histories)
    ]


def check(
    context: Context,
    operation: ops.AnyOperation,
    holds: Sequence[ops.RetentionPolicy],
    result: object,
    before: int,
) -> None:
    """Raises, and so rolls back the batch, if an operation has deleted something held.

    Args:
        context: The batch's context.
        operation: The operation, after it was applied.
        holds: The holds that `find` answered.
        result: The operation's result.
        before: The revision before the operation.

    Raises:
        PermissionDeniedError: The operation has deleted something held.
    """
    if isinstance(operation, ops.ForgetNamespace):
        deleted = isinstance(result, tuple) and any(count for _, count in result)
    elif isinstance(operation, _RESTORES):
        deleted = context.has_replaced or (
            isinstance(result, ops.Restored) and bool(result.removed)
        )
    elif isinstance(operation, ops.ReplaceHistory):
        deleted = any(change[1] > before and change[3] == "clear" for change in context.changes)
    elif isinstance(operation, (ops.ErasePast, ops.KeepPast)):
        deleted = bool(result)
    else:
        deletes = operation.removes or operation.may_remove
        deleted = deletes and context.revision > before
    if deleted:
        raise holds[0].refusal()


@handles(ops.FindHolds)
def _find_holds(context: Context, op: ops.FindHolds) -> Steps[tuple[ops.RetentionPolicy, ...]]:
    namespace = from_bytes(context.namespace)
    return tuple((yield from _holding(namespace, (yield from _holds_on(context, namespace)))))


# --- what is held does not expire -----------------------------------------------------------


@handles(ops.KeepExpiring)
def _keep_expiring(context: Context, op: ops.KeepExpiring) -> Steps[int]:
    namespace = from_bytes(context.namespace)
    holds = yield from _holds_on(context, namespace)
    limit = op.limit
    kept = 0
    if any(hold.covers(namespace) for hold in holds):
        kept += yield from _keep_keys(context, limit)
        kept += yield from _keep_records(context, max(1, limit - kept))
    rows = yield Statement(
        f"SELECT history, {STAT} FROM botwire_histories WHERE namespace = ? AND expires_at > ? "
        "ORDER BY history",
        (context.namespace, context.now),
    )
    for history, *columns in rows:
        if kept >= limit:
            break
        name = from_bytes(history)
        if Stat(*columns).exists and any(hold.covers(namespace, name) for hold in holds):
            context.change("history", "expire", history)
            yield from save(context, history, Stat(*columns)._replace(expires_at=None))
            kept += 1
    return kept


def _keep_keys(context: Context, limit: int) -> Steps[int]:
    rows = yield Statement(
        "SELECT key FROM botwire_keys WHERE namespace = ? AND expires_at > ? LIMIT ?",
        (context.namespace, context.now, limit),
    )
    lasting = []
    for (key,) in rows:
        revision = context.change("key", "expire", key)
        here = (context.namespace, key)
        yield from past_rows.keep(context, "keys", THIS_KEY, here)
        # The key's version stays, since its value does.
        lasting.append((revision if context.keeps_past else None, *here))
    if lasting:
        yield Statement(
            "UPDATE botwire_keys SET expires_at = NULL, "
            f"since = COALESCE(CAST(? AS BIGINT), since) WHERE {THIS_KEY}",
            lasting,
            many=True,
        )
    return len(rows)


def _keep_records(context: Context, limit: int) -> Steps[int]:
    kept = 0
    rows = yield Statement(
        "SELECT DISTINCT collection FROM botwire_records WHERE namespace = ? AND expires_at > ?",
        (context.namespace, context.now),
    )
    for (collection,) in rows:
        if kept >= limit:
            break
        here = (context.namespace, collection)
        found = yield Statement(
            f"SELECT id FROM botwire_records WHERE {IN_COLLECTION} AND expires_at > ? LIMIT ?",
            (*here, context.now, min(500, limit - kept)),
        )
        # The records get a new version, so that caches of the collection read them again.
        revision = context.change("record", "expire", collection)
        ids = [id for (id,) in found]
        these = f"{IN_COLLECTION} AND id IN ({marks(ids)})"
        yield from past_rows.keep(context, "records", these, (*here, *ids))
        yield Statement(
            f"UPDATE botwire_records SET expires_at = NULL, version = ?, since = NULL "
            f"WHERE {these}",
            (revision, *here, *ids),
        )
        yield from past_rows.keep(context, "collections", IN_COLLECTION, here)
        yield Statement(
            f"UPDATE botwire_collections SET revision = ?, version = ? WHERE {IN_COLLECTION}",
            (revision, revision, *here),
        )
        kept += len(ids)
    return kept
