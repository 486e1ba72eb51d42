"""Opens and migrates the file of a SQLite store, and detects when it is removed or replaced."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from botwire.engines import retry
from botwire.engines.sql import migrations
from botwire.engines.sql.schema import SQLITE
from botwire.engines.sql.steps import WAIT, Steps
from botwire.engines.sqlite import maintenance, waiting
from botwire.engines.sqlite.maintenance import BACKUP_ID
from botwire.engines.sqlite.turns import FileTurns
from botwire.errors import BotWireError, ConfigurationError, ServerError
from botwire.files import make_private, sqlite_uri
from botwire.places import MEMORY

T = TypeVar("T")

APPLICATION_ID = 0x42575245
"""Marks BotWire's files (``BWRE``); see https://sqlite.org/pragma.html."""

ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises. Its own messages may contain bytes of a damaged file, which are no text."""

_BEGIN = "BEGIN IMMEDIATE"
# Page cache per connection, in kilobytes. Writes to the text index are spread over many pages: with
# a smaller cache, a writer of many records evicts pages and reads them again.
_READER_CACHE, _WRITER_CACHE = 16_000, 64_000


class _Opening(sqlite3.Connection):
    """A connection that may not be open yet.

    It has no finalizer: closing a connection that an interrupt kept from being opened fails.
    """


class _Connection(_Opening):
    """A connection that closes itself once nothing refers to it.

    Clients need not be closed, but since Python 3.13 a connection that is collected while open
    causes a `ResourceWarning`, which pytest shows.
    """

    __del__ = sqlite3.Connection.close  # written in C, so it cannot swallow an interrupt


class SQLiteFile:
    """Opens connections to a file.

    Args:
        path: The file, or `MEMORY`. A missing file is created.
        read_only: Open it for reading only. It must exist and have this release's version.
    """

    def __init__(self, path: str, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._watched = (path, path + "-wal")
        self.turns = FileTurns(None if path == MEMORY or read_only else path)
        self.forget()

    def forget(self) -> None:
        """Resets what is known about the file, once this process has no open connection."""
        self._migrating: set[int] = set()  # ids of threads
        self._is_known = False
        self._identity: tuple[int, ...] | None = None
        self.turns.forget()

    def connect_to_write(self) -> sqlite3.Connection:
        """Returns a connection for writing."""
        connection = self.connect()
        connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE}")
        waiting.never_wait(connection)
        return connection

    def connect(self) -> sqlite3.Connection:
        """Returns a connection.

        Raises:
            ConfigurationError: The file is not a BotWire database, has a newer version, or cannot
                be opened.
        """
        if "\0" in self.path:
            raise ConfigurationError(f"{self.path!r} is not a file path: it has a NUL character")
        connection = None
        try:
            if self.path != MEMORY and not self.read_only:
                make_private(self.path)
            connection = sqlite3.connect(
                sqlite_uri(self.path, "mode=ro") if self.read_only else self.path,
                timeout=waiting.BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                uri=self.read_only,
                factory=_Opening,
            )
            connection.__class__ = _Connection
            if self.read_only:
                self._prepare_to_read(connection)
            else:
                self._prepare(connection)
        except (*ERRORS, OSError) as error:
            if _is_damage(error):
                raise ServerError(
                    f"{self.path} is too damaged to be opened: {error} (stop all programs that use "
                    "it, and replace it and its -wal with a backup; SQLite's own program can save "
                    "some of it: sqlite3 FILE .recover)"
                ) from error
            raise self.failure(error) from error
        else:
            opened, connection = connection, None
            return opened
        finally:
            if connection is not None:
                connection.close()  # after an interrupt too, whose traceback keeps it open

    def _prepare_to_read(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
        version = self.version(connection)
        if version < migrations.latest():
            raise ConfigurationError(
                f"{self.path} has tables of version {version}, and this release reads version "
                f"{migrations.latest()}: open it once without mode=ro, which migrates it"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not self._is_known:
            maintenance.refuse_foreign_log(self.path)
            self._is_known = True
        connection.execute("PRAGMA synchronous=FULL")
        # macOS only: a plain fsync leaves the data in the disk's cache there, which a power failure
        # empties.
        connection.execute("PRAGMA fullfsync=ON")
        # Overwrites deleted data. The cost is not measurable: a page is freed in a commit that is
        # synced anyway.
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
        version = self.version(connection)
        # Set each time: a backup of a database in WAL mode is not in WAL mode.
        if _use_wal(connection) not in ("wal", "memory"):
            raise ConfigurationError(
                f"{self.path}: this file system does not support SQLite's WAL mode, which several "
                "processes need to share a database: choose another file system"
            )
        if version < migrations.latest() or _mark(connection) != APPLICATION_ID:
            with self._alone():
                self._migrate(connection)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps this thread from opening the file again while it holds the file's lock.

        Garbage collection is off, so no finalizer runs. A signal handler may still run; it gets an
        error instead of a deadlock.
        """
        thread = threading.get_ident()
        if thread in self._migrating:
            raise ServerError(
                f"{self.path} is being opened by the call that this signal handler interrupted; "
                "nothing was written: use the store outside of the handler"
            )
        collects = gc.isenabled()
        try:
            self._migrating.add(thread)  # in here: an interrupt may strike behind it
            gc.disable()
            yield
        finally:
            self._migrating.discard(thread)
            if collects:
                gc.enable()

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read it again: another process may have migrated first.
            version = self.version(connection)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            if version == 0:
                _create_tables(connection)
            elif version < migrations.latest():
                run(connection, migrations.migrate(version, SQLITE))
            connection.execute(f"PRAGMA user_version={migrations.latest()}")
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise

    def version(self, connection: sqlite3.Connection) -> int:
        """Returns the version of the file's tables, 0 if it has none.

        Raises:
            ConfigurationError: The tables belong to another program or a newer release.
        """
        # In this order: if another process creates the tables meanwhile and they are seen here, the
        # application id that was set with them is seen too.
        tables = connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        application = _mark(connection)
        if application in (APPLICATION_ID, BACKUP_ID):
            migrations.refuse_newer(version, self.path)
            return version
        if application or version or tables:
            raise ConfigurationError(
                f"{self.path} is another program's SQLite database: choose another file"
            )
        return 0

    def failure(self, error: sqlite3.Error | UnicodeDecodeError | OSError) -> BotWireError:
        """Returns the BotWire error for an error of SQLite or of the file system."""
        code = getattr(error, "sqlite_errorname", "") or ""
        if _is_damage(error):
            return ServerError(
                f"{self.path} is damaged: {error} (`botwire check` lists what is wrong, and "
                "`botwire export` saves what can still be read; stop all programs that use it "
                "before you replace it and its -wal with a backup)"
            )
        parent = Path(self.path).parent
        if code.startswith("SQLITE_NOTADB"):
            return ConfigurationError(f"{self.path} is not a SQLite database")
        if code.startswith("SQLITE_CANTOPEN") and (lacking := _lack_of_files()) is not None:
            error = lacking  # SQLite does not say why
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            return ServerError(
                f"{self.path} cannot be opened, because too many files are open: close stores that "
                "are no longer needed, or raise the limit (ulimit -n)"
            )
        if not self.read_only and (
            code.startswith("SQLITE_READONLY") or isinstance(error, PermissionError)
        ):
            return ConfigurationError(
                f"{self.path} cannot be written: permission denied for it or its folder"
            )
        if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")) or isinstance(error, OSError):
            if self.read_only:
                return ConfigurationError(
                    f"{self.path} cannot be opened for reading: check that it exists and that its "
                    "folder is writable, as SQLite keeps its log there"
                )
            if os.path.isdir(self.path):  # noqa: PTH112 - pathlib raises for a name that is too long
                return ConfigurationError(f"{self.path} is a folder: name a file in it")
            if getattr(error, "errno", None) == errno.ENAMETOOLONG:
                return ConfigurationError(
                    f"{self.path[:80]}… is too long for the name of a file: use a shorter one"
                )
            why = "opened" if parent.is_dir() else f"created: the folder {parent} does not exist"
            return ConfigurationError(f"{self.path} cannot be {why}")
        if code.startswith("SQLITE_FULL"):
            return ServerError(f"{self.path}: the disk is full; nothing was written", status=507)
        return ServerError(f"{self.path}: {error} ({code or type(error).__name__})")

    def begin(self, connection: sqlite3.Connection, is_hasty: bool = False) -> None:
        """Begins a transaction that holds the file's write lock.

        Args:
            connection: The connection.
            is_hasty: Whether to raise an error instead of waiting for the lock.

        Raises:
            BusyError: Others hold the lock, and this call is hasty.
            ConfigurationError: A newer release has migrated the file meanwhile.
        """
        may_begin = self.turns.lasts or self.turns.try_to_take()
        if not (may_begin and waiting.try_to_execute(connection, _BEGIN)):
            if is_hasty:
                raise waiting.BusyError("others hold the lock")
            self.turns.take()
            waiting.execute(connection, _BEGIN)
        # A newer release may have migrated the tables while this one had them open.
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        migrations.refuse_newer(found, self.path)

    def check(self) -> None:
        """Raises `ServerError` unless the path still names the file that was just committed to.

        A file that was removed or replaced stays open and accepts writes that will never be read.
        The log can vanish in another way too: other code in this process that opens and closes the
        file itself drops this process's locks (https://sqlite.org/howtocorrupt.html, POSIX advisory
        locks). Another process that closes the file then believes it is the last and removes the
        log.
        """
        if self.path == MEMORY:
            return
        try:
            # os.stat, as this runs before each acknowledgement and pathlib is slower.
            file, log = map(os.stat, self._watched)
        except OSError:
            found = None
        else:
            found = (file.st_dev, file.st_ino, log.st_dev, log.st_ino)
        if self._identity is None:
            self._identity = found
        if found is None or found != self._identity:
            raise ServerError(
                f"{self.path} was removed or replaced while this process had it open, so this "
                "write would be lost: put the file back if you can, and restart the program"
            )


def _is_damage(error: Exception) -> bool:
    return (
        isinstance(error, UnicodeDecodeError)
        or (getattr(error, "sqlite_errorname", "") or "").startswith("SQLITE_CORRUPT")
        # Python's own error for a text that is not UTF-8.
        or "Could not decode to UTF-8" in str(error)
    )


def run(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    """Runs the statements of a generator and returns its result."""
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
                step = steps.send([])  # every statement here has already returned its rows
            else:
                step = steps.send(connection.execute(sql, parameters).fetchall())
    except StopIteration as stop:
        result: T = stop.value
        return result


_new_tables: dict[object, list[str]] = {}
"""The statements that create the tables of a new store, by the migrations that led to them."""


def _create_tables(connection: sqlite3.Connection) -> None:
    """Creates the tables of a new store.

    The first store of a process runs all migrations. Later ones get the same tables directly, in a
    third of the time.
    """
    steps = tuple(migrations.VERSIONS)
    if statements := _new_tables.get(steps):
        for sql in statements:
            connection.execute(sql)
        return
    run(connection, migrations.migrate(0, SQLITE))
    created = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    _new_tables[steps] = [sql for (sql,) in connection.execute(created)]


def _use_wal(connection: sqlite3.Connection) -> str:
    """Puts a file into WAL mode and returns its actual mode.

    Retries by itself: SQLite's busy timeout does not apply here, so a file that another process is
    opening at the same moment is reported as locked at once.
    """
    deadline = time.monotonic() + waiting.BUSY_SECONDS
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not waiting.is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(retry.spread(0.005))
        else:
            return mode


def _lack_of_files() -> OSError | None:
    """Returns the error of opening any file, if too many are open."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error
    return None


def _mark(connection: sqlite3.Connection) -> int:
    mark: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return mark


def roll_back(connection: sqlite3.Connection) -> None:
    """Rolls back, unless SQLite has done so."""
    # Fails if SQLite has already rolled back, as after a full disk or an I/O error.
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
