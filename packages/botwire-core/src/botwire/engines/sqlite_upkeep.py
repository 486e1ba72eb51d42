"""What a SQLite file itself can say and do: its size, its soundness, a rewrite, a backup."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from botwire import store_operations as ops
from botwire.engines import store_statements
from botwire.errors import ConfigurationError
from botwire.operations import Operation

_PAGES = 4096  # of a backup between two calls of its progress


def maintain(connection: sqlite3.Connection, operation: Operation) -> object:
    """Answers an operation that is the database's own, outside of any transaction."""
    if isinstance(operation, ops.StatStore):
        (size,) = connection.execute(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        ).fetchone()
        return ops.StoreStat("sqlite", size)
    if isinstance(operation, ops.CheckStore):
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        problems = [] if found == ["ok"] else found
        statements = store_statements.orphans()
        rows = [row for statement in statements for row in connection.execute(statement.sql)]
        return (*problems, *store_statements.describe_orphans(rows))
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
    """
    if target.exists():
        raise ConfigurationError(f"{target} is there already: choose another file")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
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
        finally:
            connection.execute("ROLLBACK")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
