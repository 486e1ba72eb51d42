"""Restoring whole namespaces in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import history_rows, past_rows, records, sizes, tables, word_index
from botwire.engines.sql.collection import check_dimension, save_collection
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.steps import Context, Statement, Steps, bounds, chunks, count_in, marks
from botwire.errors import ConflictError
from botwire.names import from_bytes, to_bytes
from botwire.operations.authors import to_stored

# --- conflicts ------------------------------------------------------------------------------


def _resolve(conflict: str, what: str) -> bool:
    """Returns whether to overwrite what is stored; raises `ConflictError` if that is undecided."""
    if conflict == ops.REFUSE:
        raise ConflictError(f"{what}: pass conflict= to keep what is stored or to overwrite it")
    return conflict == ops.OVERWRITE


def _is_newer(stored: Any, given: Any) -> bool:
    """Returns whether the stored element was written later, or might have been."""
    return bool(stored.version >= given.version or stored.updated_at > given.updated_at)


class _Counts:
    """Counts what a restoration does."""

    def __init__(self) -> None:
        self.written = self.kept = self.removed = 0

    def result(self) -> ops.Restored:
        return ops.Restored(self.written, self.kept, self.removed)


# --- writing --------------------------------------------------------------------------------


@handles(ops.RestoreNamespace)
def _restore_namespace(context: Context, op: ops.RestoreNamespace) -> Steps[None]:
    # Finds out whether the namespace is new. Its changes may be forgotten while its data remains.
    tables = ("changes", "keys", "histories", "collections")
    rows = yield Statement(
        " UNION ALL ".join(
            f"SELECT 1 WHERE EXISTS (SELECT 1 FROM botwire_{table} WHERE namespace = ?)"
            for table in tables
        ),
        (context.namespace,) * len(tables),
    )
    context.revision = max(context.revision, op.revision)
    created = ", created_at = ?" if not rows and not context.changes else ""
    yield Statement(
        f"UPDATE botwire_namespaces SET revision = ?{created} WHERE namespace = ?",
        (context.revision, *([op.created_at] if created else []), context.namespace),
    )


@handles(ops.RestoreKeys)
def _restore_keys(context: Context, op: ops.RestoreKeys) -> Steps[ops.Restored]:
    tally = _Counts()
    given = {entry.key: entry for entry in op.entries}
    stored: dict[str, ops.KeyEntry] = {}
    for chunk in chunks([to_bytes(key) for key in given]):
        rows = yield Statement(
            f"SELECT {tables.KEY_ENTRY} FROM botwire_keys "
            f"WHERE namespace = ? AND key IN ({marks(chunk)})",
            (context.namespace, *chunk),
        )
        stored.update((from_bytes(row[0]), tables.key_entry(row)) for row in rows)

    written = []
    for key, entry in given.items():
        old = stored.get(key)
        if old is not None and not _is_expired(old, context.now):
            if old == entry:
                continue
            if _is_newer(old, entry) and not _resolve(
                op.conflict, f"key {key!r:.80} was set later, to version {old.version}"
            ):
                tally.kept += 1
                continue
        tally.written += 1
        # Ensures that this version is never assigned again.
        context.revision = max(context.revision, entry.version)
        name, author = to_bytes(key), to_stored(entry.author)
        since = _written_here(context, context.change("key", "put", name))
        freed = 0 if old is None else sizes.key(name, old.value, to_stored(old.author))
        context.grow([sizes.key(name, entry.value, author)], freed)
        if old is not None:
            yield from past_rows.keep(context, "keys", _KEY, (context.namespace, name))
        written.append(
            tables.key_row(context.namespace, name, entry.value, author, *entry[2:-1], since=since)
        )
    if written:
        yield Statement(tables.KEYS.upsert(), written, many=True)
    if op.span is not None:
        others = yield from _others(context, "botwire_keys", "key", op.span, set(given), tally, op)
        for name in others:
            context.change("key", "delete", name)
            yield from past_rows.keep(context, "keys", _KEY, (context.namespace, name))
            rows = yield Statement(
                f"DELETE FROM botwire_keys WHERE {_KEY} RETURNING {sizes.KEY}",
                (context.namespace, name),
            )
            context.grown -= count_in(rows)
    return tally.result()


_KEY = "namespace = ? AND key = ?"


def _written_here(context: Context, revision: int) -> int | None:
    """Returns what `since` says of what is restored with this change.

    It has the version that it had elsewhere. Where the past is kept, it was not here before.
    """
    return revision if context.keeps_past else None


def _is_expired(entry: ops.KeyEntry, now: int) -> bool:
    return entry.expires_at is not None and entry.expires_at <= now


def _others(
    context: Context,
    table: str,
    column: str,
    span: ops.Span,
    given: set[str],
    tally: _Counts,
    op: ops.RestoreKeys | ops.RestoreRecords,
    collection: bytes | None = None,
) -> Steps[list[bytes]]:
    """Returns the stored names in a span that must be deleted, and counts them."""
    condition, parameters = bounds(column, "", span.after)
    if span.until is not None:
        condition += f" AND {column} <= ?"
        parameters.append(to_bytes(span.until))
    if collection is not None:
        condition += " AND collection = ?"
        parameters.append(collection)
    rows = yield Statement(
        f"SELECT {column}, version FROM {table} WHERE namespace = ?{condition} ORDER BY {column}",
        (context.namespace, *parameters),
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
def _restore_history(context: Context, op: ops.RestoreHistory) -> Steps[ops.Restored]:
    tally = _Counts()
    history = to_bytes(op.state.name)
    here = (context.namespace, history)
    stat = yield from history_rows.enter(context, history)
    if stat.dead:
        # The ids and numbers of dead items are free for reuse.
        stat = yield from history_rows.remove_dead(context, history, stat)
    stat = yield from history_rows.own_all(context, history, stat)
    state, changed = op.state, not stat.created_at
    counts: tuple[int, int] | None = (0, 0)
    if stat.created_at:
        old = history_rows.state_of(op.state.name, stat)
        state = _merge(op, old)
        counts = (stat.size, stat.archived) if state.archived_seq == old.archived_seq else None
        changed = state != old

    removed = yield from _find_removed(here, op, tally)
    new, taken = yield from _find_new(here, op, removed, tally)
    going = sorted(removed | taken)
    context.has_replaced = context.has_replaced or bool(going)
    if not (changed or new or going):
        return tally.result()
    # Ensures that these versions are never assigned again.
    context.revision = max(
        context.revision, state.metadata_version, *(item.version for item in new)
    )
    revision = context.change("history", "restore", history)
    freed = 0
    for chunk in chunks(going):
        stat = yield from history_rows.keep_past(
            context, history, stat, f"seq IN ({marks(chunk)})", chunk
        )
        gone = yield Statement(
            "DELETE FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND seq IN ({marks(chunk)}) "
            f"RETURNING {sizes.ITEM}",
            (*here, *chunk),
        )
        freed += sum(size for (size,) in gone)
    ids = [None if item.id is None else to_bytes(item.id) for item in new]
    authors = [to_stored(item.author) for item in new]
    items = [
        (item.seq, id, item.value, item.created_at, item.version, author)
        for id, author, item in zip(ids, authors, new, strict=True)
    ]
    added = [sizes.item(id, value, author) for _, id, value, _, _, author in items]
    if new:
        # A fork reads the items as they were when it was made.
        since = revision if stat.forks else _written_here(context, revision)
        yield tables.insert_items(context.namespace, history, items, since)
    numbers = _count(state, counts, [item.seq for item in new], going)
    context.grow(added, freed)
    metadata = None if state.metadata.text == ops.NO_METADATA.text else state.metadata.text
    growth = len(metadata or "") - stat.metadata_size
    context.grown += growth
    row = stat._replace(
        last_seq=state.last_seq,
        archived_seq=state.archived_seq,
        created_at=state.created_at,
        updated_at=state.updated_at,
        bytes=stat.bytes + sum(added) - freed + growth,
        metadata=metadata,
        metadata_version=state.metadata_version,
        expires_at=state.expires_at,
    )
    yield from _save_history(context, history, row, numbers)
    return tally.result()


def _merge(op: ops.RestoreHistory, old: ops.HistoryState) -> ops.HistoryState:
    """Returns the state of an existing history after another one is restored into it."""
    state = op.state
    if old.updated_at > state.updated_at:
        # With a range, the history must become as it was read; without one, only add items.
        refuse = op.until is not None or op.conflict == ops.OVERWRITE
        what = f"history {op.state.name!r:.80} was changed later"
        if not refuse or not _resolve(op.conflict, what):
            state = old
    # A number is never assigned twice, whichever state is newer.
    return state._replace(last_seq=max(old.last_seq, op.state.last_seq))


def _find_removed(
    here: tuple[bytes, bytes], op: ops.RestoreHistory, tally: _Counts
) -> Steps[set[int]]:
    """Returns the stored items in the range that the source no longer has."""
    removed: set[int] = set()
    if op.until is None:
        return removed
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
            op.conflict,
            f"history {op.state.name!r:.80} has item {seq}, which was appended later",
        ):
            tally.kept += 1
            continue
        removed.add(seq)
    tally.removed += len(removed)
    return removed


def _find_new(
    here: tuple[bytes, bytes], op: ops.RestoreHistory, removed: set[int], tally: _Counts
) -> Steps[tuple[list[ops.HistoryItem], set[int]]]:
    """Returns the given items to write, and the stored items to delete for them."""
    stored: dict[int, ops.HistoryItem] = {}
    seqs: dict[str, int] = {}
    for numbers in chunks([item.seq for item in op.items]):
        found = yield Statement(
            f"SELECT {tables.HISTORY_ITEM} FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND seq IN ({marks(numbers)})",
            (*here, *numbers),
        )
        stored.update((row[0], tables.history_item(row)) for row in found)
    for ids in chunks([to_bytes(item.id) for item in op.items if item.id is not None]):
        found = yield Statement(
            "SELECT id, seq FROM botwire_items "
            f"WHERE namespace = ? AND history = ? AND id IN ({marks(ids)})",
            (*here, *ids),
        )
        seqs.update((from_bytes(id), seq) for id, seq in found)
    new: list[ops.HistoryItem] = []
    going: set[int] = set()
    for item in op.items:
        old = stored.get(item.seq)
        if old == item:
            continue
        elsewhere = None if item.id is None else seqs.get(item.id)
        # A later item may have taken the id of a deleted one.
        taken = {seq for seq in (old and item.seq, elsewhere) if seq is not None} - removed
        # The same item, which was updated at the source since.
        is_later = old is not None and old.id == item.id and old.version < item.version
        if taken - ({item.seq} if is_later else set()) and not _resolve(
            op.conflict,
            f"history {op.state.name!r:.80} has another item {item.seq}, or its id elsewhere",
        ):
            tally.kept += 1
            continue
        going |= taken
        tally.written += 1
        new.append(item)
    return new, going


def _count(
    state: ops.HistoryState,
    before: tuple[int, int] | None,
    new: Sequence[int],
    gone: Sequence[int],
) -> tuple[int, int] | None:
    """Returns how many items are live and how many archived; None if they must be counted."""
    if before is None:
        return None
    put_away = sum(seq <= state.archived_seq for seq in new) - sum(
        seq <= state.archived_seq for seq in gone
    )
    return before[0] + len(new) - len(gone) - put_away, before[1] + put_away


def _save_history(
    context: Context, history: bytes, stat: history_rows.Stat, numbers: tuple[int, int] | None
) -> Steps[None]:
    if numbers is None:
        counted = yield Statement(
            "SELECT count(*), COALESCE(sum(CASE WHEN seq <= ? THEN 1 ELSE 0 END), 0) "
            "FROM botwire_items WHERE namespace = ? AND history = ?",
            (stat.archived_seq, context.namespace, history),
        )
        total, archived = counted[0]
        numbers = (total - archived, archived)
    size, archived = numbers
    yield from history_rows.save(context, history, stat._replace(size=size, archived=archived))


@handles(ops.RestoreRecords)
def _restore_records(context: Context, op: ops.RestoreRecords) -> Steps[ops.Restored]:
    tally = _Counts()
    collection = yield from records.enter_collection(
        context, op.collection.name, [record.id for record in op.records]
    )
    here = (context.namespace, collection.name)
    written, replaced = yield from _choose_records(here, op, tally)
    going: list[bytes] = []
    if op.span is not None:
        given = {record.id for record in op.records}
        going = yield from _others(
            context, "botwire_records", "id", op.span, given, tally, op, collection.name
        )
    left = collection.size - len(going)
    dimension = op.collection.dimension
    if left and None not in (dimension, collection.dimension):
        check_dimension(op.collection.name, collection.dimension, dimension or 0)
    if dimension is None and left:
        dimension = collection.dimension
    known = bool(collection.revision)
    if known and not written and not going and dimension == collection.dimension:
        return tally.result()

    context.revision = max([context.revision, *(record.version for record in written)])
    revision = context.change("record", "restore", collection.name)
    _, fewer, freed = yield from records.remove_records(context, collection, going)
    for chunk in chunks([to_bytes(old.id) for old in replaced]):
        condition = f"namespace = ? AND collection = ? AND id IN ({marks(chunk)})"
        yield from past_rows.keep(context, "records", condition, (*here, *chunk))
    contents = [tables.record_content(record, to_stored(record.author)) for record in written]
    added = [sizes.record(*content) for content in contents]
    freed += sum(
        sizes.record(*tables.record_content(old, to_stored(old.author))) for old in replaced
    )
    if written:
        rows = [
            (*content, record.version, record.created_at, record.updated_at, record.expires_at)
            for content, record in zip(contents, written, strict=True)
        ]
        since = _written_here(context, revision)
        yield tables.upsert_records(here, rows, keep=False, since=since)
    growth = yield from word_index.reindex(
        context,
        collection.name,
        {to_bytes(old.id): to_bytes(old.text) for old in replaced},
        {to_bytes(record.id): to_bytes(record.text) for record in written},
    )
    yield from save_collection(
        context,
        collection._replace(
            dimension=dimension,
            size=left + len(written) - len(replaced),
            words=collection.words + growth - fewer,
            revision=revision,
            # Restored records have old versions, so caches of the collection must check them all.
            removed=revision,
            bytes=collection.bytes + sum(added) - freed,
            expiring=int(
                collection.expiring or any(record.expires_at is not None for record in written)
            ),
        ),
    )
    context.grow(added, freed)
    return tally.result()


def _choose_records(
    here: tuple[bytes, bytes], op: ops.RestoreRecords, tally: _Counts
) -> Steps[tuple[list[ops.RecordEntry], list[ops.RecordEntry]]]:
    """Returns the given records to write, and the stored records that they replace."""
    given = {record.id: record for record in op.records}
    stored: dict[str, ops.RecordEntry] = {}
    for chunk in chunks([to_bytes(id) for id in given]):
        rows = yield Statement(
            f"SELECT {tables.RECORD_ENTRY} FROM botwire_records "
            f"WHERE namespace = ? AND collection = ? AND id IN ({marks(chunk)})",
            (*here, *chunk),
        )
        stored.update((from_bytes(row[0]), tables.record_entry(row)) for row in rows)
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
    return written, replaced


def _comparable(record: ops.RecordEntry) -> Sequence[Any]:
    return (*record._replace(tags=()), tuple(record.tags))
