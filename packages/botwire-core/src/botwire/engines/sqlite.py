"""The SQLite engine: memory in a file of this machine, shared by its threads and processes.

WAL with ``synchronous=FULL``: a write is in the log and synced when it is acknowledged. One writer
at a time is SQLite's rule; writers that wait for their turn in this process share the next commit,
each batch atomic on its own. Readers never wait for writers.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from botwire import retry, work
from botwire.clock import Clock, now
from botwire.engines import migrations, pages, sqlite_upkeep, statements
from botwire.engines.protocol import OnCommit
from botwire.engines.schema import SQLITE
from botwire.engines.steps import SWEEP_EVERY, WAIT, Steps
from botwire.engines.vector_cache import VectorCache
from botwire.errors import BotWireError, ConfigurationError, ServerError
from botwire.names import to_bytes
from botwire.operations import Batch, Operation, Results

MEMORY = ":memory:"
"""In the place of a path: memory that lives as long as the engine does."""
APPLICATION_ID = 0x42575245
"""Marks the files that are BotWire's (``BWRE``); see https://sqlite.org/pragma.html."""

_BUSY_SECONDS = 60.0
_GROUP = 256  # most batches that share a commit
# Kilobytes of pages that a connection keeps, where there are so many. The index of texts is written
# to all over: with fewer, a writer of many records writes pages out and reads them again.
_READER_CACHE, _WRITER_CACHE = 16_000, 64_000

_LOOK_EVERY = 20_000  # instructions of SQLite's between two looks; some milliseconds
_AT_ONCE = 1024 * 1024  # bytes that are read on an event loop

Outcome = Results | BotWireError


class _Ticket:
    """A batch that waits for its commit, and what came of it."""

    __slots__ = ("batch", "outcome")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.outcome: Outcome | None = None


class SQLiteEngine:
    """Applies batches to a SQLite file.

    May be used by many threads at once, and survives a fork. Other processes may use the same
    file through engines of their own.

    Args:
        path: The file, made if it is not there, or `MEMORY`.
        clock: Returns the present time.

    Raises:
        ConfigurationError: At the first use, if the file is not a BotWire database, is of a
            newer version, or cannot be opened for writing.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = now) -> None:
        self.path = os.fspath(path)
        self.on_commit: OnCommit | None = None
        self._clock = clock
        self._users = 1
        self._reset()
        _REGISTRY.all.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._writer: sqlite3.Connection | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._hasty: deque[sqlite3.Connection] = deque()  # readers that never wait for a lock
        self._swept_at = 0
        self._vectors = VectorCache()

    def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result an operation; see `Engine.apply`."""
        if batch.maintains:
            return [self._maintain(batch.operations[0])]
        if batch.writes:
            ticket = _Ticket(batch)
            self._queue.append(ticket)
            with self._lock:
                # Whoever gets the lock commits for all who wait; the others then find it done.
                while ticket.outcome is None:
                    self._commit_waiting()
            outcome = ticket.outcome
        elif self.path == MEMORY:
            with self._lock:
                outcome = self._read(self._writing(), batch)
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
        if self.path == MEMORY:
            if not self._lock.acquire(blocking=False):
                return None
            try:
                outcome = self._read(self._writing(), batch)
            finally:
                self._lock.release()
        else:
            connection = self._take_hasty()
            if connection is None:
                return None  # to open one takes long
            is_large = self._is_large(connection, batch)
            outcome = [] if is_large else self._read(connection, batch)
            self._hasty.append(connection)
            if is_large:
                return None
        if isinstance(outcome, BotWireError):
            # Whatever it is, perhaps only that the file is busy: a thread finds out and says it.
            return None
        return outcome

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
        tickets = [_Ticket(batch) for batch in batches]
        self._queue.extend(tickets)
        with self._lock:
            while any(ticket.outcome is None for ticket in tickets):
                self._commit_waiting()
        return [ticket.outcome for ticket in tickets if ticket.outcome is not None]

    def sweep(self) -> None:
        """Removes what expired; writers do it too, now and then, so it is for when nobody writes.

        Raises:
            ServerError: The database failed; nothing was removed.
        """
        with self._lock:
            self._swept_at = 0
            failure = self._commit_waiting()
        if failure is not None:
            raise failure

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
            connections = [*self._readers, *self._hasty, *([self._writer] if self._writer else [])]
            self._readers.clear()
            self._hasty.clear()
            self._writer = None
        for connection in connections:
            connection.close()

    def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copies the database, as it is at one moment, while it is used; see `sqlite_upkeep`."""
        with self._lock if self.path == MEMORY else contextlib.nullcontext():
            connection = self._writing() if self.path == MEMORY else self._connect()
            try:
                sqlite_upkeep.backup(connection, target, progress)
            except sqlite3.Error as error:
                raise self._failure(error) from error
            finally:
                if self.path != MEMORY:
                    connection.close()

    def _maintain(self, operation: Operation) -> object:
        with self._lock:
            try:
                return sqlite_upkeep.maintain(self._writing(), operation)
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

    def _commit_waiting(self) -> BotWireError | None:
        """Commits what is queued; returns why, if none of it could be."""
        failure: BotWireError | None = None
        tickets = [self._queue.popleft() for _ in range(min(len(self._queue), _GROUP))]
        began = time.perf_counter()
        try:
            connection = self._writing()
            connection.execute("BEGIN IMMEDIATE")
            try:
                # A newer release may have changed the tables while this one had them open.
                found = connection.execute("PRAGMA user_version").fetchone()[0]
                migrations.refuse_newer(found, self.path)
                outcomes = self._write(connection, [ticket.batch for ticket in tickets])
                self._sweep(connection)
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
        except sqlite3.Error as error:
            failure = self._failure(error)
        except BotWireError as error:
            failure = error
        except BaseException as error:
            # Nobody may wait for ever on a batch that was taken from the queue: not committed.
            for ticket in tickets:
                ticket.outcome = ServerError(f"{self.path}: the write was interrupted: {error!r}")
            raise
        if failure is not None:
            outcomes = [failure for _ in tickets]
        elif self.on_commit is not None and tickets:
            self.on_commit(len(tickets), time.perf_counter() - began)
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            ticket.outcome = outcome
        return failure

    def _write(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[Outcome]:
        if len(batches) == 1:
            # The transaction is its own: if it fails, that is rolled back.
            with _held_to(batches[0]):
                return [_run(connection, statements.write(batches[0], self._clock()))]
        return [self._write_shared(connection, batch) for batch in batches]

    def _write_shared(self, connection: sqlite3.Connection, batch: Batch) -> Outcome:
        connection.execute("SAVEPOINT batch")
        try:
            with _held_to(batch):
                results = _run(connection, statements.write(batch, self._clock()))
        except BotWireError as error:
            connection.execute("ROLLBACK TO batch")
            connection.execute("RELEASE batch")
            return error
        connection.execute("RELEASE batch")
        return results

    def _sweep(self, connection: sqlite3.Connection) -> None:
        moment = self._clock()
        if moment - self._swept_at >= SWEEP_EVERY:
            self._swept_at = moment
            _run(connection, statements.sweep(moment))

    # --- opening ----------------------------------------------------------------------------

    def _writing(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = self._connect()
            self._writer.execute(f"PRAGMA cache_size=-{_WRITER_CACHE}")
        return self._writer

    def _connect(self) -> sqlite3.Connection:
        connection = None
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._prepare(connection)
        except (sqlite3.Error, BotWireError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, BotWireError):
                raise
            raise self._failure(error) from error
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
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
        if version == migrations.latest():
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read again: another process may have been first.
            version = self._version(connection)
            if version < migrations.latest():
                _run(connection, migrations.migrate(version, SQLITE))
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={migrations.latest()}")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    def _version(self, connection: sqlite3.Connection) -> int:
        """Returns the version of the file's tables, 0 if it has none."""
        # In this order: should another process make the tables meanwhile, the mark that comes with
        # them is seen by whoever has seen them.
        tables = connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application == APPLICATION_ID:
            migrations.refuse_newer(version, self.path)
            return version
        if application or version or tables:
            raise ConfigurationError(
                f"{self.path} is a SQLite database of another program, not BotWire's"
            )
        return 0

    def _failure(self, error: sqlite3.Error) -> BotWireError:
        code = getattr(error, "sqlite_errorname", "") or ""
        parent = Path(self.path).parent
        if code.startswith("SQLITE_NOTADB"):
            return ConfigurationError(f"{self.path} is not a SQLite database")
        if code.startswith("SQLITE_CANTOPEN"):
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
        self.lock = threading.Lock()
        self.all: weakref.WeakSet[SQLiteEngine] = weakref.WeakSet()
        self.by_path: dict[str, SQLiteEngine] = {}
        # Connections of the parent: closing them in a child could release its locks on the file.
        self.inherited: list[Any] = []

    def after_fork_in_child(self) -> None:
        """Forgets the parent's connections and locks, which a child must not touch."""
        self.lock = threading.Lock()
        for engine in self.all:
            self.inherited.append((engine._writer, engine._readers, engine._hasty))
            engine._reset()


_REGISTRY = _Registry()


def open_sqlite(path: str) -> SQLiteEngine:
    """Returns the engine of a file, one for all who ask in this process.

    Each call needs a call of `close`. For `MEMORY` each call makes an engine of its own.
    """
    if path == MEMORY:
        return SQLiteEngine(MEMORY)
    real = os.path.realpath(path)
    with _REGISTRY.lock:
        engine = _REGISTRY.by_path.get(real)
        if engine is not None:
            return engine.share()
        engine = _REGISTRY.by_path[real] = SQLiteEngine(real)
        return engine


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_REGISTRY.after_fork_in_child)


def _held_to(batch: Batch) -> contextlib.AbstractContextManager[None]:
    terms = batch.terms
    return work.on(None if terms is None or terms.work is None else terms.work.restarted().verdict)


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
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(retry.spread(0.005))
        else:
            return mode


def _roll_back(connection: sqlite3.Connection) -> None:
    # After a full disk or an I/O error SQLite has rolled back by itself and says so.
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
