"""The file of a SQLite store: opened, brought up to date, and compared with what its path names."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from botwire.engines import retry
from botwire.engines.sql import migrations
from botwire.engines.sql.schema import SQLITE
from botwire.engines.sql.steps import WAIT, Steps
from botwire.engines.sqlite import upkeep
from botwire.engines.sqlite.upkeep import BACKUP_ID
from botwire.errors import BotWireError, ConfigurationError, ServerError
from botwire.files import make_private
from botwire.places import MEMORY

T = TypeVar("T")

APPLICATION_ID = 0x42575245
"""Marks the files that are BotWire's (``BWRE``); see https://sqlite.org/pragma.html."""

_BUSY_SECONDS = 60.0
_BUSY_PART_MS = 50
# Kilobytes of pages that a connection keeps, where there are so many. The index of texts is written
# to all over: with fewer, a writer of many records writes pages out and reads them again.
_READER_CACHE, _WRITER_CACHE = 16_000, 64_000


class SQLiteFile:
    """Opens connections to a file, which is made if it is not there.

    Args:
        path: The file, or `MEMORY`.
        read_only: Whether it is only read; it must then be there, and of this release's version.
    """

    def __init__(self, path: str, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._watched = (path, path + "-wal")
        self.forget()

    def forget(self) -> None:
        """Takes the file for one that was never open: all connections are closed, or another's."""
        self._migrating: set[int] = set()  # threads
        self._is_known = False
        self._identity: tuple[int, ...] | None = None

    def connect_to_write(self) -> sqlite3.Connection:
        """Returns a connection that writes."""
        connection = self.connect()
        connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE}")
        # Waits in parts (`_begin`): Python handles no signal while SQLite waits. Short ones, as
        # SQLite looks less and less often, and would hardly ever find the lock free beside others
        # that take it again and again.
        connection.execute(f"PRAGMA busy_timeout={_BUSY_PART_MS}")
        return connection

    def connect(self) -> sqlite3.Connection:
        """Returns a connection.

        Raises:
            ConfigurationError: The file is not a BotWire database, is of a newer version, or
                cannot be opened.
        """
        if "\0" in self.path:
            raise ConfigurationError(f"{self.path!r} cannot be the path of a file")
        connection = None
        try:
            if self.path != MEMORY and not self.read_only:
                make_private(self.path)
            connection = sqlite3.connect(
                f"file:{quote(self.path)}?mode=ro" if self.read_only else self.path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                uri=self.read_only,
            )
            if self.read_only:
                self._prepare_to_read(connection)
            else:
                self._prepare(connection)
        except (sqlite3.Error, BotWireError, OSError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, BotWireError):
                raise
            raise self.failure(error) from error
        return connection

    def _prepare_to_read(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
        version = self.version(connection)
        if version < migrations.latest():
            raise ConfigurationError(
                f"{self.path} has tables of version {version}, and this release reads version "
                f"{migrations.latest()}: open it once to write, which brings it up to date"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not self._is_known:
            upkeep.refuse_foreign_log(self.path)
            self._is_known = True
        connection.execute("PRAGMA synchronous=FULL")
        # What is deleted is overwritten. Costs nothing that could be measured, as a page is freed
        # in a commit that is synced anyway.
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
        version = self.version(connection)
        # A backup of a database in WAL mode is not in WAL mode: never take it for granted.
        if _use_wal(connection) not in ("wal", "memory"):
            raise ConfigurationError(
                f"{self.path}: this file system cannot hold a SQLite database that several "
                "processes write to (no WAL); choose another place"
            )
        if version < migrations.latest() or _mark(connection) != APPLICATION_ID:
            with self._alone():
                self._migrate(connection)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps this thread from opening the file again while it holds the file's lock.

        No finalizer runs meanwhile. A signal handler may, and gets an error instead of a deadlock.
        """
        thread = threading.get_ident()
        if thread in self._migrating:
            raise ServerError(
                f"{self.path} is being opened by the call that this one, of a signal handler, "
                "has interrupted; nothing was written"
            )
        collects = gc.isenabled()
        self._migrating.add(thread)
        gc.disable()
        try:
            yield
        finally:
            self._migrating.discard(thread)
            if collects:
                gc.enable()

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read again: another process may have been first.
            version = self.version(connection)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            if version < migrations.latest():
                run(connection, migrations.migrate(version, SQLITE))
                connection.execute(f"PRAGMA user_version={migrations.latest()}")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    def version(self, connection: sqlite3.Connection) -> int:
        """Returns the version of the file's tables, 0 if it has none.

        Raises:
            ConfigurationError: They are another program's, or a newer release's.
        """
        # In this order: should another process make the tables meanwhile, the mark that comes with
        # them is seen by whoever has seen them.
        tables = connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        application = _mark(connection)
        if application in (APPLICATION_ID, BACKUP_ID):
            migrations.refuse_newer(version, self.path)
            return version
        if application or version or tables:
            raise ConfigurationError(
                f"{self.path} is a SQLite database of another program, not BotWire's"
            )
        return 0

    def failure(self, error: sqlite3.Error | OSError) -> BotWireError:
        """Returns the error of ours for one of SQLite's, or of the file's."""
        code = getattr(error, "sqlite_errorname", "") or ""
        parent = Path(self.path).parent
        if code.startswith("SQLITE_NOTADB"):
            return ConfigurationError(f"{self.path} is not a SQLite database")
        if code.startswith("SQLITE_CANTOPEN") or isinstance(error, OSError):
            if isinstance(error, PermissionError):
                return ConfigurationError(f"{self.path} may not be written to, nor its folder")
            if self.read_only:
                return ConfigurationError(
                    f"{self.path} cannot be opened to be read: is it there, and may its folder be "
                    "written to, where SQLite keeps its log?"
                )
            why = "cannot be opened" if parent.is_dir() else f"cannot be made: no folder {parent}"
            return ConfigurationError(f"{self.path} {why}")
        if code.startswith("SQLITE_READONLY"):
            return ConfigurationError(f"{self.path} may not be written to, nor its folder")
        if code.startswith("SQLITE_FULL"):
            return ServerError(f"{self.path}: the disk is full; nothing was written", status=507)
        return ServerError(f"{self.path}: {error} ({code or type(error).__name__})")

    def begin(self, connection: sqlite3.Connection) -> None:
        """Begins a transaction that holds the file's write lock.

        Raises:
            ConfigurationError: The file has become one of a newer version.
        """
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
        # A newer release may have changed the tables while this one had them open.
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        migrations.refuse_newer(found, self.path)

    def check(self) -> None:
        """Raises unless what was just committed is in the file that the path names.

        A file that was removed or replaced stays open, and takes writes that nobody will read. Its
        log is lost in another way too: a program that opens and closes the file by itself drops
        this process's locks on it (see https://sqlite.org/howtocorrupt.html#_posix_advisory_locks),
        and another process that closes it then takes itself for the last, and removes the log.
        """
        if self.path == MEMORY:
            return
        try:
            # Before each acknowledgement, and pathlib takes half as long again.
            file, log = map(os.stat, self._watched)
        except OSError:
            found = None
        else:
            found = (file.st_dev, file.st_ino, log.st_dev, log.st_ino)
        if self._identity is None:
            self._identity = found
        if found is None or found != self._identity:
            raise ServerError(
                f"{self.path} was removed or replaced while this process had it open: what is "
                "written now would be lost. Put the file back if you can, and start the program "
                "again"
            )


def run(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    """Runs the statements of a generator and returns what it returns."""
    try:
        step = next(steps)
        while True:
            sql, parameters, many, then = step
            if many:
                connection.executemany(sql, parameters)
                step = steps.send([])
            elif then is not None:
                then(connection.execute(sql, parameters).fetchall())
                step = steps.send([])
            elif step is WAIT:
                step = steps.send([])  # nothing is ever late here
            else:
                step = steps.send(connection.execute(sql, parameters).fetchall())
    except StopIteration as stop:
        result: T = stop.value
        return result


def _use_wal(connection: sqlite3.Connection) -> str:
    """Puts a file into WAL mode and returns the mode that it is in then.

    SQLite's own waiting is not for this: a file that another process opens at the same moment is
    said to be locked at once.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(retry.spread(0.005))
        else:
            return mode


def _mark(connection: sqlite3.Connection) -> int:
    mark: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return mark


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _roll_back(connection: sqlite3.Connection) -> None:
    # After a full disk or an I/O error SQLite has rolled back by itself and says so.
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
