"""Keeps PostgreSQL's table of vectors: made where pgvector is, filled, given up where it went.

What is in the table, and when, is in `engines.vector_table`. Everything here is done a namespace at
a time, locked first as by its writers, and can be killed at any moment and done again.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import psycopg
from psycopg import errors as pg

from botwire._async.postgres_steps import WRITING, run, transact
from botwire.clock import Clock
from botwire.engines import vector_table

logger = logging.getLogger("botwire.postgres")

LOST = (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction, pg.UndefinedObject)
"""What a statement on the table meets where the table, its column or the extension is gone."""

_LOCK = " FOR UPDATE"
_AT_ONCE = 1000  # names read at a time


async def find_table(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Returns whether there is a table to use; makes it where that is done at once."""
    found: vector_table.Found = await run(connection, vector_table.look())
    if found.whole or not (found.extension or found.table):
        return found.whole
    return await _settle(connection)


async def keep_table(
    connection: psycopg.AsyncConnection[Any], clock: Clock, seconds: float | None
) -> bool:
    """Makes the table or clears away what is left of it, and fills in what is missing.

    Args:
        connection: Outside of a transaction.
        clock: Returns the present time.
        seconds: About how long to fill; the next call goes on. None: until it is done.

    Returns:
        Whether there is a table to use.
    """
    if not await find_table(connection):
        # What says that it is in the table would be believed of the next one.
        await _give_all_up(connection)
        if not await find_table(connection):
            return False
    until = None if seconds is None else time.monotonic() + seconds
    last = (b"", b"")
    while collections := await run(connection, vector_table.find_unfilled(last, _AT_ONCE)):
        for namespace, name in collections:
            last = (namespace, name)
            at: vector_table.Filling | None = None
            while True:
                steps = vector_table.fill(namespace, name, at, clock(), _LOCK)
                at = await transact(connection, WRITING, steps)
                if until is not None and time.monotonic() > until:
                    return True
                if at is None:
                    break
    return True


async def give_up(connection: psycopg.AsyncConnection[Any], namespace: bytes) -> bool:
    """Lets a namespace do without a table that is gone; returns whether there is one."""
    return bool(await transact(connection, WRITING, vector_table.give_up(namespace, _LOCK)))


async def _give_all_up(connection: psycopg.AsyncConnection[Any]) -> None:
    """Lets every namespace do without a table that is gone, where anything could be in the way.

    Where nothing is, a namespace finds out by itself, when it would use the table.
    """
    found: vector_table.Found = await run(connection, vector_table.look())
    if not (found.extension or found.table):
        return
    while namespaces := await run(connection, vector_table.find_indexed(_AT_ONCE)):
        for namespace in namespaces:
            if await give_up(connection, namespace):
                return  # another process has made it


async def _settle(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Drops what is left of a table, and makes it if it can be; returns whether it is there."""
    try:
        async with connection.transaction():
            # One process does it; the others then find it done.
            await connection.execute("SELECT version FROM botwire_schema FOR UPDATE")
            found: vector_table.Found = await run(connection, vector_table.look())
            if found.whole or await run(connection, vector_table.find_indexed(1)):
                return found.whole
            for sql in vector_table.DROP if not found.extension else vector_table.MAKE:
                await connection.execute(sql.encode())
            return found.extension
    except (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction, pg.LockNotAvailable) as error:
        logger.info("searches by vector go on without pgvector: %s", error)
        return False
