# Generated from engines/postgres/_async/steps.py by scripts/generate_blocking.py: do not edit.
"""How generators of statements run on a connection to PostgreSQL: with few waits for answers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg

from botwire import work
from botwire.engines.loops import Ended, Sender
from botwire.engines.sql.steps import WAIT, Rows, Statement, Steps
from botwire.errors import BotWireError

WRITING = b"BEGIN"
SNAPSHOT = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

T = TypeVar("T")
_Connection = psycopg.Connection[Any]
_Cursor = psycopg.Cursor[Any]


def transact(connection: _Connection, begin: bytes, steps: Steps[T], weight: int = 0) -> T:
    """Runs the statements of a generator as a transaction and returns what it returns.

    Answers are waited for where the generator looks at rows, and for the commit: what is sent
    between two of these takes one round trip, however many statements it is.

    Args:
        connection: In autocommit mode and idle; it is so again afterwards, unless it is lost.
        begin: `WRITING` or `SNAPSHOT`.
        steps: The generator. If it raises, nothing is committed.
        weight: See `run`.
    """
    try:
        with _pipeline(connection):
            connection.execute(begin)
            try:
                results = run(connection, steps, weight)
            except BotWireError:
                connection.execute(b"ROLLBACK")
                raise
            connection.execute(b"COMMIT")
    except psycopg.Error:
        if not connection.closed:
            # Forgets prepared statements too: some were not, as they came after what failed.
            with contextlib.suppress(psycopg.Error):
                connection.rollback()
        raise
    return results


def run(connection: _Connection, steps: Steps[T], weight: int = 0) -> T:
    """Runs the statements of a generator and returns what it returns.

    Args:
        connection: Where.
        steps: The generator.
        weight: How much it has to do beside looking at rows, in rows.
    """
    unread: list[tuple[_Cursor, Callable[[Rows], None]]] = []
    seen = weight
    rows: Rows | None = None
    try:
        while True:
            work.look()
            step = Sender.send(steps, rows, seen)
            if isinstance(step, Ended):
                _read(unread)
                result: T = step.value
                return result
            rows, seen = [], weight
            if step is not WAIT:
                cursor = _send(connection, step)
                if step.then is not None:
                    unread.append((cursor, step.then))
                elif step.waits:
                    unread.append((cursor, rows.extend))
            if step.waits:
                seen += _read(unread)
    except BotWireError:
        _read(unread)  # what was asked before and is wrong comes first
        raise


def _send(connection: _Connection, statement: Statement) -> _Cursor:
    # In a pipeline the rows come to the cursor later, so each statement has its own.
    cursor = connection.cursor()
    sql = _translate(statement.sql)
    if statement.many:
        cursor.executemany(sql, statement.parameters)
    else:
        cursor.execute(sql, statement.parameters)
    return cursor


def _read(unread: list[tuple[_Cursor, Callable[[Rows], None]]]) -> int:
    """Hands over the rows that were not read yet, and returns how many there are."""
    answers = [(cursor.fetchall(), then) for cursor, then in unread]
    unread.clear()
    for rows, then in answers:
        then(rows)
    return sum(len(rows) for rows, _ in answers)


@contextlib.contextmanager
def _pipeline(connection: _Connection) -> Iterator[None]:
    """Lets statements be sent without waiting for those before, where libpq can: from 14 on.

    What fails is raised by whatever is sent or waited for next, at the latest at the end, and as
    itself; the statements after it are not executed. See
    https://www.postgresql.org/docs/current/libpq-pipeline-mode.html and
    https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html.
    """
    if not psycopg.Pipeline.is_supported():
        yield
        return
    failure: psycopg.Error | None = None
    try:
        with connection.pipeline():
            try:
                yield
            except psycopg.Error as error:
                # Kept from psycopg, which would log what it meets on its way out because of it.
                failure = error
    except psycopg.Error as error:
        failure = failure or error
    if failure is not None:
        raise failure


@functools.lru_cache(maxsize=512)
def _translate(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()
