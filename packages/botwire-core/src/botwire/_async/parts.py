"""What is deleted in parts, between which others write."""

from __future__ import annotations

from botwire import operations as ops
from botwire import record_operations as records
from botwire.engines.protocol import AsyncEngine


async def in_parts(
    engine: AsyncEngine,
    namespace: str,
    operation: ops.ClearKeys | ops.ClearHistory | records.DeleteRecords,
) -> int:
    """Applies a deletion until it finds less than its limit, and returns how much it deleted."""
    total = 0
    while True:
        (count,) = await engine.apply(ops.Batch(namespace, (operation,)))
        total += int(count)
        if operation.limit is None or count < operation.limit:
            return total
