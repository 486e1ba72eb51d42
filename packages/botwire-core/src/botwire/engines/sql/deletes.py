"""Deleting records in SQL: which records to select, and how many to delete at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from botwire import operations as ops
from botwire.engines.sql import record_reads, records, word_index
from botwire.engines.sql.collection import Collection, save_collection
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.plans import MAX_CHANGED, Selected, SelectedRecord, UnplannedError
from botwire.engines.sql.steps import Context, Statement, Steps, chunks, count_in, marks
from botwire.engines.sql.tables import IN_COLLECTION, LIVE_RECORDS
from botwire.names import to_bytes

SELECTED = 50_000
"""The number of records that a delete in parts selects at once."""

_MANY = 500  # ids
_PART_BYTES = 20_000  # of text that one part deletes: some 4,000 words, each on a page of its own
_CLEARED_WORDS = 300_000  # deleted at once with their collection, because they are adjacent


@handles(ops.DeleteRecords)
def _delete_records(context: Context, op: ops.DeleteRecords) -> Steps[int]:
    collection = yield from records.enter_collection(context, op.collection)
    if collection.size == 0:
        return 0
    here = (context.namespace, collection.name)
    is_short = op.limit is None or (
        collection.size <= op.limit and collection.words <= _CLEARED_WORDS
    )
    gone = 0
    if op.all and is_short:
        if collection.expiring:
            rows = yield Statement(
                f"SELECT count(*) FROM botwire_records WHERE {IN_COLLECTION} AND expires_at <= ?",
                (*here, context.now),
            )
            gone = count_in(rows)
        yield from records.remove_all(context, collection)
        count, fewer, freed = collection.size, collection.words, collection.bytes
    else:
        ids = yield from _to_delete(context, collection, op)
        count, fewer, freed = yield from records.remove_records(
            context, collection, ids, word_index.planned_for(context, op)
        )
    if count:
        revision = context.change("record", "clear" if op.all else "delete", collection.name)
        left = collection.size - count
        yield from save_collection(
            context,
            collection._replace(
                dimension=collection.dimension if left else None,
                size=left,
                words=collection.words - fewer,
                revision=revision,
                removed=revision,
                bytes=collection.bytes - freed,
                expiring=collection.expiring if left else 0,
            ),
        )
        context.grown -= freed
    return count - gone


def selects(op: ops.DeleteRecords) -> bool:
    """Returns whether finding the records to delete may take long."""
    ids = op.where.ids
    if op.all:
        return False
    return ids is None or len(ids) > _MANY or record_reads.tester(op.where) is not None


def _to_delete(
    context: Context, collection: Collection, op: ops.DeleteRecords
) -> Steps[Sequence[bytes]]:
    """Returns the ids of the records that this part deletes."""
    plan = context.plan
    known = plan.selections.get(id(op)) if plan is not None and selects(op) else None
    if known is not None:
        known = yield from renewed(context, collection, op.where, known)
        ids = [one.id for one in known.found]
    else:
        found = yield from record_reads.matching(context, collection.name, op.where, limit=op.limit)
        ids = [one.id for one in found]
    if op.limit is not None:
        return (yield from part(context, collection.name, ids, op.limit))
    if known is not None and collection.expiring:
        # This skips records that have expired since they were selected.
        return (yield from part(context, collection.name, ids, len(ids), 2**62))
    return ids


def part(
    context: Context,
    collection: bytes,
    ids: Sequence[bytes],
    limit: int,
    bytes_: int = _PART_BYTES,
) -> Steps[Sequence[bytes]]:
    """Returns the first of these records that exist: at least one, but few enough to be quick.

    Args:
        context: The batch's context.
        collection: The records' collection.
        ids: The ids of the records.
        limit: The most records to answer.
        bytes_: The most bytes of text in all of them together.
    """
    taken: list[bytes] = []
    size = 0
    for chunk in chunks(ids):
        rows = yield Statement(
            "SELECT id, length(text) FROM botwire_records "
            f"WHERE {LIVE_RECORDS} AND id IN ({marks(chunk)})",
            (context.namespace, collection, context.now, *chunk),
        )
        lengths: dict[bytes, int] = dict(rows)
        for id in chunk:
            if id in lengths:
                size += lengths[id]
                if taken and (len(taken) == limit or size > bytes_):
                    return taken
                taken.append(id)
    return taken


def renewed(
    context: Context, collection: Collection, where: ops.Selection, selected: Selected
) -> Steps[Selected]:
    """Returns an earlier selection brought up to date.

    Raises:
        UnplannedError: Too much has been written to the collection since.
    """
    if collection.revision == selected.revision:
        return selected
    found = selected.found
    if collection.removed > selected.revision:
        found = yield from _without_gone(context, collection.name, found)
    limit = MAX_CHANGED + 1
    if context.plan is not None and context.plan.is_last:
        limit = 2**62
    ids = None if where.ids is None else {to_bytes(id) for id in where.ids}
    sql, parameters = record_reads.conditions(replace(where, ids=None))
    here = (context.namespace, collection.name, selected.revision)
    changed = yield Statement(
        f"SELECT id FROM botwire_records WHERE {IN_COLLECTION} AND version > ? LIMIT ?",
        (*here, limit),
    )
    if len(changed) > MAX_CHANGED and limit == MAX_CHANGED + 1:
        raise UnplannedError("many records were written meanwhile")
    if changed:
        rows = yield Statement(
            "SELECT id, created_at, tags, metadata FROM botwire_records "
            f"WHERE {LIVE_RECORDS} AND version > ?{sql}",
            (context.namespace, collection.name, context.now, selected.revision, *parameters),
        )
        passing = record_reads.tester(where)
        again = {id for (id,) in changed}
        found = [one for one in found if one.id not in again]
        found += [
            SelectedRecord(*row[:3])
            for row in (rows if passing is None else passing(rows))
            if ids is None or row[0] in ids
        ]
        found.sort(key=lambda one: (-one.created_at, one.id))
    return Selected(collection.revision, found, selected.is_whole)


def _without_gone(
    context: Context, collection: bytes, found: list[SelectedRecord]
) -> Steps[list[SelectedRecord]]:
    """Returns the records without the leading ones that no longer exist.

    Stops at the first chunk with a record that exists, and keeps everything behind it.
    """
    for start in range(0, len(found), _MANY):
        chunk = [one.id for one in found[start : start + _MANY]]
        rows = yield Statement(
            f"SELECT id FROM botwire_records WHERE {IN_COLLECTION} AND id IN ({marks(chunk)})",
            (context.namespace, collection, *chunk),
        )
        if rows:
            there = {id for (id,) in rows}
            first = [one for one in found[start : start + _MANY] if one.id in there]
            return first + found[start + _MANY :]
    return []
