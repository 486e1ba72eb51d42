"""What a SQLite file itself can say and do: its size, its soundness, a rewrite, a backup."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from botwire import operations as ops
from botwire.engines.sql import migrations, store
from botwire.errors import ConfigurationError, ServerError
from botwire.files import make_private
from botwire.operations import AnyOperation

BACKUP_ID = 0x4257424B
"""Marks a backup (``BWBK``) until it is opened as a store."""

_PAGES = 4096  # of a backup between two calls of its progress


def maintain(connection: sqlite3.Connection, operation: AnyOperation) -> object:
    """Answers an operation that is the database's own, outside of any transaction."""
    if isinstance(operation, ops.StatStore):
        (size,) = connection.execute(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        ).fetchone()
        return ops.StoreStat("sqlite", size)
    if isinstance(operation, ops.CheckStore):
        problems = _check_file(connection)
        statements = store.orphans()
        rows = [row for statement in statements for row in connection.execute(statement.sql)]
        return (*problems, *store.describe_orphans(rows))
    assert isinstance(operation, ops.CompactStore)
    # VACUUM copies what is stored into a new file, and nothing else comes along; the pages go
    # through the log, which then still holds old ones, until it is emptied.
    connection.execute("VACUUM")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        return ops.Compaction(
            rewritten=False, detail="the log is still being read by another process: try again"
        )
    return ops.Compaction(rewritten=True, detail="")


def backup(
    connection: sqlite3.Connection, target: Path, progress: Callable[[int, int], None] | None
) -> None:
    """Copies a database, as it is at one moment, while others write to it.

    Args:
        connection: To the database.
        target: The file to make.
        progress: Called with the pages copied and the pages there are.

    Raises:
        ConfigurationError: The target is there already, or cannot be written.
        ServerError: The database is damaged; nothing was made.
    """
    if target.exists():
        raise ConfigurationError(f"{target} is there already: choose another file")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        make_private(partial)
        # In a transaction what is copied stays the same; without, each write begins it anew.
        connection.execute("BEGIN")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with contextlib.closing(sqlite3.connect(partial)) as copy:
                connection.backup(
                    copy,
                    pages=_PAGES,
                    progress=None
                    if progress is None
                    else lambda _, left, total: progress(total - left, total),
                )
                problems = _check_file(copy)
                copy.execute(f"PRAGMA application_id={BACKUP_ID}")
        finally:
            connection.execute("ROLLBACK")
        if problems:
            raise ServerError(
                f"the store is damaged, so it was not backed up to {target}: {problems[0]} "
                "(botwire check says all; botwire export reads what can be read)"
            )
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def restore(connection: sqlite3.Connection, source: Path) -> None:
    """Puts what a backup holds in the place of a database, in one transaction.

    Everyone who has the database open goes on with the backup. Versions go on from what was there,
    so none is given a second time, and those who watch are told that anything may have changed.

    Args:
        connection: To the database.
        source: The backup.

    Raises:
        ConfigurationError: The source is not a sound backup of a store, or of another version.
    """
    if not source.is_file():
        raise ConfigurationError(f"{source} is not there: give a file that botwire backup made")
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
                f"{source} has tables of version {found}, this store of {migrations.latest()}: "
                "open the backup once as a store, which brings it up to date"
            )
        if problems:
            raise ConfigurationError(f"{source} is damaged, nothing was restored: {problems[0]}")
        with contextlib.closing(sqlite3.connect("", isolation_level=None)) as prepared:
            # A file of its own, which SQLite removes: what others see changes in one step.
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
    """Raises `ConfigurationError` if a backup was copied over a store whose log is still there.

    SQLite would read the log of the old store as if it were the backup's.

    Args:
        path: Of the database, not open yet.
    """
    log = Path(path + "-wal")
    try:
        if log.stat().st_size == 0:
            return
    except OSError:
        return
    # Reads the file itself, without its log.
    uri = f"file:{quote(path)}?immutable=1"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(uri, uri=True)) as raw,
    ):
        if raw.execute("PRAGMA application_id").fetchone()[0] == BACKUP_ID:
            raise ConfigurationError(
                f"{path} is a backup that was copied over a store, and {log.name} beside it is the "
                f"log of that store: stop what still has it open, move {log.name} and "
                f"{Path(path).name}-shm away, and start again (botwire restore does it safely)"
            )


def _check_file(connection: sqlite3.Connection) -> list[str]:
    """Returns what SQLite finds wrong with a database."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found
