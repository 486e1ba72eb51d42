# Generated from _async/postgres_upkeep.py by scripts/generate_blocking.py: do not edit.
"""What PostgreSQL itself can say of a store: how large its tables are, and that they belong."""

from __future__ import annotations

from typing import Any

import psycopg

from botwire import store_operations as ops
from botwire.engines import store_statements
from botwire.operations import Operation


def maintain(connection: psycopg.Connection[Any], operation: Operation) -> object:
    """Answers an operation that is the database's own."""
    if isinstance(operation, ops.StatStore):
        cursor = connection.execute(
            "SELECT COALESCE(sum(pg_total_relation_size(oid)), 0)::BIGINT FROM pg_class "
            "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
            r"AND relname LIKE 'botwire\_%'"
        )
        ((size,),) = cursor.fetchall()
        return ops.StoreStat("postgresql", size)
    if isinstance(operation, ops.CheckStore):
        rows: list[Any] = []
        cursor = connection.execute("SELECT to_regclass('botwire_vectors') IS NOT NULL")
        ((has_vectors,),) = cursor.fetchall()
        more = ("botwire_vectors",) if has_vectors else ()
        for statement in store_statements.orphans(more):
            cursor = connection.execute(statement.sql.encode())
            rows += cursor.fetchall()
        return tuple(store_statements.describe_orphans(rows))
    assert isinstance(operation, ops.CompactStore)
    return ops.Compaction(
        rewritten=False,
        detail="PostgreSQL keeps the bytes of deleted rows until VACUUM FULL has rewritten its "
        "tables, and its log and backups for as long as they are set to: run it when nobody waits",
    )
