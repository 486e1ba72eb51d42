"""Restoring records in SQL; see `restoring`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import past_rows, records, sizes, tables, word_index
from botwire.engines.sql.collection import check_dimension, save_collection
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.restoring import Counts, find_others, is_newer, resolve, written_here
from botwire.engines.sql.steps import Context, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import IN_COLLECTION
from botwire.names import from_bytes, to_bytes
from botwire.operations.authors import to_stored


@handles(ops.RestoreRecords)
def _restore_records(context: Context, op: ops.RestoreRecords) -> Steps[ops.Restored]:
    tally = Counts()
    collection = yield from records.enter_collection(
        context, op.collection.name, [record.id for record in op.records]
    )
    here = (context.namespace, collection.name)
    written, replaced = yield from _choose_records(here, op, tally)
    given = {record.id for record in op.records}
    going = yield from find_others(context, op, given, tally, collection.name)
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
        condition = f"{IN_COLLECTION} AND id IN ({marks(chunk)})"
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
        since = written_here(context, revision)
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
    here: tuple[bytes, bytes], op: ops.RestoreRecords, tally: Counts
) -> Steps[tuple[list[ops.RecordEntry], list[ops.RecordEntry]]]:
    """Returns the given records to write, and the stored records that they replace."""
    given = {record.id: record for record in op.records}
    stored: dict[str, ops.RecordEntry] = {}
    for chunk in chunks([to_bytes(id) for id in given]):
        rows = yield Statement(
            f"SELECT {tables.RECORD_ENTRY} FROM botwire_records "
            f"WHERE {IN_COLLECTION} AND id IN ({marks(chunk)})",
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
            if is_newer(old, record) and not resolve(
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
