"""What PostgreSQL itself can say of a store: how large its tables are, and that they belong."""

from __future__ import annotations

from typing import Any

import psycopg

from botwire import operations as ops
from botwire.engines.sql import store
from botwire.operations import AnyOperation


async def maintain(connection: psycopg.AsyncConnection[Any], operation: AnyOperation) -> object:
    """Answers an operation that is the database's own."""
    if isinstance(operation, ops.StatStore):
        cursor = await connection.execute(
            "SELECT COALESCE(sum(pg_total_relation_size(oid)), 0)::BIGINT FROM pg_class "
            "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
            r"AND relname LIKE 'botwire\_%'"
        )
        ((size,),) = await cursor.fetchall()
        return ops.StoreStat("postgresql", size)
    if isinstance(operation, ops.CheckStore):
        rows: list[Any] = []
        for statement in store.orphans():
            cursor = await connection.execute(statement.sql.encode())
            rows += await cursor.fetchall()
        return tuple(store.describe_orphans(rows))
    assert isinstance(operation, ops.CompactStore)
    return ops.Compaction(
        rewritten=False,
        detail="PostgreSQL keeps the bytes of deleted rows until VACUUM FULL has rewritten its "
        "tables, and its log and backups for as long as they are set to: run it when nobody waits",
    )
