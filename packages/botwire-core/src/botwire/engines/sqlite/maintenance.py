"""Maintenance of a SQLite file: its size, integrity check, compaction, backup and restore."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from botwire import operations as ops
from botwire.engines.sql import checks, migrations
from botwire.engines.sqlite import waiting
from botwire.errors import ConfigurationError, ServerError
from botwire.files import sqlite_uri, sync, unfinished
from botwire.operations import AnyOperation

BACKUP_ID = 0x4257424B
"""Marks a backup (``BWBK``) until it is opened as a store."""

_PAGES = 4096  # pages per step of a backup
_UNWRITABLE = ("SQLITE_FULL", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_WRITE")
_CHECK_CACHE = 64_000  # kilobytes: a check looks up each row in each index


def maintain(connection: sqlite3.Connection, operation: AnyOperation) -> object:
    """Applies a maintenance operation, outside of any transaction."""
    if isinstance(operation, ops.StatStore):
        (size,) = connection.execute(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        ).fetchone()
        return ops.StoreStat("sqlite", size)
    if isinstance(operation, ops.CheckStore):
        problems = _check_file(connection)
        _catch_up(connection)
        if problems:  # rows may be missing or unreadable because of them
            return tuple(problems)
        statements = checks.orphans()
        rows = [row for statement in statements for row in connection.execute(statement.sql)]
        return tuple(checks.describe_orphans(rows))
    assert isinstance(operation, ops.CompactStore)
    # VACUUM copies only live data into a new file. The pages go through the log, which keeps old
    # ones until it is truncated.
    waiting.never_wait(connection)
    waiting.execute(connection, "VACUUM")
    deadline = time.monotonic() + waiting.BUSY_SECONDS
    while busy := connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            break
        time.sleep(waiting.LONGEST_PAUSE)
    if busy:
        return ops.Compaction(
            rewritten=False, detail="another process still reads the log: try again"
        )
    return ops.Compaction(rewritten=True, detail="")


def backup(
    connection: sqlite3.Connection, target: Path, progress: Callable[[int, int], None] | None
) -> None:
    """Copies a database as of one moment, while others write to it.

    Args:
        connection: A connection to the database.
        target: The file to create.
        progress: Called with the number of pages copied and the number of all pages.

    Raises:
        ConfigurationError: The target exists or cannot be written.
        ServerError: The database is damaged; no backup was made.
    """
    if target.exists():
        raise ConfigurationError(f"{target} already exists: choose another file")
    try:
        with unfinished(target) as partial:
            # The transaction pins a snapshot; without it, each write would restart the backup.
            connection.execute("BEGIN")
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                _copy(connection, partial, progress)
            finally:
                connection.execute("ROLLBACK")
            _catch_up(connection)
            with contextlib.closing(sqlite3.connect(partial)) as copy:
                problems = _check_file(copy)
                copy.execute(f"PRAGMA application_id={BACKUP_ID}")
            if problems:
                raise ServerError(
                    f"the store is damaged, so {target} was not written: {problems[0]} (botwire "
                    "check lists all problems; botwire export saves what can still be read)"
                )
            with partial.open("r+b") as file:
                sync(file.fileno())
            partial.rename(target)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") not in _UNWRITABLE:
            raise
        # Nothing else is written to, so this is about the copy and not about the store.
        raise ConfigurationError(f"{target} cannot be written: {error}") from error


def _copy(
    connection: sqlite3.Connection, target: Path, progress: Callable[[int, int], None] | None
) -> None:
    """Copies what a connection reads to a file."""

    def step(_: int, left: int, total: int) -> None:
        # Synced in parts: a writer's sync may have to wait until all of the copy's is done.
        sync(file.fileno())
        if progress is not None:
            progress(total - left, total)

    # The file is closed last, since closing it drops SQLite's locks on it.
    with target.open("r+b") as file, contextlib.closing(sqlite3.connect(target)) as copy:
        connection.backup(copy, pages=_PAGES, progress=step)


def check_exists(source: Path) -> None:
    """Raises `ConfigurationError` if there is no such file to restore from."""
    if not source.is_file():
        raise ConfigurationError(f"{source} does not exist: give a file made by botwire backup")


def restore(connection: sqlite3.Connection, source: Path) -> None:
    """Replaces the contents of a database with a backup, in one transaction.

    Programs that have the database open continue with the backup's data. Versions continue above
    those of the replaced data, so none is used twice. Watchers get a ``reset``.

    Args:
        connection: A connection to the database.
        source: The backup.

    Raises:
        ConfigurationError: The source is not an intact backup of a store, or has another version.
    """
    check_exists(source)
    with contextlib.closing(sqlite3.connect(source)) as backup_:
        try:
            found = backup_.execute("PRAGMA user_version").fetchone()[0]
            marked = backup_.execute("PRAGMA application_id").fetchone()[0]
            problems = _check_file(backup_)
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(f"{source} is not a SQLite database: {error}") from error
        if marked not in (BACKUP_ID, connection.execute("PRAGMA application_id").fetchone()[0]):
            raise ConfigurationError(f"{source} is not a backup of a BotWire store")
        if found != migrations.latest():
            raise ConfigurationError(
                f"{source} has tables of version {found} and this store of {migrations.latest()}: "
                "open the backup once as a store, which migrates it"
            )
        if problems:
            raise ConfigurationError(f"{source} is damaged; nothing was restored: {problems[0]}")
        with contextlib.closing(sqlite3.connect("", isolation_level=None)) as prepared:
            # Prepared in a temporary file, so that others see all changes at once.
            backup_.backup(prepared)
            (reached,) = connection.execute(
                "SELECT COALESCE(max(revision), 0) FROM botwire_namespaces"
            ).fetchone()
            mark = connection.execute("PRAGMA application_id").fetchone()[0]
            prepared.execute(
                "UPDATE botwire_namespaces SET revision = max(revision, ?) + 1", (reached,)
            )
            prepared.execute(
                "UPDATE botwire_collections SET (revision, removed) = (SELECT n.revision, "
                "n.revision FROM botwire_namespaces n "
                "WHERE n.namespace = botwire_collections.namespace)"
            )
            prepared.execute("DELETE FROM botwire_changes")
            prepared.execute(f"PRAGMA application_id={mark}")
            prepared.backup(connection)


def refuse_foreign_log(path: str) -> None:
    """Raises `ConfigurationError` if a backup was copied over a store whose log still exists.

    SQLite would replay the old store's log into the backup.

    Args:
        path: The database file, not open yet.
    """
    log = Path(path + "-wal")
    try:
        if log.stat().st_size == 0:
            return
    except OSError:
        return
    # Reads the file without its log.
    uri = sqlite_uri(path, "immutable=1")
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(uri, uri=True)) as raw,
    ):
        if raw.execute("PRAGMA application_id").fetchone()[0] == BACKUP_ID:
            raise ConfigurationError(
                f"{path} is a backup that was copied over a store, and {log.name} next to it is "
                f"that store's log: stop all programs that use it, move {log.name} and "
                f"{Path(path).name}-shm away, and start again (botwire restore avoids this)"
            )


def _check_file(connection: sqlite3.Connection) -> list[str]:
    """Returns the problems that SQLite finds in a database."""
    connection.execute(f"PRAGMA cache_size=-{_CHECK_CACHE}")
    found: list[str] = []
    try:
        for (problem,) in connection.execute("PRAGMA integrity_check"):
            found.append(str(problem))  # each at once, as the next step may fail
    except sqlite3.DatabaseError as error:
        if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT"):
            raise
        found.append(f"{error}, so not all of it was checked")
    return [] if found == ["ok"] else found


def _catch_up(connection: sqlite3.Connection) -> None:
    """Moves what was written during a long read from the log into the database.

    SQLite could not do so while the read lasted. Left to the next writer, it would be part of that
    writer's commit, which would wait for it.
    """
    with contextlib.suppress(sqlite3.Error):  # read-only, or another connection does it already
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
