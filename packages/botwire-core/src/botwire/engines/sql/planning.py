"""Plans a write: selects records and counts words without holding the lock."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence

from botwire import operations as ops
from botwire.engines.loops import renew_in_child
from botwire.engines.sql import deletes, record_reads, word_index, words
from botwire.engines.sql.collection import Collection, read_collection
from botwire.engines.sql.plans import (
    MAX_UNPLANNED,
    NO_PLAN,
    Plan,
    Reindexing,
    Selected,
    UnplannedError,
)
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import IN_COLLECTION, LIVE_RECORDS
from botwire.names import from_bytes, to_bytes
from botwire.operations.base import declaration_of

TRIES = 4
"""How many times an engine plans a batch before it applies it anyway."""

_REMEMBERED = 8
_LONG = 1_000  # bytes of a stored text whose words are worth counting ahead


class Selections:
    """Remembers what large deletes have selected, for their next part. Thread-safe."""

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Forgets everything; a child does so after a fork."""
        self._lock = threading.RLock()
        self._all: OrderedDict[tuple[bytes, str], Selected] = OrderedDict()

    def take(self, key: tuple[bytes, str]) -> Selected | None:
        """Returns a selection and forgets it."""
        with self._lock:
            return self._all.pop(key, None)

    def keep(self, key: tuple[bytes, str], selected: Selected) -> None:
        """Remembers a selection."""
        with self._lock:
            self._all[key] = selected
            if len(self._all) > _REMEMBERED:
                self._all.popitem(last=False)


def first_plan(batch: ops.Batch) -> Plan | None:
    """Returns the plan with which to try a batch first; None if one must be made."""
    for operation in batch.operations:
        if isinstance(operation, ops.DeleteRecords) and deletes.selects(operation):
            return None
        if isinstance(operation, ops.TrimRecords):
            return None
        if isinstance(operation, (ops.PutRecords, ops.RestoreRecords)) and (
            sum(len(record.text) for record in operation.records) > MAX_UNPLANNED
        ):
            return None
    return NO_PLAN


def plan(
    batch: ops.Batch, now: int, selections: Selections, *, is_last: bool = False
) -> Steps[Plan]:
    """Returns the plan of a batch, made inside a read-only transaction."""
    context = Context(to_bytes(batch.namespace), now, 0)
    counts: dict[bytes, Counter[bytes]] = {}
    selected: dict[int, Selected] = {}
    planned: dict[int, Reindexing] = {}

    def count(text: bytes) -> Counter[bytes]:
        _count([text], counts)
        return counts[text]

    for operation in batch.operations:
        if isinstance(operation, ops.DeleteRecords):
            collection: Collection = yield from read_collection(context, operation.collection)
            ids: Sequence[bytes]
            if deletes.selects(operation):
                found = yield from _select(context, collection, operation, selections)
                selected[id(operation)] = found
                ids = [one.id for one in found.found]
            elif operation.where.ids is not None:
                ids = [to_bytes(one) for one in operation.where.ids]
            else:
                newest = yield from record_reads.matching(
                    context, collection.name, operation.where, limit=operation.limit
                )
                ids = [one.id for one in newest]
            if operation.limit is not None:
                ids = yield from deletes.part(context, collection.name, ids, operation.limit)
            old = yield from _stored(context, collection.name, ids)
            planned[id(operation)] = word_index.reindexing(old, {}, count)
        elif isinstance(operation, ops.PutRecords):
            new = {to_bytes(record.id): _text(record) for record in operation.records}
            old = yield from _stored(context, to_bytes(operation.collection), list(new))
            for one in [one for one, text in old.items() if new[one] == text]:
                del old[one], new[one]  # these texts stay as they are
            planned[id(operation)] = word_index.reindexing(old, new, count)
        elif isinstance(operation, ops.TrimRecords):
            ids = [to_bytes(one) for one in operation.ids]
            yield from _count_stored(context, to_bytes(operation.collection), ids, counts)
        elif isinstance(operation, ops.RestoreRecords):
            _count(map(_text, operation.records), counts)
    return Plan(counts, selected, planned, is_last)


def _text(record: ops.NewRecord | ops.RecordEntry) -> bytes:
    return to_bytes(record.text)


def _count(texts: Sequence[bytes] | map[bytes], counts: dict[bytes, Counter[bytes]]) -> None:
    for text in texts:
        if text not in counts:
            counts[text] = words.count(from_bytes(text))


def _stored(context: Context, collection: bytes, ids: Sequence[bytes]) -> Steps[dict[bytes, bytes]]:
    """Returns the texts of those records that exist, by id."""
    found: dict[bytes, bytes] = {}
    for chunk in chunks(ids):
        rows = yield Statement(
            f"SELECT id, text FROM botwire_records WHERE {LIVE_RECORDS} AND id IN ({marks(chunk)})",
            (context.namespace, collection, context.now, *chunk),
        )
        found.update(dict(rows))
    return found


def _count_stored(
    context: Context,
    collection: bytes,
    ids: Sequence[bytes],
    counts: dict[bytes, Counter[bytes]],
) -> Steps[None]:
    """Counts the words of those stored texts that are long."""
    for chunk in chunks(ids):
        rows: Rows = yield Statement(
            f"SELECT text FROM botwire_records WHERE {IN_COLLECTION} AND id IN ({marks(chunk)}) "
            "AND length(text) > ?",
            (context.namespace, collection, *chunk, _LONG),
        )
        _count([text for (text,) in rows], counts)


def _select(
    context: Context,
    collection: Collection,
    operation: ops.DeleteRecords,
    selections: Selections,
) -> Steps[Selected]:
    if operation.limit is None:
        found = yield from record_reads.matching(context, collection.name, operation.where)
        return Selected(collection.revision, found)
    key = (context.namespace, declaration_of(operation).encode(operation))
    known = selections.take(key)
    if known is not None:
        try:
            known = yield from deletes.renewed(context, collection, operation.where, known)
        except UnplannedError:
            known = None
    if known is None or not (known.found or known.is_whole):
        found = yield from record_reads.matching(
            context, collection.name, operation.where, limit=deletes.SELECTED
        )
        known = Selected(collection.revision, found, len(found) < deletes.SELECTED)
    if known.found:
        selections.keep(key, known)
    return known
