"""The SQLite engine: memory in a file, shared by threads and processes of this machine.

The file is in WAL mode with ``synchronous=FULL``: a write is in the log and synced before it is
acknowledged. SQLite allows one writer at a time. Batches that wait for their turn in this process
share the next commit, each atomic on its own. Readers never wait for writers.
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
from typing import Any, TypeVar

from botwire import work
from botwire.clock import Clock, now
from botwire.engines.protocol import OnCommit
from botwire.engines.sql import batches, pages, planning, sweeping
from botwire.engines.sql.plans import Plan, UnplannedError
from botwire.engines.sql.steps import SWEEP_EVERY, Steps
from botwire.engines.sql.vector_cache import VectorCache
from botwire.engines.sqlite import maintenance
from botwire.engines.sqlite.choosing import Planned
from botwire.engines.sqlite.file import ERRORS, SQLiteFile, run
from botwire.engines.sqlite.writer import Outcome, SQLiteWriter
from botwire.errors import BotWireError, ConfigurationError
from botwire.names import to_bytes
from botwire.operations import AnyOperation, Batch, CompactStore, Results
from botwire.places import MEMORY

T = TypeVar("T")

_LOOK_EVERY = 20_000  # SQLite instructions between two calls of `work.is_over`: a few milliseconds
_AT_ONCE = 1024 * 1024  # most bytes to read on an event loop
_KNOWN_SECONDS, _MOST_KNOWN = 1.0, 1024  # how long the largest size of how many namespaces is kept
_SWEEP_PAUSE = 0.03  # seconds; longer than `waiting.LONGEST_PAUSE`
_FORK_SECONDS = 5.0  # how long a fork waits for a transaction to end


class SQLiteEngine:
    """Applies batches to a SQLite file.

    Safe to use from many threads and after a fork. Other processes may use the same file through
    engines of their own.

    Args:
        path: The file, or `MEMORY`. A missing file is created, readable by its owner only.
        clock: Returns the current time.
        read_only: Refuse every write. The file must exist and have this release's version.

    Raises:
        ConfigurationError: On first use, if the file is not a BotWire database, has a newer
            version, or cannot be opened for writing.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Clock = now, read_only: bool = False
    ) -> None:
        self.path = os.fspath(path)
        self.read_only = read_only
        self.on_commit: OnCommit | None = None
        self._clock = clock
        self._users = 1
        self._file = SQLiteFile(self.path, read_only=read_only)
        self._reset()
        _REGISTRY.all.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # guards this object's state; the writer has its own lock
        self._writer = SQLiteWriter(
            connect=self._file.connect_to_write,
            alone=self.path == MEMORY,
            begin=self._file.begin,
            end=self._file.turns.give_back,
            write=self._write,
            tidy=self._sweep_behind,
            check=self._file.check,
            committed=self._committed,
            explain=self._file.failure,
        )
        self._readers: deque[sqlite3.Connection] = deque()
        self._hasty: deque[sqlite3.Connection] = deque()  # readers without a busy timeout
        self._largest: dict[str, tuple[int, float]] = {}  # and until when it is used
        self._file.forget()
        self._swept_at: int | None = None  # when the last sweep was complete
        self._vectors = VectorCache()
        self._selections = planning.Selections()

    def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result per operation; see `Engine.apply`."""
        outcome: Outcome
        if self.read_only and (batch.writes or isinstance(batch.operations[0], CompactStore)):
            self._refuse_to_write(batch)
        if batch.maintains:
            return [self._maintain(batch.operations[0])]
        if batch.writes:
            outcome = UnplannedError("not tried yet")
            tried = 0
            while isinstance(outcome, UnplannedError):
                (outcome,) = self._writer.commit((self.plan(batch, tried),))
                tried += 1
        else:
            outcome = self._with_reader(lambda connection: self._read(connection, batch))
        if isinstance(outcome, BotWireError):
            raise outcome
        return outcome

    def plan(self, batch: Batch, tried: int) -> Planned:
        """Returns a batch with its plan, made without holding the lock.

        Args:
            batch: The batch.
            tried: The number of attempts that failed because their plan was insufficient.
        """
        first = planning.first_plan(batch) if tried == 0 else None
        if first is not None:
            return Planned(batch, first)
        is_last = tried >= planning.TRIES
        made: Plan = self._with_reader(
            lambda connection: self._in_snapshot(
                connection,
                planning.plan(batch, self._clock(), self._selections, is_last=is_last),
            )
        )
        return Planned(batch, made)

    def _with_reader(self, use: Callable[[sqlite3.Connection], T]) -> T:
        if self.path == MEMORY:
            return self._writer.use(use)
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._file.connect()
            # Not for the writer: an interrupted statement rolls back the whole transaction.
            connection.set_progress_handler(work.is_over, _LOOK_EVERY)
        result = use(connection)
        self._readers.append(connection)
        return result

    def read_at_once(self, batch: Batch) -> Results | None:
        """Applies a batch that only reads, or returns None if it would have to wait."""
        outcome: Outcome | None
        if self.path == MEMORY:
            outcome = self._writer.try_use(lambda connection: self._read(connection, batch))
        else:
            connection = self._take_hasty()
            if connection is None:
                return None  # opening a connection takes too long
            is_large = self._is_large(connection, batch)
            outcome = [] if is_large else self._read(connection, batch)
            self._hasty.append(connection)
            if is_large:
                return None
        # The error may only mean that the file is busy, so let a thread retry.
        return None if isinstance(outcome, BotWireError) else outcome

    def _is_large(self, connection: sqlite3.Connection, batch: Batch) -> bool:
        """Returns whether a batch may read too much to block an event loop for it.

        What is known of a namespace is used for a second: a large value that was written meanwhile
        blocks the loop no longer than that.
        """
        at = time.monotonic()
        largest, until = self._largest.get(batch.namespace, (0, 0.0))
        if until < at:
            try:
                rows = connection.execute(pages.LARGEST, (to_bytes(batch.namespace),)).fetchall()
            except sqlite3.Error:
                return True
            largest = rows[0][0] if rows else 0
            if len(self._largest) >= _MOST_KNOWN:
                self._largest.clear()
            self._largest[batch.namespace] = largest, at + _KNOWN_SECONDS
        return bool(largest * sum(map(pages.count, batch.operations)) > _AT_ONCE)

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

    def apply_group(self, batches: Sequence[Planned]) -> list[Outcome]:
        """Applies batches that share a commit. One that fails does not affect the others.

        Returns:
            The results of each batch, or its error.
        """
        if self.read_only and batches:
            self._refuse_to_write(batches[0].batch)
        return self._writer.commit(batches)

    def apply_at_once(self, batches: Sequence[Planned]) -> list[Outcome] | None:
        """Does what `apply_group` does, or returns None if it might have to wait."""
        if self.read_only or self._is_sweep_due(self._clock()):
            return None
        return self._writer.commit_at_once(batches)

    def _refuse_to_write(self, batch: Batch) -> None:
        names = ", ".join(type(operation).__name__ for operation in batch.operations)
        raise ConfigurationError(
            f"{self.path} was opened read-only (mode=ro), and {names:.200} would write to it: "
            "remove mode=ro from the URL"
        )

    def sweep(self) -> None:
        """Removes expired data. Writers also do so regularly; this is for idle stores.

        Runs in several transactions with pauses between, in which other processes take the lock.

        Raises:
            ServerError: The database failed; the next sweep continues.
        """
        if self.read_only:
            return
        self._swept_at = None
        self._writer.tidy_up()
        while self._swept_at is None:
            time.sleep(_SWEEP_PAUSE)
            self._writer.tidy_up()

    def share(self) -> SQLiteEngine:
        """Returns this engine for one more user. Each user must call `close` once."""
        with self._lock:
            self._users += 1
        return self

    def close(self) -> None:
        """Closes the file when the last user calls this. The next use opens it again."""
        with self._lock:
            self._users -= 1
            if self._users > 0:
                return
            connections = [*self._readers, *self._hasty]
            self._readers.clear()
            self._hasty.clear()
        self._writer.close()
        self._file.forget()
        for connection in connections:
            connection.close()

    def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copies the database as of one moment, while it is in use; see `maintenance.backup`."""
        self._aside(lambda connection: maintenance.backup(connection, target, progress))

    def restore(self, source: Path) -> None:
        """Replaces everything with a backup, while the file is in use; see `maintenance.restore`.

        Raises:
            ConfigurationError: The source is not an intact backup of a store.
        """
        if self.read_only:
            raise ConfigurationError(
                f"{self.path} was opened read-only (mode=ro), so nothing was restored: remove "
                "mode=ro from the URL"
            )
        self._aside(lambda connection: maintenance.restore(connection, source))

    def _maintain(self, operation: AnyOperation) -> object:
        return self._aside(lambda connection: maintenance.maintain(connection, operation))

    def _aside(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Runs long work on a connection of its own; in-memory databases have only one."""
        try:
            if self.path == MEMORY:
                return self._writer.use(work)
            with contextlib.closing(self._file.connect()) as connection:
                return work(connection)
        except ERRORS as error:
            raise self._file.failure(error) from error

    # --- reading ----------------------------------------------------------------------------

    def _read(self, connection: sqlite3.Connection, batch: Batch) -> Outcome:
        steps = batches.read(batch, self._clock(), self._vectors)
        try:
            if batch.needs_snapshot:
                return self._in_snapshot(connection, steps)
            return self._run(connection, steps)
        except BotWireError as error:
            return error

    def _in_snapshot(self, connection: sqlite3.Connection, steps: Steps[T]) -> T:
        try:
            connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise self._file.failure(error) from error
        try:
            return self._run(connection, steps)
        finally:
            connection.execute("ROLLBACK")

    def _run(self, connection: sqlite3.Connection, steps: Steps[T]) -> T:
        try:
            return run(connection, steps)
        except ERRORS as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                work.look()
            raise self._file.failure(error) from error

    # --- writing ----------------------------------------------------------------------------

    def _write(self, connection: sqlite3.Connection, planned: Planned) -> Results:
        batch, plan = planned
        terms = batch.terms
        held_to = None if terms is None or terms.work is None else terms.work.restarted().verdict
        with work.on(held_to):
            return run(connection, batches.write(batch, self._clock(), plan=plan))

    def _sweep_behind(self, connection: sqlite3.Connection) -> None:
        moment = self._clock()
        if self._is_sweep_due(moment) and not run(connection, sweeping.sweep(moment)):
            self._swept_at = moment

    def _is_sweep_due(self, moment: int) -> bool:
        return self._swept_at is None or moment - self._swept_at >= SWEEP_EVERY

    def _committed(self, batches: int, seconds: float) -> None:
        if self.on_commit is not None:
            self.on_commit(batches, seconds)


class _Registry:
    """All SQLite engines of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # reentrant: a finalizer may open a store during an opening
        self.all: weakref.WeakSet[SQLiteEngine] = weakref.WeakSet()
        self.by_path: dict[tuple[str, bool], SQLiteEngine] = {}
        # The parent's connections stay open: closing one in a child could drop its file locks.
        self.inherited: list[Any] = []
        self.paused: list[SQLiteWriter] = []

    def before_fork(self) -> None:
        """Waits until no thread is inside a write transaction.

        SQLite keeps a process's locks in its memory. A child would inherit the locks that another
        thread holds at this moment, and nothing in the child would ever release them.
        """
        self.paused = [
            engine._writer for engine in list(self.all) if engine._writer.pause(_FORK_SECONDS)
        ]

    def after_fork_in_parent(self) -> None:
        """Resumes the writers."""
        while self.paused:
            self.paused.pop().resume()

    def after_fork_in_child(self) -> None:
        """Drops the parent's connections and locks, which a child must not touch."""
        self.paused = []
        self.lock = threading.RLock()
        for engine in self.all:
            self.inherited.append((engine._writer, engine._readers, engine._hasty))
            engine._reset()


_REGISTRY = _Registry()


def open_sqlite(path: str, *, read_only: bool = False) -> SQLiteEngine:
    """Returns the engine of a file, shared within this process. `MEMORY` gets a new one each time.

    Each caller must call `close` once.
    """
    if path == MEMORY:
        return SQLiteEngine(MEMORY)
    try:
        real = os.path.realpath(path)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} is a relative path, and the current folder was removed: give an absolute one"
        ) from None
    with _REGISTRY.lock:
        engine = _REGISTRY.by_path.get((real, read_only))
        if engine is not None:
            return engine.share()
        engine = _REGISTRY.by_path[real, read_only] = SQLiteEngine(real, read_only=read_only)
        return engine


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_REGISTRY.before_fork,
        after_in_parent=_REGISTRY.after_fork_in_parent,
        after_in_child=_REGISTRY.after_fork_in_child,
    )
