"""Restoring the past in SQL: new writes that bring back an earlier state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire.clock import SECOND
from botwire.engines.sql import past_rows, sizes, tables
from botwire.engines.sql.handlers import apply, handles
from botwire.engines.sql.history_removal import drop_items
from botwire.engines.sql.history_rows import STAT, Stat, enter, items_of, own_all, remove_dead, save
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import IN_COLLECTION, IN_HISTORY, LIVE_RECORDS, THIS_KEY
from botwire.errors import ConflictError
from botwire.exact import Json
from botwire.names import from_bytes, to_bytes


@handles(ops.RestorePast)
def _restore_past(context: Context, op: ops.RestorePast) -> Steps[ops.RestoredPart]:
    revision, _ = yield from past_rows.find(context, op.at)
    name = to_bytes(op.name)
    if op.shape == "key":
        return ops.RestoredPart((yield from _restore_key(context, op, name, revision)))
    if op.shape == "history":
        return ops.RestoredPart((yield from _restore_history(context, op, name, revision)))
    return (yield from _restore_records(context, op, name, revision))


def _is_touched(
    context: Context, op: ops.RestorePast, table: str, condition: str, here: Sequence[Any]
) -> Steps[bool]:
    """Returns whether the change to undo touched a row.

    Raises:
        ConflictError: A later change touched the row as well.
    """
    only = op.only
    if only is None:
        return True
    written = past_rows.KEPT[table].written
    rows = yield Statement(
        f"SELECT {written}, NULL FROM botwire_{table} WHERE {condition} AND {written} >= ? "
        f"UNION ALL SELECT {written}, until FROM botwire_past_{table} WHERE {condition} "
        "AND until >= ?",
        (*here, only, *here, only),
    )
    seen = {one for row in rows for one in row if one is not None}
    if only not in seen:
        return False
    if max(seen) > only:
        raise _changed_again(op, max(seen))
    return True


def _changed_again(op: ops.RestorePast, revision: int) -> ConflictError:
    return ConflictError(
        f"{op.shape} {op.name!r:.80} was changed again in revision {revision}: undo that "
        f"first, or restore what it was before revision {op.only}"
    )


_TOUCHED_AGAIN = f"""
SELECT p.until FROM botwire_past_records p
WHERE p.namespace = ? AND p.collection = ? AND p.until > ? AND {tables.WRITTEN} = ?
UNION ALL SELECT COALESCE(r.since, r.version) FROM botwire_past_records p
JOIN botwire_records r
ON r.namespace = p.namespace AND r.collection = p.collection AND r.id = p.id
WHERE p.namespace = ? AND p.collection = ? AND p.until = ? AND COALESCE(r.since, r.version) > ?
UNION ALL SELECT q.until FROM botwire_past_records p
JOIN botwire_past_records q
ON q.namespace = p.namespace AND q.collection = p.collection AND q.id = p.id
WHERE p.namespace = ? AND p.collection = ? AND p.until = ? AND q.until > ?
LIMIT 1"""
"""Selects a revision after that of a change that touched one of the change's records again."""


def _restore_key(context: Context, op: ops.RestorePast, key: bytes, revision: int) -> Steps[int]:
    here = (context.namespace, key)
    if not (yield from _is_touched(context, op, "keys", THIS_KEY, here)):
        return 0
    select = f"SELECT {tables.KEY_ENTRY} FROM botwire_keys WHERE {THIS_KEY} AND {tables.LIVE}"
    now = yield Statement(select, (*here, context.now))
    then = yield Statement(past_rows.at(select, revision), (*here, context.now))
    if not then:
        yield from past_rows.refuse_erased(context, revision, op.shape, key)
        if now:
            yield from apply(context, ops.DeleteKey(op.name))
        return len(now)
    entry = tables.key_entry(then[0])
    if now and now[0][1:3] == then[0][1:3] and now[0][6] == then[0][6]:
        return 0
    ttl = None if entry.expires_at is None else (entry.expires_at - context.now) / SECOND
    yield from apply(context, ops.PutKey(op.name, entry.value, ttl))
    return 1


def _restore_history(
    context: Context, op: ops.RestorePast, history: bytes, revision: int
) -> Steps[int]:
    here = (context.namespace, history)
    if not (yield from _is_touched(context, op, "histories", IN_HISTORY, here)):
        return 0
    row = f"SELECT {STAT} FROM botwire_histories WHERE {IN_HISTORY}"
    rows = yield Statement(past_rows.at(row, revision), here)
    old = Stat(*rows[0]).on(context.now) if rows else Stat()
    stat = yield from enter(context, history)
    if not old.exists:
        yield from past_rows.refuse_erased(context, revision, op.shape, history)
        if not stat.exists:
            return 0
        return max(1, (yield from apply(context, ops.ClearHistory(op.name))))
    if stat.dead:
        stat = yield from remove_dead(context, history, stat)
    if stat.base is not None:
        stat = yield from own_all(context, history, stat)
        yield from save(context, history, stat)
    table, parameters = items_of(context, history, old.shared)
    then = past_rows.at(f"FROM {table} WHERE seq > ?", revision), [*parameters, old.dead_seq]
    now = f"FROM botwire_items WHERE {IN_HISTORY}", list(here)
    differing = yield from _find_differing(then, now)
    header = (old.archived_seq, old.metadata, old.expires_at)
    restored = len(differing.items) + len(differing.extra)
    if not restored and header == (stat.archived_seq, stat.metadata, stat.expires_at):
        return 0
    stat = yield from _put_back(context, history, stat, differing)
    growth = old.metadata_size - stat.metadata_size
    context.grown += growth
    metadata_version = stat.metadata_version
    if old.metadata != stat.metadata:
        metadata_version = 0 if old.metadata is None else context.revision
    archived = sum(seq <= old.archived_seq for seq in differing.then)
    restored_stat = stat._replace(
        size=len(differing.then) - archived,
        archived=archived,
        archived_seq=old.archived_seq,
        created_at=old.created_at,
        updated_at=context.now,
        bytes=stat.bytes + growth,
        metadata=old.metadata,
        metadata_version=metadata_version,
        expires_at=old.expires_at,
        dead_seq=min(stat.dead_seq, old.dead_seq),
    )
    yield from save(context, history, restored_stat)
    return restored or 1


class _Differing(NamedTuple):
    """The differences between a history's items now and at an earlier moment.

    Attributes:
        then: The numbers of the items at that moment.
        items: The number, id, value and time of items that were deleted or changed since.
        changed: The numbers of the items that were changed since.
        extra: The numbers of the items that were added since.
    """

    then: set[int]
    items: list[tuple[int, bytes | None, str, int]]
    changed: list[int]
    extra: list[int]


_Source = tuple[str, list[Any]]
"""SQL for what to select from and under which condition, with its parameters."""


def _find_differing(then: _Source, now: _Source) -> Steps[_Differing]:
    """Compares the items then and now, first by their versions."""
    versions: list[dict[int, int]] = []
    for sql, parameters in (then, now):
        rows = yield Statement(f"SELECT seq, version {sql}", parameters)
        versions.append(dict(rows))
    old, new = versions
    unlike = sorted(seq for seq, version in old.items() if new.get(seq) != version)
    found = _Differing(set(old), [], [], sorted(new.keys() - old.keys()))
    for chunk in chunks(unlike):
        pages: list[dict[int, tuple[Any, ...]]] = []
        for sql, parameters in (then, now):
            rows = yield Statement(
                f"SELECT seq, id, value_json, created_at {sql} AND seq IN ({marks(chunk)})",
                (*parameters, *chunk),
            )
            pages.append({row[0]: row for row in rows})
        was, is_ = pages
        for seq in chunk:
            if was[seq] != is_.get(seq):
                found.items.append(was[seq])
                if seq in is_:
                    found.changed.append(seq)
    return found


def _put_back(context: Context, history: bytes, stat: Stat, differing: _Differing) -> Steps[Stat]:
    """Writes and deletes items; returns the row, whose item counts are not updated yet."""
    going = sorted({*differing.changed, *differing.extra})
    stat, freed = yield from drop_items(context, history, stat, going)
    version, author = context.change("history", "restore", history), context.author
    items = [
        (seq, id, Json.from_text(text), created_at, version, author)
        for seq, id, text, created_at in differing.items
    ]
    added = [sizes.item(id, value, author) for _, id, value, *_ in items]
    if items:
        yield tables.insert_items(context.namespace, history, items)
    context.grow(added, freed)
    return stat._replace(bytes=stat.bytes + sum(added) - freed)


_RECORD = f"{IN_COLLECTION} AND id = ?"


def _restore_records(
    context: Context, op: ops.RestorePast, collection: bytes, revision: int
) -> Steps[ops.RestoredPart]:
    yield from past_rows.refuse_erased(context, revision, op.shape, collection)
    here = (context.namespace, collection)
    wanted, last = yield from _find_written(context, op, here, revision)
    puts: list[ops.NewRecord] = []
    deletes: list[str] = []
    for chunk in chunks(wanted):
        select = (
            f"SELECT {tables.record_columns(embeddings=True)} FROM botwire_records "
            f"WHERE {LIVE_RECORDS} AND id IN ({marks(chunk)})"
        )
        given = (*here, context.now, *chunk)
        now: Rows = yield Statement(select, given)
        then: Rows = yield Statement(past_rows.at(select, revision), given)
        present = {row[0]: row for row in now}
        old = {row[0]: row for row in then}
        for id in chunk:
            if id not in old:
                if id in present:
                    deletes.append(from_bytes(id))
            elif id not in present or _content(present[id]) != _content(old[id]):
                puts.append(_new(tables.record_entry(old[id]), context.now))
    name = from_bytes(collection)
    if deletes:
        selected = ops.Selection(ids=tuple(deletes))
        yield from apply(context, ops.DeleteRecords(name, selected))
    if puts:
        yield from apply(context, ops.PutRecords(name, tuple(puts), keep_embedding=False))
    return ops.RestoredPart(len(puts) + len(deletes), last)


def _find_written(
    context: Context, op: ops.RestorePast, here: tuple[bytes, bytes], revision: int
) -> Steps[tuple[list[bytes], str | None]]:
    """Returns the records of one part that were written since, and where the next part begins."""
    after = b"" if op.after is None else to_bytes(op.after)
    if op.only is not None and op.after is None:
        # The records of all parts, so that a part is not restored before another is refused.
        again = yield Statement(_TOUCHED_AGAIN, (*here, op.only, op.only) * 3)
        if again:
            raise _changed_again(op, again[0][0])
    where = f"{IN_COLLECTION} AND id > ?"
    parameters = (*here, after, revision)
    rows = yield Statement(
        f"SELECT id FROM botwire_records WHERE {where} AND {tables.WRITTEN} > ? UNION "
        f"SELECT id FROM botwire_past_records WHERE {where} AND until > ? ORDER BY id LIMIT ?",
        (*parameters, *parameters, op.limit + 1),
    )
    ids = [id for (id,) in rows[: op.limit]]
    wanted = list(ids)
    if op.only is not None:
        for id in ids:
            if not (yield from _is_touched(context, op, "records", _RECORD, (*here, id))):
                wanted.remove(id)
    return wanted, from_bytes(ids[-1]) if len(rows) > op.limit else None


def _content(row: tables.Row) -> tables.Row:
    """Returns the columns `RECORD_ENTRY` but author, version and time of the last write."""
    *content, _, _, created_at, _, expires_at = row
    return (*content, created_at, expires_at)


def _new(entry: ops.RecordEntry, now: int) -> ops.NewRecord:
    return ops.NewRecord(
        entry.id,
        entry.text,
        entry.metadata,
        tuple(entry.tags),
        entry.scope,
        entry.embedding,
        entry.created_at,
        ttl=None if entry.expires_at is None else (entry.expires_at - now) / SECOND,
    )
