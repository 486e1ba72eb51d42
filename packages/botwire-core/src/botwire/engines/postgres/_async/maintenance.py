"""Maintenance of a PostgreSQL store: the size of its tables and a check for orphaned rows."""

from __future__ import annotations

from typing import Any

import psycopg

from botwire import operations as ops
from botwire.engines.sql import checks
from botwire.operations import AnyOperation


async def maintain(connection: psycopg.AsyncConnection[Any], operation: AnyOperation) -> object:
    """Applies a maintenance operation."""
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
        for statement in checks.orphans():
            cursor = await connection.execute(statement.sql.encode())
            rows += await cursor.fetchall()
        return tuple(checks.describe_orphans(rows))
    assert isinstance(operation, ops.CompactStore)
    return ops.Compaction(
        rewritten=False,
        detail="PostgreSQL keeps the bytes of deleted rows until VACUUM FULL rewrites the tables, "
        "and in its log and backups for as long as those are retained: run VACUUM FULL off-peak",
    )
