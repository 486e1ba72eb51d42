"""Divides a batch whose answer is too large for a server to send at once."""

from __future__ import annotations

from dataclasses import replace

from botwire import operations as ops


def halve(batch: ops.Batch) -> tuple[ops.Batch, ops.Batch] | None:
    """Returns two batches that together read what one does; None if it cannot be divided.

    A batch that writes is not divided, because it is atomic. Nor is one that reads the log of
    changes, because the revision must apply to everything read with it.
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
        first, second = operation.keys[:middle], operation.keys[middle:]
        return replace(operation, keys=first), replace(operation, keys=second)
    if isinstance(operation, ops.GetRecords) and len(operation.ids) > 1:
        middle = len(operation.ids) // 2
        first, second = operation.ids[:middle], operation.ids[middle:]
        return replace(operation, ids=first), replace(operation, ids=second)
    if isinstance(operation, ops.SearchRecords) and operation.limit > 1:
        middle = operation.limit // 2
        rest, offset = operation.limit - middle, operation.offset + middle
        return replace(operation, limit=middle), replace(operation, limit=rest, offset=offset)
    return None


def join(batch: ops.Batch, first: ops.Results, second: ops.Results) -> ops.Results:
    """Returns the results of a batch, given those of its two halves."""
    if len(batch.operations) > 1:
        return [*first, *second]
    return [(*first[0], *second[0])]
