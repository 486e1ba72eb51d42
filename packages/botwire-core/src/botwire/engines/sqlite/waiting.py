"""Waits for the locks of a SQLite file.

Python handles no signals while SQLite waits, and SQLite soon polls only every 25 to 100
milliseconds, so it would rarely find a contended lock free. Anything that waits long therefore
does its own polling.
"""

from __future__ import annotations

import sqlite3
import time

from botwire.errors import BotWireError

BUSY_SECONDS = 60.0
"""Longest wait for a lock."""
LONGEST_PAUSE = 0.02
"""Most seconds between two attempts."""
_FIRST_PAUSE = 0.0005


class BusyError(BotWireError):
    """Another process holds the lock, and the caller does not wait for it."""


def never_wait(connection: sqlite3.Connection) -> None:
    """Makes each statement of a connection fail at once if others hold a lock that it needs."""
    connection.execute("PRAGMA busy_timeout=0")


def try_to_execute(connection: sqlite3.Connection, sql: str) -> bool:
    """Executes a statement and returns True, unless others hold a lock that it needs."""
    try:
        connection.execute(sql)
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return False
        raise
    return True


def execute(connection: sqlite3.Connection, sql: str) -> None:
    """Executes a statement as soon as it gets its lock, on a connection that never waits.

    Raises:
        sqlite3.OperationalError: Others hold the lock for too long.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    pause = _FIRST_PAUSE
    while time.monotonic() < deadline:
        if try_to_execute(connection, sql):
            return
        time.sleep(pause)
        pause = min(pause * 1.2, LONGEST_PAUSE)
    connection.execute(sql)


def is_busy(error: sqlite3.Error) -> bool:
    """Returns whether an error says that others hold a lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
