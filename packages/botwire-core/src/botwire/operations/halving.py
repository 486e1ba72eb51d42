"""How a batch that asks for more than a server answers at once is asked in parts."""

from __future__ import annotations

from dataclasses import replace

from botwire import operations as ops
from botwire.operations import records


def halve(batch: ops.Batch) -> tuple[ops.Batch, ops.Batch] | None:
    """Returns two batches that ask for what one did, or None if it cannot be divided.

    Batches that write are not divided, because they are atomic. Nor are those that read the log of
    changes, because its revision must apply to everything read with it.
    """
    if batch.writes or any(isinstance(one, ops.ReadChanges) for one in batch.operations):
        return None
    if len(batch.operations) == 1:
        pair = _halve(batch.operations[0])
        return pair and (_of(batch, pair[0]), _of(batch, pair[1]))
    middle = len(batch.operations) // 2
    return _of(batch, *batch.operations[:middle]), _of(batch, *batch.operations[middle:])


def _of(batch: ops.Batch, *operations: ops.AnyOperation) -> ops.Batch:
    return replace(batch, operations=operations)


def _halve(operation: ops.AnyOperation) -> tuple[ops.AnyOperation, ops.AnyOperation] | None:
    if isinstance(operation, ops.GetKeys) and len(operation.keys) > 1:
        middle = len(operation.keys) // 2
        return (
            replace(operation, keys=operation.keys[:middle]),
            replace(operation, keys=operation.keys[middle:]),
        )
    if isinstance(operation, records.GetRecords) and len(operation.ids) > 1:
        middle = len(operation.ids) // 2
        return (
            replace(operation, ids=operation.ids[:middle]),
            replace(operation, ids=operation.ids[middle:]),
        )
    if isinstance(operation, records.SearchRecords) and operation.limit > 1:
        middle = operation.limit // 2
        return (
            replace(operation, limit=middle),
            replace(operation, limit=operation.limit - middle, offset=operation.offset + middle),
        )
    return None


def join(batch: ops.Batch, first: ops.Results, second: ops.Results) -> ops.Results:
    """Returns what a batch answers, of the answers to its two halves."""
    if len(batch.operations) > 1:
        return [*first, *second]
    return [(*first[0], *second[0])]
