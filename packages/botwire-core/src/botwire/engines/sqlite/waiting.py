"""Waits for the locks of a SQLite file.

Python handles no signals while SQLite waits, and SQLite polls less and less often, so it would
rarely find a contended lock free. So whatever waits long does so in short parts.
"""

from __future__ import annotations

import sqlite3
import time

from botwire.errors import BotWireError

BUSY_SECONDS = 60.0
"""Longest wait for a lock."""
_PART_MS = 50


class BusyError(BotWireError):
    """Another process holds the lock, and the caller does not wait for it."""


def wait_in_parts(connection: sqlite3.Connection) -> None:
    """Makes each statement of a connection wait only briefly for a lock; see `execute`."""
    connection.execute(f"PRAGMA busy_timeout={_PART_MS}")


def execute(connection: sqlite3.Connection, sql: str) -> None:
    """Executes a statement as soon as it gets its lock, on a connection that waits in parts.

    Raises:
        sqlite3.OperationalError: Others hold the lock for too long.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(sql)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        else:
            return


def execute_at_once(connection: sqlite3.Connection, sql: str) -> None:
    """Executes a statement if it gets its lock without waiting.

    Raises:
        BusyError: Others hold the lock.
    """
    connection.execute("PRAGMA busy_timeout=0")
    try:
        connection.execute(sql)
    except sqlite3.OperationalError as error:
        if is_busy(error):
            raise BusyError("others hold the lock") from error
        raise
    finally:
        wait_in_parts(connection)


def is_busy(error: sqlite3.Error) -> bool:
    """Returns whether an error says that others hold a lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
