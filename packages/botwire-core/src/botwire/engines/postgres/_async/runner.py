"""Runs generators of statements on a PostgreSQL connection, in few round trips."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import psycopg

from botwire import work
from botwire.engines.postgres.twins import AsyncSender, Ended
from botwire.engines.sql.steps import WAIT, Rows, Statement, Steps
from botwire.errors import BotWireError

WRITING = b"BEGIN"
SNAPSHOT = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

T = TypeVar("T")
_Connection = psycopg.AsyncConnection[Any]
_Cursor = psycopg.AsyncCursor[Any]


async def transact(connection: _Connection, begin: bytes, steps: Steps[T], weight: int = 0) -> T:
    """Runs a generator's statements as a transaction; returns the generator's result.

    It waits for answers only where the generator needs rows, and for the commit. All statements
    sent in between take one round trip.

    Args:
        connection: An idle connection in autocommit mode, which it still is afterwards unless the
            connection is lost.
        begin: `WRITING` or `SNAPSHOT`.
        steps: The generator. If it raises, nothing is committed.
        weight: See `run`.
    """
    try:
        async with _pipeline(connection):
            await connection.execute(begin)
            for setting in getattr(connection, "settings_of_transaction", ()):
                await connection.execute(setting)
            try:
                results = await run(connection, steps, weight)
            except BotWireError:
                await connection.execute(b"ROLLBACK")
                raise
            await connection.execute(b"COMMIT")
    except psycopg.Error:
        if not connection.closed:
            # This also clears prepared statements, because those after the failure were not
            # prepared.
            with contextlib.suppress(psycopg.Error):
                await connection.rollback()
        raise
    return results


async def run(connection: _Connection, steps: Steps[T], weight: int = 0) -> T:
    """Runs the statements of a generator and returns the generator's result.

    Args:
        connection: The connection.
        steps: The generator.
        weight: The generator's work besides processing rows, in rows.
    """
    unread: list[tuple[_Cursor, Callable[[Rows], None]]] = []
    seen = weight
    rows: Rows | None = None
    try:
        while True:
            step = await AsyncSender.send(steps, rows, seen)
            if isinstance(step, Ended):
                await _read(unread)
                result: T = step.value
                return result
            work.look()
            rows, seen = [], weight
            if step is not WAIT:
                cursor = await _send(connection, step)
                if step.then is not None:
                    unread.append((cursor, step.then))
                elif step.waits:
                    unread.append((cursor, rows.extend))
            if step.waits:
                seen += await _read(unread)
    except BotWireError:
        await _read(unread)  # an error of an earlier statement comes first
        raise


async def _send(connection: _Connection, statement: Statement) -> _Cursor:
    # In a pipeline the rows arrive later, so each statement needs its own cursor.
    cursor = connection.cursor()
    sql = _translate(statement.sql)
    if statement.many:
        await cursor.executemany(sql, statement.parameters)
    else:
        await cursor.execute(sql, statement.parameters)
    return cursor


async def _read(unread: list[tuple[_Cursor, Callable[[Rows], None]]]) -> int:
    """Delivers the rows that were not read yet; returns their number."""
    answers = [(await cursor.fetchall(), then) for cursor, then in unread]
    unread.clear()
    for rows, then in answers:
        then(rows)
    return sum(len(rows) for rows, _ in answers)


@contextlib.asynccontextmanager
async def _pipeline(connection: _Connection) -> AsyncIterator[None]:
    """Sends statements without waiting for earlier ones, if libpq is 14 or newer.

    An error is raised at the next send or wait, or at the end of the block. The statements after
    the failed one are not executed. See
    https://www.postgresql.org/docs/current/libpq-pipeline-mode.html and
    https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html.
    """
    if not psycopg.AsyncPipeline.is_supported():
        yield
        return
    failure: psycopg.Error | None = None
    interruption: BaseException | None = None
    try:
        async with connection.pipeline():
            try:
                yield
            except psycopg.Error as error:
                # Hidden from psycopg, which would otherwise log follow-up errors.
                failure = error
            except BaseException as error:
                interruption = error
                raise
    except psycopg.Error as error:
        failure = failure or error
    except BaseException as error:
        if error is not interruption:
            # The end of the pipeline was interrupted. libpq learns only there that a transaction
            # has begun, so the pool could lend the connection in the middle of this one.
            connection.pgconn.finish()
        raise
    if failure is not None:
        raise failure


@functools.lru_cache(maxsize=512)
def _translate(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()
