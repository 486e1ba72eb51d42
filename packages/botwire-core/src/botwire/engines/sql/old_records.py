"""Finding and deleting the old records of a collection; see `retention`."""

from __future__ import annotations

from collections.abc import Sequence

from botwire import operations as ops
from botwire.clock import micros
from botwire.engines.sql import holds, sizes
from botwire.engines.sql.collection import read_collection
from botwire.engines.sql.handlers import apply, handles
from botwire.engines.sql.retention import Cutoffs, tell_trimmed
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import LIVE_RECORDS
from botwire.names import from_bytes, to_bytes

_RECORDS_BYTES = 3_000  # about how many bytes of records' texts one part deletes


@handles(ops.FindOldRecords)
def _find_old_records(context: Context, op: ops.FindOldRecords) -> Steps[ops.OldRecords]:
    here = (context.namespace, to_bytes(op.collection))
    rows = yield Statement(
        f"SELECT count(*), COALESCE(sum({sizes.RECORD}), 0) FROM botwire_records "
        f"WHERE {LIVE_RECORDS}",
        (*here, context.now),
    )
    count, held_bytes = int(rows[0][0]), int(rows[0][1])
    limits = Cutoffs(
        0 if op.age is None else context.now - micros(op.age),
        0 if op.count is None else count - op.gone_records - op.count,
        0 if op.bytes is None else held_bytes - op.gone_bytes - op.bytes,
    )
    ids: list[bytes] = []
    size = texts = 0
    cursor: tuple[int, bytes] | None = None
    if op.after is not None and op.after_time is not None:
        cursor = (op.after_time, to_bytes(op.after))
    while True:
        page, bounds = "", []
        if cursor is not None:
            page = " AND created_at >= ? AND (created_at > ? OR id > ?)"
            bounds = [cursor[0], *cursor]
        rows = yield Statement(
            f"SELECT created_at, id, updated_at, {sizes.RECORD}, length(text) FROM botwire_records "
            f"WHERE {LIVE_RECORDS}{page} ORDER BY created_at, id LIMIT ?",
            (*here, context.now, *bounds, ops.MAX_PAGE),
        )
        for created_at, id, updated_at, bytes_, length in rows:
            is_first = len(ids) < limits.items or size < limits.bytes
            if not is_first and created_at >= limits.before:
                return (yield from _old_records(context, ids, size))
            if is_first or updated_at < limits.before:
                if ids and (len(ids) == op.limit or texts + length > _RECORDS_BYTES):
                    return (yield from _old_records(context, ids, size, cursor))
                ids.append(id)
                size += bytes_
                texts += length
            cursor = (created_at, id)
        if len(rows) < ops.MAX_PAGE:
            return (yield from _old_records(context, ids, size))


def _old_records(
    context: Context, ids: Sequence[bytes], size: int, cursor: tuple[int, bytes] | None = None
) -> Steps[ops.OldRecords]:
    if ids and (yield from holds.is_held(context)):
        return ops.OldRecords((), 0, held=True)
    after_time, after = (None, None) if cursor is None else (cursor[0], from_bytes(cursor[1]))
    return ops.OldRecords(tuple(map(from_bytes, ids)), size, after_time, after)


@handles(ops.TrimRecords)
def _trim_records(context: Context, op: ops.TrimRecords) -> Steps[ops.Trimmed]:
    collection = yield from read_collection(context, op.collection)
    found: Rows = []
    for chunk in chunks([to_bytes(id) for id in op.ids]):
        found += yield Statement(
            f"SELECT id, {sizes.RECORD} FROM botwire_records "
            f"WHERE {LIVE_RECORDS} AND id IN ({marks(chunk)})",
            (context.namespace, collection.name, context.now, *chunk),
        )
    if not found:
        return ops.Trimmed(0, 0)
    ids = tuple([from_bytes(id) for id, _ in found])
    count = yield from apply(context, ops.DeleteRecords(op.collection, ops.Selection(ids=ids)))
    size = sum(size for _, size in found)
    tell_trimmed(context, op.policy, "collection", op.collection, count, size)
    return ops.Trimmed(count, size)
