"""The SQLite engine: memory in a file of this machine, shared by its threads and processes.

WAL with ``synchronous=FULL``: a write is in the log and synced when it is acknowledged. One writer
at a time is SQLite's rule; writers that wait for their turn in this process share the next commit,
each batch atomic on its own. Readers never wait for writers.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from botwire import retry, work
from botwire.clock import Clock, now
from botwire.engines import migrations, pages, sqlite_upkeep, statements
from botwire.engines.protocol import OnCommit
from botwire.engines.schema import SQLITE
from botwire.engines.sqlite_writer import Outcome, SQLiteWriter
from botwire.engines.steps import SWEEP_EVERY, WAIT, Steps
from botwire.engines.vector_cache import VectorCache
from botwire.errors import BotWireError, ConfigurationError, ServerError
from botwire.files import make_private
from botwire.names import to_bytes
from botwire.operations import Batch, Operation, Results

MEMORY = ":memory:"
"""In the place of a path: memory that lives as long as the engine does."""
APPLICATION_ID = 0x42575245
"""Marks the files that are BotWire's (``BWRE``); see https://sqlite.org/pragma.html."""
BACKUP_ID = sqlite_upkeep.BACKUP_ID

_BUSY_SECONDS = 60.0
_BUSY_PART_MS = 50
# Kilobytes of pages that a connection keeps, where there are so many. The index of texts is written
# to all over: with fewer, a writer of many records writes pages out and reads them again.
_READER_CACHE, _WRITER_CACHE = 16_000, 64_000

_LOOK_EVERY = 20_000  # instructions of SQLite's between two looks; some milliseconds
_AT_ONCE = 1024 * 1024  # bytes that are read on an event loop


class SQLiteEngine:
    """Applies batches to a SQLite file.

    May be used by many threads at once, and survives a fork. Other processes may use the same
    file through engines of their own.

    Args:
        path: The file, made if it is not there, or `MEMORY`. Only its owner may read what is made.
        clock: Returns the present time.
        read_only: Whether every write is refused; the file must then be there, and of this
            release's version.

    Raises:
        ConfigurationError: At the first use, if the file is not a BotWire database, is of a
            newer version, or cannot be opened for writing.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Clock = now, read_only: bool = False
    ) -> None:
        self.path = os.fspath(path)
        self.read_only = read_only
        self.on_commit: OnCommit | None = None
        self._clock = clock
        self._users = 1
        self._reset()
        _REGISTRY.all.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # of what is counted and kept here; the writer has its own
        self._writer = SQLiteWriter(
            connect=self._connect_writer,
            alone=self.path == MEMORY,
            begin=self._begin,
            write=self._write,
            tidy=self._sweep_behind,
            check=self._check_file,
            committed=self._committed,
            explain=self._failure,
        )
        self._readers: deque[sqlite3.Connection] = deque()
        self._hasty: deque[sqlite3.Connection] = deque()  # readers that never wait for a lock
        self._migrating: set[int] = set()  # threads
        self._opened = False
        self._file: tuple[int, ...] | None = None
        self._swept_at: int | None = None  # when all that had expired was removed
        self._vectors = VectorCache()

    def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result an operation; see `Engine.apply`."""
        outcome: Outcome
        if self.read_only and (batch.writes or batch.maintains):
            self._refuse_to_write(batch)
        if batch.maintains:
            return [self._maintain(batch.operations[0])]
        if batch.writes:
            (outcome,) = self._writer.commit((batch,))
        elif self.path == MEMORY:
            outcome = self._writer.use(lambda connection: self._read(connection, batch))
        else:
            try:
                connection = self._readers.pop()
            except IndexError:
                connection = self._connect()
                # The writer has none: what is interrupted takes a whole transaction with it.
                connection.set_progress_handler(work.is_over, _LOOK_EVERY)
            outcome = self._read(connection, batch)
            self._readers.append(connection)
        if isinstance(outcome, BotWireError):
            raise outcome
        return outcome

    def read_at_once(self, batch: Batch) -> Results | None:
        """Applies a batch that only reads; returns None if that would have to wait for anything."""
        outcome: Outcome | None
        if self.path == MEMORY:
            outcome = self._writer.try_use(lambda connection: self._read(connection, batch))
        else:
            connection = self._take_hasty()
            if connection is None:
                return None  # to open one takes long
            is_large = self._is_large(connection, batch)
            outcome = [] if is_large else self._read(connection, batch)
            self._hasty.append(connection)
            if is_large:
                return None
        # Whatever an error says, perhaps only that the file is busy: a thread finds out.
        return None if isinstance(outcome, BotWireError) else outcome

    def _is_large(self, connection: sqlite3.Connection, batch: Batch) -> bool:
        """Says whether a batch may read more than an event loop should be kept for."""
        try:
            rows = connection.execute(pages.LARGEST, (to_bytes(batch.namespace),)).fetchall()
        except sqlite3.Error:
            return True
        return bool(rows) and rows[0][0] * sum(map(pages.count, batch.operations)) > _AT_ONCE

    def _take_hasty(self) -> sqlite3.Connection | None:
        try:
            return self._hasty.pop()
        except IndexError:
            pass
        try:
            connection = self._readers.pop()
        except IndexError:
            return None
        connection.execute("PRAGMA busy_timeout=0")
        return connection

    def apply_group(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Applies batches that share a commit; one that fails leaves the others untouched.

        Returns:
            Results or an error for each batch.
        """
        if self.read_only and batches:
            self._refuse_to_write(batches[0])
        return self._writer.commit(batches)

    def _refuse_to_write(self, batch: Batch) -> None:
        names = ", ".join(type(operation).__name__ for operation in batch.operations)
        raise ConfigurationError(
            f"{self.path} was opened to be read only (mode=ro), and {names:.200} would write to it"
        )

    def sweep(self) -> None:
        """Removes what expired; writers do it too, now and then, so it is for when nobody writes.

        Each part is a transaction of its own, so that writers need not wait for all of it.

        Raises:
            ServerError: The database failed; what is left goes with the next sweep.
        """
        if self.read_only:
            return
        self._swept_at = None
        while self._swept_at is None:
            self._writer.tidy_up()

    def share(self) -> SQLiteEngine:
        """Returns this engine for one more user, each of whom calls `close` once."""
        with self._lock:
            self._users += 1
        return self

    def close(self) -> None:
        """Closes the file when its last user has called this; the next use opens it again."""
        with self._lock:
            self._users -= 1
            if self._users > 0:
                return
            connections = [*self._readers, *self._hasty]
            self._readers.clear()
            self._hasty.clear()
        self._writer.close()
        self._file = None
        for connection in connections:
            connection.close()

    def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copies the database, as it is at one moment, while it is used; see `sqlite_upkeep`."""
        self._aside(lambda connection: sqlite_upkeep.backup(connection, target, progress))

    def restore(self, source: Path) -> None:
        """Puts what a backup holds in the place of everything, while the file is used.

        Raises:
            ConfigurationError: The source is not a sound backup of a store.
        """
        if self.read_only:
            raise ConfigurationError(f"{self.path} was opened to be read only (mode=ro)")
        self._aside(lambda connection: sqlite_upkeep.restore(connection, source))

    def _maintain(self, operation: Operation) -> object:
        return self._aside(lambda connection: sqlite_upkeep.maintain(connection, operation))

    def _aside(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Does something long on a connection of its own, where there can be another."""
        try:
            if self.path == MEMORY:
                return self._writer.use(work)
            with contextlib.closing(self._connect()) as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    # --- reading ----------------------------------------------------------------------------

    def _read(self, connection: sqlite3.Connection, batch: Batch) -> Outcome:
        try:
            steps = statements.read(batch, self._clock(), self._vectors)
            if not batch.needs_snapshot:
                return _run(connection, steps)
            connection.execute("BEGIN")
            try:
                return _run(connection, steps)
            finally:
                connection.execute("ROLLBACK")
        except BotWireError as error:
            return error
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                try:
                    work.look()
                except BotWireError as why:
                    return why
            return self._failure(error)

    # --- writing ----------------------------------------------------------------------------

    def _begin(self, connection: sqlite3.Connection) -> None:
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

    def _write(self, connection: sqlite3.Connection, batch: Batch) -> Results:
        terms = batch.terms
        held_to = None if terms is None or terms.work is None else terms.work.restarted().verdict
        with work.on(held_to):
            return _run(connection, statements.write(batch, self._clock()))

    def _sweep_behind(self, connection: sqlite3.Connection) -> None:
        moment = self._clock()
        if self._swept_at is not None and moment - self._swept_at < SWEEP_EVERY:
            return
        if not _run(connection, statements.sweep(moment)):
            self._swept_at = moment

    def _committed(self, batches: int, seconds: float) -> None:
        if self.on_commit is not None:
            self.on_commit(batches, seconds)

    def _check_file(self) -> None:
        """Raises unless what was just committed is in the file that the path names.

        A file that was removed or replaced stays open, and takes writes that nobody will read. Its
        log is lost in another way too: a program that opens and closes the file by itself drops
        this process's locks on it (see https://sqlite.org/howtocorrupt.html#_posix_advisory_locks),
        and another process that closes it then takes itself for the last, and removes the log.
        """
        if self.path == MEMORY:
            return
        try:
            file, log = Path(self.path).stat(), Path(self.path + "-wal").stat()
        except OSError:
            found = None
        else:
            found = (file.st_dev, file.st_ino, log.st_dev, log.st_ino)
        if self._file is None:
            self._file = found
        if found is None or found != self._file:
            raise ServerError(
                f"{self.path} was removed or replaced while this process had it open: what is "
                "written now would be lost. Put the file back if you can, and start the program "
                "again"
            )

    # --- opening ----------------------------------------------------------------------------

    def _connect_writer(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE}")
        # Waits in parts (`_begin`): Python handles no signal while SQLite waits. Short ones, as
        # SQLite looks less and less often, and would hardly ever find the lock free beside others
        # that take it again and again.
        connection.execute(f"PRAGMA busy_timeout={_BUSY_PART_MS}")
        return connection

    def _connect(self) -> sqlite3.Connection:
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
        except (sqlite3.Error, BotWireError, OSError, ValueError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, BotWireError):
                raise
            raise self._failure(error) from error
        return connection

    def _prepare_to_read(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
        version = self._version(connection)
        if version < migrations.latest():
            raise ConfigurationError(
                f"{self.path} has tables of version {version}, and this release reads version "
                f"{migrations.latest()}: open it once to write, which brings it up to date"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not self._opened:
            sqlite_upkeep.refuse_foreign_log(self.path)
            self._opened = True
        connection.execute("PRAGMA synchronous=FULL")
        # What is deleted is overwritten. Costs nothing that could be measured, as a page is freed
        # in a commit that is synced anyway.
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
        version = self._version(connection)
        # A backup of a database in WAL mode is not in WAL mode: never take it for granted.
        if _use_wal(connection) not in ("wal", "memory"):
            raise ConfigurationError(
                f"{self.path}: this file system cannot hold a SQLite database that several "
                "processes write to (no WAL); choose another place"
            )
        if version < migrations.latest() or self._is_backup(connection):
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
            version = self._version(connection)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            if version < migrations.latest():
                _run(connection, migrations.migrate(version, SQLITE))
                connection.execute(f"PRAGMA user_version={migrations.latest()}")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    def _is_backup(self, connection: sqlite3.Connection) -> bool:
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        return bool(found == BACKUP_ID)

    def _version(self, connection: sqlite3.Connection) -> int:
        """Returns the version of the file's tables, 0 if it has none."""
        # In this order: should another process make the tables meanwhile, the mark that comes with
        # them is seen by whoever has seen them.
        tables = connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application in (APPLICATION_ID, BACKUP_ID):
            migrations.refuse_newer(version, self.path)
            return version
        if application or version or tables:
            raise ConfigurationError(
                f"{self.path} is a SQLite database of another program, not BotWire's"
            )
        return 0

    def _failure(self, error: sqlite3.Error | OSError | ValueError) -> BotWireError:
        if isinstance(error, ValueError):
            return ConfigurationError(f"{self.path!r} cannot be the path of a file: {error}")
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


class _Registry:
    """The engines of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a finalizer may open a store while one is being opened
        self.all: weakref.WeakSet[SQLiteEngine] = weakref.WeakSet()
        self.by_path: dict[tuple[str, bool], SQLiteEngine] = {}
        # Connections of the parent: closing them in a child could release its locks on the file.
        self.inherited: list[Any] = []

    def after_fork_in_child(self) -> None:
        """Forgets the parent's connections and locks, which a child must not touch."""
        self.lock = threading.RLock()  # a finalizer may open a store while one is being opened
        for engine in self.all:
            self.inherited.append((engine._writer, engine._readers, engine._hasty))
            engine._reset()


_REGISTRY = _Registry()


def open_sqlite(path: str, *, read_only: bool = False) -> SQLiteEngine:
    """Returns the engine of a file, one for all who ask in this process.

    Each call needs a call of `close`. For `MEMORY` each call makes an engine of its own.
    """
    if path == MEMORY:
        return SQLiteEngine(MEMORY)
    real = os.path.realpath(path)
    with _REGISTRY.lock:
        engine = _REGISTRY.by_path.get((real, read_only))
        if engine is not None:
            return engine.share()
        engine = _REGISTRY.by_path[real, read_only] = SQLiteEngine(real, read_only=read_only)
        return engine


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_REGISTRY.after_fork_in_child)


def _run(connection: sqlite3.Connection, steps: Steps) -> Results:
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
        results: Results = stop.value
        return results


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


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _roll_back(connection: sqlite3.Connection) -> None:
    # After a full disk or an I/O error SQLite has rolled back by itself and says so.
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
