"""What each operation means in SQL, once for SQLite and PostgreSQL.

Each function is a generator that yields statements and is sent their rows, and so does no I/O:
an engine opens a transaction, runs the generator with its own driver, and commits. Raising
leaves it to the engine to roll back. Placeholders are ``?``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire import wire
from botwire.engines import (
    accounts,
    exact_statements,
    record_search,
    record_statements,
    sizes,
    store_statements,
)
from botwire.engines.steps import Handlers, Scope, Statement, Steps, bounds, chunks, marks
from botwire.engines.vector_cache import VectorCache
from botwire.errors import ConflictError, InvalidRequestError
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE, from_bytes, to_bytes
from botwire.terms import AUDIT_LOG, Terms, Usage

KEPT_REQUESTS = 24 * 3600 * 1_000_000
"""For how long a repeated request is recognised, in microseconds."""


def read(batch: ops.Batch, now: int, vectors: VectorCache | None = None) -> Steps:
    """Applies a batch that writes nothing.

    Args:
        batch: The operations.
        now: The present time.
        vectors: What the engine remembers of embeddings.
    """
    scope = Scope(to_bytes(batch.namespace), now, 0, vectors)
    results: ops.Results = []
    for operation in batch.operations:
        results.append((yield from _HANDLERS[type(operation)](scope, operation)))
    return results


def write(batch: ops.Batch, now: int, *, lock: str = "") -> Steps:
    """Applies a batch inside a transaction of the engine's.

    Args:
        batch: The operations.
        now: The present time.
        lock: What to add to a SELECT so that it locks the row, where a transaction does not
            lock the whole database.
    """
    namespace = to_bytes(batch.namespace)
    before, stored = yield from accounts.enter(namespace, now, lock)
    scope = Scope(namespace, now, before, lock=lock)
    usage = stored.on(now)

    request_id = None if batch.request_id is None else to_bytes(batch.request_id)
    if request_id is not None:
        answered = yield Statement(
            "SELECT results FROM botwire_requests WHERE namespace = ? AND id = ?",
            (namespace, request_id),
        )
        if answered:
            recorded = json.loads(answered[0][0])
            if batch.digest not in (None, recorded.get("digest", batch.digest)):
                raise InvalidRequestError(
                    f"the id {batch.request_id!r:.80} was used by another request: a request that "
                    "is sent again is the same in every byte, and a new one has a new id",
                    status=422,
                )
            if batch.terms is not None:
                batch.terms.usage = usage
            return wire.decode_results(batch.operations, recorded)

    results: ops.Results = []
    changed: list[int] = []
    writes = 0
    for index, operation in enumerate(batch.operations):
        at = scope.revision
        results.append((yield from _HANDLERS[type(operation)](scope, operation)))
        if scope.revision > at or operation.storewide:
            changed.append(index)
            writes += not operation.removes

    if batch.terms is not None:
        limit = batch.terms.quota.bytes
        if limit is not None and usage.bytes + scope.grown > limit:
            yield from _forget_expired(scope)
        yield from accounts.hold(batch.terms, scope, usage, writes, lock)
    if scope.changes or scope.grown:
        yield from accounts.leave(scope, before, usage, writes)
    if batch.terms is not None:
        yield from _write_down(batch.terms, changed, now, lock)
    if request_id is not None:
        yield Statement(
            "INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES (?, ?, ?, ?)",
            (
                namespace,
                request_id,
                wire.encode_results(batch.operations, results, batch.digest),
                now,
            ),
        )
    return results


def _write_down(terms: Terms, changed: Sequence[int], now: int, lock: str) -> Steps:
    """Writes what was done into the audit log, in the transaction in which it was done."""
    entries = [(entry, None) for index in changed for entry in terms.audit.get(index, ())]
    if not entries:
        return
    # The last lock that a batch takes, so that two which write here cannot wait for each other.
    namespace = to_bytes(SYSTEM_NAMESPACE)
    before, usage = yield from accounts.enter(namespace, now, lock)
    scope = Scope(namespace, now, before)
    yield from _append(scope, to_bytes(AUDIT_LOG), entries)
    yield from accounts.leave(scope, before, usage, 0)


def _forget_expired(scope: Scope) -> Steps:
    """Deletes what expired in the namespace, so that it takes no room from what is to be kept."""
    rows = yield Statement(
        f"DELETE FROM botwire_keys WHERE namespace = ? AND expires_at <= ? RETURNING {sizes.KEY}",
        (scope.namespace, scope.now),
    )
    scope.grown -= sum(size for (size,) in rows)


def sweep(now: int) -> Steps:
    """Removes what expired in all namespaces, where one lock is for all.

    Reads never show what expired, swept or not.
    """
    rows = yield Statement(
        f"DELETE FROM botwire_keys WHERE expires_at <= ? RETURNING namespace, {sizes.KEY}", (now,)
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
    yield from forget_requests(now)


def find_expired(now: int) -> Steps:
    """Answers some of the namespaces in which something expired, to be swept one by one."""
    rows = yield Statement(
        "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_keys "
        "WHERE expires_at <= ? ORDER BY expires_at LIMIT 1000) oldest",
        (now,),
    )
    return [namespace for (namespace,) in rows]


def sweep_namespace(namespace: bytes, now: int, lock: str) -> Steps:
    """Removes what expired in a namespace, in a transaction that locks it first, as writers do."""
    before, usage = yield from accounts.enter(namespace, now, lock)
    scope = Scope(namespace, now, before)
    yield from _forget_expired(scope)
    yield from accounts.leave(scope, before, usage.on(now), 0)


def forget_requests(now: int) -> Steps:
    """Removes the answers that are no longer kept."""
    yield Statement("DELETE FROM botwire_requests WHERE created_at <= ?", (now - KEPT_REQUESTS,))


# --- keys -----------------------------------------------------------------------------------

_LIVE = "(expires_at IS NULL OR expires_at > ?)"
_ENTRY = "key, value_json, value_bytes, version, created_at, updated_at, expires_at"


def _entry(row: tuple[Any, ...]) -> ops.KeyEntry:
    key, text, raw, version, created_at, updated_at, expires_at = row
    value = Json.from_text(text) if text is not None else raw
    return ops.KeyEntry(from_bytes(key), value, version, created_at, updated_at, expires_at)


def _get_keys(scope: Scope, op: ops.GetKeys) -> Steps:
    if len(op.keys) == 1:
        rows = yield Statement(
            f"SELECT {_ENTRY} FROM botwire_keys WHERE namespace = ? AND key = ? AND {_LIVE}",
            (scope.namespace, to_bytes(op.keys[0]), scope.now),
        )
        return (_entry(rows[0]) if rows else None,)
    found = {}
    for chunk in chunks([to_bytes(key) for key in op.keys]):
        rows = yield Statement(
            f"SELECT {_ENTRY} FROM botwire_keys "
            f"WHERE namespace = ? AND key IN ({marks(chunk)}) AND {_LIVE}",
            (scope.namespace, *chunk, scope.now),
        )
        for row in rows:
            entry = _entry(row)
            found[entry.key] = entry
    return tuple([found.get(key) for key in op.keys])


def _version(scope: Scope, key: bytes) -> Steps:
    rows = yield Statement(
        f"SELECT version FROM botwire_keys WHERE namespace = ? AND key = ? AND {_LIVE}",
        (scope.namespace, key, scope.now),
    )
    return rows[0][0] if rows else 0


def _expect(scope: Scope, key: str, version: int | None) -> Steps:
    if version is None:
        return
    current = yield from _version(scope, to_bytes(key))
    if current != version:
        found = f"has version {current}" if current else "does not exist"
        wanted = f"to have version {version}" if version else "not to exist"
        raise ConflictError(
            f"key {key!r:.80} {found}, but was expected {wanted}: read it again and retry"
        )


def _check_key(scope: Scope, op: ops.CheckKey) -> Steps:
    yield from _expect(scope, op.key, op.version)


def _put_key(scope: Scope, op: ops.PutKey) -> Steps:
    yield from _expect(scope, op.key, op.if_version)
    expires_at = None if op.ttl is None else scope.now + max(1, round(op.ttl * 1_000_000))
    return (yield from _put(scope, to_bytes(op.key), op.value, expires_at))


def _put(scope: Scope, key: bytes, value: ops.Value, expires_at: int | None) -> Steps:
    version = scope.change("key", "put", key)
    is_json = isinstance(value, Json)
    rows = yield Statement(
        "INSERT INTO botwire_keys (namespace, key, value_json, value_bytes, version, "
        "created_at, updated_at, expires_at, replaced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) "
        "ON CONFLICT (namespace, key) DO UPDATE SET "
        f"replaced = {sizes.STORED_KEY}, "
        "value_json = excluded.value_json, value_bytes = excluded.value_bytes, "
        "version = excluded.version, updated_at = excluded.updated_at, "
        "expires_at = excluded.expires_at, "
        # A key that expired is gone: what is set next is a new key.
        "created_at = CASE WHEN botwire_keys.expires_at <= excluded.updated_at "
        "THEN excluded.created_at ELSE botwire_keys.created_at END "
        "RETURNING replaced",
        (
            scope.namespace,
            key,
            value.text if isinstance(value, Json) else None,
            None if is_json else value,
            version,
            scope.now,
            scope.now,
            expires_at,
        ),
    )
    scope.grown += sizes.key(key, value) - rows[0][0]
    return version


def _increment_key(scope: Scope, op: ops.IncrementKey) -> Steps:
    (entry,) = yield from _get_keys(scope, ops.GetKeys((op.key,)))
    start = 0
    if entry is not None:
        start = entry.value.value if isinstance(entry.value, Json) else entry.value
        if isinstance(start, bool) or not isinstance(start, int):
            raise InvalidRequestError(
                f"key {op.key!r:.80} holds a {type(start).__name__}, and only an int can be "
                "incremented"
            )
    total = start + op.by
    value = Json.of(total, f"the sum in key {op.key!r:.80}")
    yield from _put(scope, to_bytes(op.key), value, entry.expires_at if entry else None)
    return total


def _delete_key(scope: Scope, op: ops.DeleteKey) -> Steps:
    yield from _expect(scope, op.key, op.if_version)
    key = to_bytes(op.key)
    rows = yield Statement(
        f"DELETE FROM botwire_keys WHERE namespace = ? AND key = ? AND {_LIVE} "
        f"RETURNING {sizes.KEY}",
        (scope.namespace, key, scope.now),
    )
    if rows:
        scope.grown -= rows[0][0]
        scope.change("key", "delete", key)
    return bool(rows)


def _list_keys(scope: Scope, op: ops.ListKeys) -> Steps:
    condition, between = bounds("key", op.prefix, op.after)
    rows = yield Statement(
        f"SELECT key FROM botwire_keys WHERE namespace = ?{condition} AND {_LIVE} "
        "ORDER BY key LIMIT ?",
        (scope.namespace, *between, scope.now, op.limit + 1),
    )
    return ops.KeyPage(
        tuple([from_bytes(row[0]) for row in rows[: op.limit]]), len(rows) > op.limit
    )


def _scan_keys(scope: Scope, op: ops.ScanKeys) -> Steps:
    condition, between = bounds("key", op.prefix, op.after)
    if op.before is not None:
        condition += " AND key < ?"
        between.append(to_bytes(op.before))
    rows = yield Statement(
        f"SELECT {_ENTRY} FROM botwire_keys WHERE namespace = ?{condition} AND {_LIVE} "
        f"ORDER BY key {'DESC' if op.descending else 'ASC'} LIMIT ?",
        (scope.namespace, *between, scope.now, op.limit + 1),
    )
    return ops.EntryPage(tuple([_entry(row) for row in rows[: op.limit]]), len(rows) > op.limit)


def _count_keys(scope: Scope, op: ops.CountKeys) -> Steps:
    condition, between = bounds("key", op.prefix)
    rows = yield Statement(
        f"SELECT count(*) FROM botwire_keys WHERE namespace = ?{condition} AND {_LIVE}",
        (scope.namespace, *between, scope.now),
    )
    return rows[0][0]


def _clear_keys(scope: Scope, op: ops.ClearKeys) -> Steps:
    condition, between = bounds("key", op.prefix)
    rows = yield Statement(
        f"SELECT COALESCE(sum(CASE WHEN {_LIVE} THEN 1 ELSE 0 END), 0), "
        f"COALESCE(sum({sizes.KEY}), 0) FROM botwire_keys WHERE namespace = ?{condition}",
        (scope.now, scope.namespace, *between),
    )
    count, size = rows[0]
    scope.grown -= size
    yield Statement(
        f"DELETE FROM botwire_keys WHERE namespace = ?{condition}",
        (scope.namespace, *between),
    )
    if count:
        scope.change("key", "clear", to_bytes(op.prefix))
    return count


# --- histories ------------------------------------------------------------------------------

_STAT = "size, archived, last_seq, archived_seq, created_at, updated_at, bytes"


class _Stat(NamedTuple):
    size: int
    archived: int
    last_seq: int
    archived_seq: int
    created_at: int
    updated_at: int
    bytes: int


def _stat(scope: Scope, history: bytes) -> Steps:
    rows = yield Statement(
        f"SELECT {_STAT} FROM botwire_histories WHERE namespace = ? AND history = ?",
        (scope.namespace, history),
    )
    return _Stat(*rows[0]) if rows else _Stat(0, 0, 0, 0, 0, 0, 0)


def _expect_last(scope: Scope, name: str, if_last: int | None) -> Steps:
    if if_last is None:
        return
    stat = yield from _stat(scope, to_bytes(name))
    if stat.last_seq != if_last:
        raise ConflictError(
            f"history {name!r:.80} ends at {stat.last_seq}, not at {if_last}: "
            "read what was added and retry"
        )


def _extend_history(scope: Scope, op: ops.ExtendHistory) -> Steps:
    history = to_bytes(op.name)
    known: dict[str, int] = {}
    if op.ids is not None:
        given = [to_bytes(id) for id in op.ids if id is not None]
        for chunk in chunks(given):
            rows = yield Statement(
                "SELECT id, seq FROM botwire_items "
                f"WHERE namespace = ? AND history = ? AND id IN ({marks(chunk)})",
                (scope.namespace, history, *chunk),
            )
            known.update((from_bytes(id), seq) for id, seq in rows)
    ids = op.ids or (None,) * len(op.values)
    new = [
        (value, id)
        for value, id in zip(op.values, ids, strict=True)
        if id is None or id not in known
    ]
    if new:
        yield from _expect_last(scope, op.name, op.if_last)
        first = yield from _append(scope, history, new)
    results = []
    for id in ids:
        if id is not None and id in known:
            results.append(known[id])
        else:
            results.append(first)
            first += 1
    return tuple(results)


def _append(scope: Scope, history: bytes, new: Sequence[tuple[Json, str | None]]) -> Steps:
    stored = [(None if id is None else to_bytes(id), value) for value, id in new]
    grown = sum(sizes.item(id, value) for id, value in stored)
    rows = yield Statement(
        "INSERT INTO botwire_histories (namespace, history, last_seq, size, archived, "
        "archived_seq, created_at, updated_at, bytes) VALUES (?, ?, ?, ?, 0, 0, ?, ?, ?) "
        "ON CONFLICT (namespace, history) DO UPDATE SET "
        "last_seq = botwire_histories.last_seq + excluded.last_seq, "
        "size = botwire_histories.size + excluded.size, "
        "bytes = botwire_histories.bytes + excluded.bytes, "
        "updated_at = excluded.updated_at RETURNING last_seq",
        (scope.namespace, history, len(new), len(new), scope.now, scope.now, grown),
    )
    first: int = rows[0][0] - len(new) + 1
    yield Statement(
        "INSERT INTO botwire_items (namespace, history, seq, id, value_json, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [
            (scope.namespace, history, seq, id, value.text, scope.now)
            for seq, (id, value) in enumerate(stored, first)
        ],
        many=True,
    )
    scope.grown += grown
    scope.change("history", "append", history)
    return first


def _replace_history(scope: Scope, op: ops.ReplaceHistory) -> Steps:
    yield from _expect_last(scope, op.name, op.if_last)
    yield from _clear_history(scope, ops.ClearHistory(op.name))
    if not op.values:
        return ()
    ids = op.ids or (None,) * len(op.values)
    new = list(zip(op.values, ids, strict=True))
    first = yield from _append(scope, to_bytes(op.name), new)
    return tuple(range(first, first + len(new)))


_NOT_ARCHIVED = (
    " AND seq > COALESCE((SELECT archived_seq FROM botwire_histories "
    "WHERE namespace = ? AND history = ?), 0)"
)


def _read_history(scope: Scope, op: ops.ReadHistory) -> Steps:
    history = to_bytes(op.name)
    sql = (
        "SELECT seq, id, value_json, created_at FROM botwire_items "
        "WHERE namespace = ? AND history = ?"
    )
    parameters: list[Any] = [scope.namespace, history]
    if not op.archived:
        sql += _NOT_ARCHIVED
        parameters += [scope.namespace, history]
    if op.after:
        sql += " AND seq > ?"
        parameters.append(op.after)
    if op.before is not None:
        sql += " AND seq < ?"
        parameters.append(op.before)
    sql += f" ORDER BY seq {'DESC' if op.newest_first else 'ASC'} LIMIT ?"
    parameters.append(op.limit + 1)
    rows = yield Statement(sql, parameters)
    return ops.ItemPage(tuple([_item(row) for row in rows[: op.limit]]), len(rows) > op.limit)


def _item(row: tuple[Any, ...]) -> ops.HistoryItem:
    seq, id, text, created_at = row
    return ops.HistoryItem(
        seq, None if id is None else from_bytes(id), Json.from_text(text), created_at
    )


def _stat_history(scope: Scope, op: ops.StatHistory) -> Steps:
    stat = yield from _stat(scope, to_bytes(op.name))
    return _public_stat(op.name, stat)


def _public_stat(name: str, stat: _Stat) -> ops.HistoryStat:
    return ops.HistoryStat(
        name, stat.size, stat.archived, stat.last_seq, stat.created_at, stat.updated_at
    )


def _delete_items(scope: Scope, op: ops.DeleteItems) -> Steps:
    history = to_bytes(op.name)
    stat = yield from _stat(scope, history)
    deleted: list[int] = []
    freed = 0
    for chunk in chunks(op.seqs):
        rows = yield Statement(
            "DELETE FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND seq IN ({marks(chunk)}) "
            f"RETURNING seq, {sizes.ITEM}",
            (scope.namespace, history, *chunk),
        )
        deleted += [seq for seq, _ in rows]
        freed += sum(size for _, size in rows)
    if deleted:
        archived = sum(1 for seq in deleted if seq <= stat.archived_seq)
        yield from _shrink(scope, history, len(deleted) - archived, archived, freed)
        scope.change("history", "delete", history)
    return len(deleted)


def _shrink(scope: Scope, history: bytes, size: int, archived: int, freed: int) -> Steps:
    """Counts fewer items that are not archived, fewer that are, and fewer bytes."""
    yield Statement(
        "UPDATE botwire_histories SET size = size - ?, archived = archived - ?, "
        "bytes = bytes - ?, updated_at = ? WHERE namespace = ? AND history = ?",
        (size, archived, freed, scope.now, scope.namespace, history),
    )
    scope.grown -= freed


def _pop_item(scope: Scope, op: ops.PopItem) -> Steps:
    last = ops.ReadHistory(op.name, limit=1, newest_first=True)
    page = yield from _read_history(scope, last)
    if not page.items:
        return None
    yield from _delete_items(scope, ops.DeleteItems(op.name, (page.items[0].seq,)))
    return page.items[0]


def _archive_history(scope: Scope, op: ops.ArchiveHistory) -> Steps:
    history = to_bytes(op.name)
    stat = yield from _stat(scope, history)
    up_to = min(op.up_to, stat.last_seq)
    if up_to <= stat.archived_seq:
        return 0
    rows = yield Statement(
        "SELECT count(*) FROM botwire_items "
        "WHERE namespace = ? AND history = ? AND seq > ? AND seq <= ?",
        (scope.namespace, history, stat.archived_seq, up_to),
    )
    count = rows[0][0]
    yield Statement(
        "UPDATE botwire_histories SET archived_seq = ?, archived = archived + ?, "
        "size = size - ?, updated_at = ? WHERE namespace = ? AND history = ?",
        (up_to, count, count, scope.now, scope.namespace, history),
    )
    scope.change("history", "archive", history)
    return count


def _clear_history(scope: Scope, op: ops.ClearHistory) -> Steps:
    history = to_bytes(op.name)
    stat = yield from _stat(scope, history)
    count = stat.size + stat.archived
    if count:
        yield Statement(
            "DELETE FROM botwire_items WHERE namespace = ? AND history = ?",
            (scope.namespace, history),
        )
        yield from _shrink(scope, history, stat.size, stat.archived, stat.bytes)
        scope.change("history", "clear", history)
    return count


def _list_histories(scope: Scope, op: ops.ListHistories) -> Steps:
    condition, between = bounds("history", op.prefix, op.after)
    rows = yield Statement(
        f"SELECT history, {_STAT} FROM botwire_histories "
        f"WHERE namespace = ?{condition} AND size + archived > 0 ORDER BY history LIMIT ?",
        (scope.namespace, *between, op.limit + 1),
    )
    stats = [_public_stat(from_bytes(row[0]), _Stat(*row[1:])) for row in rows[: op.limit]]
    return ops.HistoryPage(tuple(stats), len(rows) > op.limit)


# --- changes --------------------------------------------------------------------------------


def _read_changes(scope: Scope, op: ops.ReadChanges) -> Steps:
    rows = yield Statement(
        "SELECT revision, COALESCE((SELECT min(revision) FROM botwire_changes "
        "WHERE namespace = ?), 1) FROM botwire_namespaces WHERE namespace = ?",
        (scope.namespace, scope.namespace),
    )
    revision, oldest = rows[0] if rows else (0, 1)
    if op.after is None or op.after == revision:
        return ops.ChangePage((), revision)
    if not oldest - 1 <= op.after < revision:
        # Pruned, or of another store: what changed since is not known.
        return ops.ChangePage((ops.ChangeEntry(revision, "namespace", "reset", ""),), revision)
    rows = yield Statement(
        "SELECT revision, shape, action, name FROM botwire_changes "
        "WHERE namespace = ? AND revision > ? ORDER BY revision LIMIT ?",
        (scope.namespace, op.after, op.limit),
    )
    changes = [
        ops.ChangeEntry(at, shape, action, from_bytes(name)) for at, shape, action, name in rows
    ]
    return ops.ChangePage(tuple(changes), revision)


def _read_usage(scope: Scope, op: ops.ReadUsage) -> Steps:
    rows = yield Statement(
        "SELECT bytes, writes, day FROM botwire_namespaces WHERE namespace = ?", (scope.namespace,)
    )
    return Usage(*(rows[0] if rows else (0, 0, 0))).on(scope.now)


# --------------------------------------------------------------------------------------------

_HANDLERS: Handlers = {
    ops.PutKey: _put_key,
    ops.GetKeys: _get_keys,
    ops.ListKeys: _list_keys,
    ops.ScanKeys: _scan_keys,
    ops.CountKeys: _count_keys,
    ops.DeleteKey: _delete_key,
    ops.ClearKeys: _clear_keys,
    ops.IncrementKey: _increment_key,
    ops.CheckKey: _check_key,
    ops.ExtendHistory: _extend_history,
    ops.ReplaceHistory: _replace_history,
    ops.ReadHistory: _read_history,
    ops.StatHistory: _stat_history,
    ops.DeleteItems: _delete_items,
    ops.PopItem: _pop_item,
    ops.ArchiveHistory: _archive_history,
    ops.ClearHistory: _clear_history,
    ops.ListHistories: _list_histories,
    ops.ReadChanges: _read_changes,
    ops.ReadUsage: _read_usage,
    **record_statements.HANDLERS,
    **record_search.HANDLERS,
    **exact_statements.HANDLERS,
    **store_statements.HANDLERS,
}
