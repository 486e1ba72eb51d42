"""How a namespace is read whole and written back exactly, in SQL; see `engines.sql.batches`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import pages, records, sizes
from botwire.engines.sql.collection import (
    Collection,
    check_dimension,
    read_collection,
    save_collection,
)
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.pages import Source
from botwire.engines.sql.steps import Scope, Statement, Steps, bounds, chunks, count_in, marks
from botwire.errors import ConflictError
from botwire.exact import Json
from botwire.names import from_bytes, to_bytes
from botwire.vectors import Vector

_RECORD = "id, text, metadata, tags, scope, embedding, version, created_at, updated_at"


# --- reading --------------------------------------------------------------------------------


def _named(column: str, given: tuple[str, ...] | None) -> tuple[str, list[bytes]]:
    if given is None:
        return "", []
    listed = [to_bytes(name) for name in given]
    return f" AND {column} IN ({marks(listed)})" if listed else " AND 1 = 0", listed


@handles(ops.DumpHistories)
def _dump_histories(scope: Scope, op: ops.DumpHistories) -> Steps[ops.HistoryStates]:
    condition, parameters = bounds("history", "", op.after)
    only, named = _named("history", op.names)
    rows = yield Statement(
        "SELECT history, last_seq, archived_seq, created_at, updated_at FROM botwire_histories "
        f"WHERE namespace = ?{condition}{only} ORDER BY history LIMIT ?",
        (scope.namespace, *parameters, *named, op.limit + 1),
    )
    states = [ops.HistoryState(from_bytes(row[0]), *row[1:]) for row in rows[: op.limit]]
    return ops.HistoryStates(tuple(states), len(rows) > op.limit)


@handles(ops.DumpCollections)
def _dump_collections(scope: Scope, op: ops.DumpCollections) -> Steps[ops.CollectionStates]:
    condition, parameters = bounds("collection", "", op.after)
    only, named = _named("collection", op.names)
    rows = yield Statement(
        "SELECT collection, dimension FROM botwire_collections "
        f"WHERE namespace = ?{condition}{only} ORDER BY collection LIMIT ?",
        (scope.namespace, *parameters, *named, op.limit + 1),
    )
    states = [ops.CollectionState(from_bytes(row[0]), row[1]) for row in rows[: op.limit]]
    return ops.CollectionStates(tuple(states), len(rows) > op.limit)


@handles(ops.DumpRecords)
def _dump_records(scope: Scope, op: ops.DumpRecords) -> Steps[ops.RecordPage]:
    condition, parameters = bounds("id", "", op.after)
    source = Source(
        f"SELECT {_RECORD}",
        f"FROM botwire_records WHERE namespace = ? AND collection = ?{condition}",
        (scope.namespace, to_bytes(op.collection), *parameters),
        sizes.RECORD,
    )
    rows, more = yield from pages.read_page(scope, source, "ORDER BY id", op.limit)
    return ops.RecordPage(tuple([records.entry(row) for row in rows]), more)


# --- conflicts ------------------------------------------------------------------------------


def _resolve(conflict: str, what: str) -> bool:
    """Says whether to write over what is stored; raises `ConflictError` if that is not decided."""
    if conflict == ops.REFUSE:
        raise ConflictError(
            f"{what}: keep what is stored, or overwrite it, by saying so (conflict=)"
        )
    return conflict == ops.OVERWRITE


def _is_newer(stored: Any, given: Any) -> bool:
    """Says whether what is stored was written later; if it can not be told, it was."""
    return bool(stored.version >= given.version or stored.updated_at > given.updated_at)


class _Tally:
    """Counts what a restoration does."""

    def __init__(self) -> None:
        self.written = self.kept = self.removed = 0

    def result(self) -> ops.Restored:
        return ops.Restored(self.written, self.kept, self.removed)


# --- writing --------------------------------------------------------------------------------


@handles(ops.RestoreNamespace)
def _restore_namespace(scope: Scope, op: ops.RestoreNamespace) -> Steps[None]:
    # Whether it is new: its changes may be forgotten, and not what they left.
    tables = ("changes", "keys", "histories", "collections")
    rows = yield Statement(
        " UNION ALL ".join(
            f"SELECT 1 WHERE EXISTS (SELECT 1 FROM botwire_{table} WHERE namespace = ?)"
            for table in tables
        ),
        (scope.namespace,) * len(tables),
    )
    scope.revision = max(scope.revision, op.revision)
    created = ", created_at = ?" if not rows and not scope.changes else ""
    yield Statement(
        f"UPDATE botwire_namespaces SET revision = ?{created} WHERE namespace = ?",
        (scope.revision, *([op.created_at] if created else []), scope.namespace),
    )


@handles(ops.RestoreKeys)
def _restore_keys(scope: Scope, op: ops.RestoreKeys) -> Steps[ops.Restored]:
    tally = _Tally()
    given = {entry.key: entry for entry in op.entries}
    stored: dict[str, ops.KeyEntry] = {}
    columns = "key, value_json, value_bytes, version, created_at, updated_at, expires_at"
    for chunk in chunks([to_bytes(key) for key in given]):
        rows = yield Statement(
            f"SELECT {columns} FROM botwire_keys WHERE namespace = ? AND key IN ({marks(chunk)})",
            (scope.namespace, *chunk),
        )
        stored.update((from_bytes(row[0]), _key_entry(row)) for row in rows)

    parameters = []
    for key, entry in given.items():
        old = stored.get(key)
        if old is not None and not _is_expired(old, scope.now):
            if old == entry:
                continue
            if _is_newer(old, entry) and not _resolve(
                op.conflict, f"key {key!r:.80} was set later, to version {old.version}"
            ):
                tally.kept += 1
                continue
        tally.written += 1
        scope.revision = max(scope.revision, entry.version)  # which is not to be given again
        scope.change("key", "put", to_bytes(key))
        freed = 0 if old is None else sizes.key(to_bytes(key), old.value)
        scope.grow([sizes.key(to_bytes(key), entry.value)], freed)
        value = entry.value
        parameters.append(
            (
                scope.namespace,
                to_bytes(key),
                value.text if isinstance(value, Json) else None,
                None if isinstance(value, Json) else value,
                *entry[2:],
            )
        )
    if parameters:
        yield Statement(
            f"INSERT INTO botwire_keys (namespace, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (namespace, key) DO UPDATE SET value_json = excluded.value_json, "
            "value_bytes = excluded.value_bytes, version = excluded.version, "
            "created_at = excluded.created_at, updated_at = excluded.updated_at, "
            "expires_at = excluded.expires_at",
            parameters,
            many=True,
        )
    if op.span is not None:
        others = yield from _others(scope, "botwire_keys", "key", op.span, set(given), tally, op)
        for name in others:
            scope.change("key", "delete", name)
            rows = yield Statement(
                f"DELETE FROM botwire_keys WHERE namespace = ? AND key = ? RETURNING {sizes.KEY}",
                (scope.namespace, name),
            )
            scope.grown -= count_in(rows)
    return tally.result()


def _key_entry(row: tuple[Any, ...]) -> ops.KeyEntry:
    key, text, raw, *rest = row
    value = raw if text is None else Json.from_text(text)
    return ops.KeyEntry(from_bytes(key), value, *rest)


def _is_expired(entry: ops.KeyEntry, now: int) -> bool:
    return entry.expires_at is not None and entry.expires_at <= now


def _others(
    scope: Scope,
    table: str,
    column: str,
    span: ops.Span,
    given: set[str],
    tally: _Tally,
    op: ops.RestoreKeys | ops.RestoreRecords,
    collection: bytes | None = None,
) -> Steps[list[bytes]]:
    """Answers the names in a span that are not given and are to go, and counts them."""
    condition, parameters = bounds(column, "", span.after)
    if span.until is not None:
        condition += f" AND {column} <= ?"
        parameters.append(to_bytes(span.until))
    if collection is not None:
        condition += " AND collection = ?"
        parameters.append(collection)
    rows = yield Statement(
        f"SELECT {column}, version FROM {table} WHERE namespace = ?{condition} ORDER BY {column}",
        (scope.namespace, *parameters),
    )
    going = []
    for raw, version in rows:
        name = from_bytes(raw)
        if name in given:
            continue
        if version > span.revision and not _resolve(
            op.conflict, f"{name!r:.80} was written later, with version {version}"
        ):
            tally.kept += 1
            continue
        tally.removed += 1
        going.append(raw)
    return going


@handles(ops.RestoreHistory)
def _restore_history(scope: Scope, op: ops.RestoreHistory) -> Steps[ops.Restored]:
    tally = _Tally()
    history = to_bytes(op.state.name)
    here = (scope.namespace, history)
    where = f"history {op.state.name!r:.80}"
    changed = False
    rows = yield Statement(
        "SELECT last_seq, archived_seq, created_at, updated_at, size, archived "
        "FROM botwire_histories WHERE namespace = ? AND history = ?",
        here,
    )
    state = op.state
    counts: tuple[int, int] | None = (0, 0)
    if rows:
        old = ops.HistoryState(op.state.name, *rows[0][:4])
        if old.updated_at > state.updated_at:
            # With a range it is to be as it was read; without, what is missing is added.
            refuse = op.until is not None or op.conflict == ops.OVERWRITE
            if not refuse or not _resolve(op.conflict, f"{where} was changed later"):
                state = old
        counts = rows[0][4:] if state.archived_seq == old.archived_seq else None
        # What was ever given is never given again, whoever is right about the rest.
        state = state._replace(last_seq=max(old.last_seq, op.state.last_seq))
        changed = state != old

    going: list[int] = []
    stored: dict[int, ops.HistoryItem] = {}
    seqs: dict[str, int] = {}
    columns = "seq, id, value_json, created_at"
    for chunk in chunks([item.seq for item in op.items]):
        found = yield Statement(
            f"SELECT {columns} FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND seq IN ({marks(chunk)})",
            (*here, *chunk),
        )
        stored.update((row[0], _item(row)) for row in found)
    for chunk in chunks([to_bytes(item.id) for item in op.items if item.id is not None]):
        found = yield Statement(
            "SELECT id, seq FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND id IN ({marks(chunk)})",
            (*here, *chunk),
        )
        seqs.update((from_bytes(id), seq) for id, seq in found)
    removed: set[int] = set()
    if op.until is not None:
        found = yield Statement(
            "SELECT seq FROM botwire_items WHERE namespace = ? AND history = ? "
            "AND seq > ? AND seq <= ?",
            (*here, op.after, op.until),
        )
        given = {item.seq for item in op.items}
        for (seq,) in found:
            if seq in given:
                continue
            if seq > op.state.last_seq and not _resolve(
                op.conflict, f"{where} has item {seq}, which was appended later"
            ):
                tally.kept += 1
                continue
            removed.add(seq)
    tally.removed += len(removed)
    going += removed

    new = []
    for item in op.items:
        old_item = stored.get(item.seq)
        if old_item == item:
            continue
        elsewhere = None if item.id is None else seqs.get(item.id)
        # An id whose item was deleted may have been given to a later one.
        taken = {seq for seq in (old_item and item.seq, elsewhere) if seq is not None} - removed
        if taken and not _resolve(
            op.conflict, f"{where} has another item {item.seq}, or its id at another place"
        ):
            tally.kept += 1
            continue
        going += sorted(taken)
        tally.written += 1
        new.append(item)

    added: list[int] = []
    freed = 0
    for chunk in chunks(sorted(set(going))):
        gone = yield Statement(
            "DELETE FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND seq IN ({marks(chunk)}) "
            f"RETURNING {sizes.ITEM}",
            (*here, *chunk),
        )
        freed += sum(size for (size,) in gone)
    if new:
        new_ids = [None if item.id is None else to_bytes(item.id) for item in new]
        added = [sizes.item(id, item.value) for id, item in zip(new_ids, new, strict=True)]
        yield Statement(
            f"INSERT INTO botwire_items (namespace, history, {columns}) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*here, item.seq, id, item.value.text, item.created_at)
                for id, item in zip(new_ids, new, strict=True)
            ],
            many=True,
        )
    if not rows or changed or new or going:
        seqs_new, seqs_gone = [item.seq for item in new], sorted(set(going))
        numbers = _count(state, counts, seqs_new, seqs_gone)
        scope.grow(added, freed)
        yield from _save_history(scope, history, state, numbers, sum(added) - freed)
        scope.change("history", "restore", history)
    return tally.result()


def _count(
    state: ops.HistoryState, before: tuple[int, int] | None, new: list[int], gone: list[int]
) -> tuple[int, int] | None:
    """Returns how many items are shown and archived; None where they have to be counted."""
    if before is None:
        return None
    put_away = sum(seq <= state.archived_seq for seq in new) - sum(
        seq <= state.archived_seq for seq in gone
    )
    return before[0] + len(new) - len(gone) - put_away, before[1] + put_away


def _save_history(
    scope: Scope,
    history: bytes,
    state: ops.HistoryState,
    numbers: tuple[int, int] | None,
    grown: int,
) -> Steps[None]:
    if numbers is None:
        counted = yield Statement(
            "SELECT count(*), COALESCE(sum(CASE WHEN seq <= ? THEN 1 ELSE 0 END), 0) "
            "FROM botwire_items WHERE namespace = ? AND history = ?",
            (state.archived_seq, scope.namespace, history),
        )
        total, archived = counted[0]
        numbers = (total - archived, archived)
    yield Statement(
        "INSERT INTO botwire_histories (namespace, history, last_seq, archived_seq, created_at, "
        "updated_at, size, archived, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (namespace, history) DO UPDATE SET "
        "last_seq = excluded.last_seq, archived_seq = excluded.archived_seq, "
        "created_at = excluded.created_at, updated_at = excluded.updated_at, "
        "size = excluded.size, archived = excluded.archived, "
        "bytes = botwire_histories.bytes + excluded.bytes",
        (scope.namespace, history, *state[1:], *numbers, grown),
    )


def _item(row: tuple[Any, ...]) -> ops.HistoryItem:
    seq, id, text, created_at = row
    return ops.HistoryItem(
        seq, None if id is None else from_bytes(id), Json.from_text(text), created_at
    )


@handles(ops.RestoreRecords)
def _restore_records(scope: Scope, op: ops.RestoreRecords) -> Steps[ops.Restored]:
    tally = _Tally()
    collection: Collection = yield from read_collection(scope, op.collection.name)
    here = (scope.namespace, collection.name)
    given = {record.id: record for record in op.records}
    stored: dict[str, ops.RecordEntry] = {}
    for chunk in chunks([to_bytes(id) for id in given]):
        rows = yield Statement(
            f"SELECT {_RECORD} FROM botwire_records "
            f"WHERE namespace = ? AND collection = ? AND id IN ({marks(chunk)})",
            (*here, *chunk),
        )
        stored.update((from_bytes(row[0]), records.entry(row)) for row in rows)

    written: list[ops.RecordEntry] = []
    replaced: list[ops.RecordEntry] = []
    for id, record in given.items():
        old = stored.get(id)
        if old is not None:
            if _comparable(old) == _comparable(record):
                continue
            if _is_newer(old, record) and not _resolve(
                op.conflict, f"record {id!r:.80} was put later, as version {old.version}"
            ):
                tally.kept += 1
                continue
            replaced.append(old)
        tally.written += 1
        written.append(record)

    going: list[bytes] = []
    if op.span is not None:
        going = yield from _others(
            scope, "botwire_records", "id", op.span, set(given), tally, op, collection.name
        )
    left = collection.size - len(going)
    dimension = op.collection.dimension
    if left and None not in (dimension, collection.dimension):
        check_dimension(op.collection.name, collection.dimension, dimension or 0)
    known = bool(collection.revision)
    if dimension is None and left:
        dimension = collection.dimension
    if known and not written and not going and dimension == collection.dimension:
        return tally.result()

    _, fewer, freed = yield from records.remove_records(scope, collection, going)
    texts = [(to_bytes(old.id), to_bytes(old.text)) for old in replaced]
    fewer += yield from records.remove_words(scope, collection.name, texts)
    rows = [_record_row(record) for record in written]
    added = [sizes.record(*row[:6]) for row in rows]
    freed += sum(sizes.record(*_record_row(record)[:6]) for record in replaced)
    if written:
        yield Statement(
            f"INSERT INTO botwire_records (namespace, collection, {_RECORD}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, collection, id) "
            "DO UPDATE SET text = excluded.text, metadata = excluded.metadata, "
            "tags = excluded.tags, scope = excluded.scope, embedding = excluded.embedding, "
            "version = excluded.version, created_at = excluded.created_at, "
            "updated_at = excluded.updated_at",
            [(*here, *row) for row in rows],
            many=True,
        )
    texts = [(to_bytes(record.id), to_bytes(record.text)) for record in written]
    more = yield from records.add_words(scope, collection.name, texts)
    scope.revision = max([scope.revision, *(record.version for record in written)])
    revision = scope.change("record", "restore", collection.name)
    yield from save_collection(
        scope,
        collection._replace(
            dimension=dimension,
            size=left + len(written) - len(replaced),
            words=collection.words + more - fewer,
            revision=revision,
            # What is restored has an old version: who remembers the collection must look at all.
            removed=revision,
            bytes=collection.bytes + sum(added) - freed,
        ),
    )
    scope.grow(added, freed)
    return tally.result()


def _comparable(record: ops.RecordEntry) -> Sequence[Any]:
    return (*record._replace(tags=()), tuple(record.tags))


def _record_row(record: ops.RecordEntry) -> tuple[Any, ...]:
    embedding: Vector | None = record.embedding
    return (
        to_bytes(record.id),
        to_bytes(record.text),
        record.metadata.text,
        json.dumps(list(dict.fromkeys(record.tags))),
        to_bytes(record.scope),
        None if embedding is None else embedding.raw,
        record.version,
        record.created_at,
        record.updated_at,
    )
