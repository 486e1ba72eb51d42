"""Administers a store: statistics, checks, backups and erasure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from botwire import operations as ops
from botwire.clock import now, to_datetime
from botwire.engines.protocol import Engine
from botwire.engines.sqlite import SQLiteEngine
from botwire.errors import BotWireError, ConfigurationError, ServerError
from botwire.exact import Json, decode
from botwire.names import SYSTEM_NAMESPACE, check_namespace
from botwire.transfer.erasing import erase
from botwire.transfer.pages import apply, read_pages
from botwire.transfer.progress import Progress, Tally
from botwire.transfer.reading import list_namespaces, read_namespace

LAST_BACKUP = "backups/last"
"""The key in the system namespace that is set at each backup."""


def stat(engine: Engine, namespaces: Iterable[str] = ()) -> Iterator[tuple[str, ops.NamespaceStat]]:
    """Yields each namespace with its statistics.

    Args:
        engine: The store.
        namespaces: Patterns that select namespaces; see `list_namespaces`.
    """
    for namespace in list_namespaces(engine, namespaces):
        yield namespace, apply(engine, namespace, ops.StatNamespace())


def check(
    engine: Engine, *, namespaces: Iterable[str] = (), progress: Progress | None = None
) -> Iterator[str]:
    """Yields the problems found in a store; nothing if it is intact.

    The database checks its files. This function compares stored counts with the rows, and reads
    all data.

    Args:
        engine: The store.
        namespaces: Patterns that select namespaces; with any, the database does not check its
            files.
        progress: Called periodically.
    """
    wanted = list(namespaces)
    found: tuple[str, ...] = ()
    if not wanted:
        found = apply(engine, SYSTEM_NAMESPACE, ops.CheckStore())
        yield from found
    try:
        yield from _check_namespaces(engine, wanted, progress)
    except ServerError as error:
        if not found:
            raise
        yield f"nothing else was checked: {error}"


def _check_namespaces(
    engine: Engine, wanted: list[str], progress: Progress | None
) -> Iterator[str]:
    tally = Tally()
    for namespace in list_namespaces(engine, wanted):
        where = f"namespace {namespace!r}"
        for problem in apply(engine, namespace, ops.CheckNamespace()):
            yield f"{where}: {problem}"
        for line in read_namespace(engine, namespace, tally=tally, progress=progress):
            tally.count(line.kind, progress)
            entry, held = line.entry, None
            if isinstance(entry, (ops.KeyEntry, ops.HistoryItem)):
                held = entry.value
            elif isinstance(entry, ops.RecordEntry):
                held = entry.metadata
            try:
                if isinstance(held, Json):
                    decode(held.text)
            except (ValueError, RecursionError) as error:
                yield f"{where}: {line.kind} {entry[0]!r} is not JSON: {error}"
        yield from (f"{where}: {problem}" for problem in _check_words(engine, namespace))


def _check_words(engine: Engine, namespace: str) -> Iterator[str]:
    for page in read_pages(engine, namespace, ops.ListCollections()):
        for collection in page.collections:
            last: str | None = None
            while True:
                found: ops.RecordCheck = apply(
                    engine, namespace, ops.CheckRecords(collection, last)
                )
                yield from (f"collection {collection!r}: {one}" for one in found.problems)
                if found.last is None:
                    break
                last = found.last


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof that a namespace was erased.

    Attributes:
        namespace: The namespace.
        erased: The number of rows erased of each kind; all 0 if the namespace did not exist.
        at: When it was erased, in UTC.
        rewritten: Whether the database rewrote its files, which then no longer contain the data.
        detail: If it did not, why and what to do.
    """

    namespace: str
    erased: dict[str, int]
    at: datetime
    rewritten: bool
    detail: str


def forget(engine: Engine, *namespaces: str, rewrite: bool = True) -> list[Receipt]:
    """Erases namespaces: all their rows, and their bytes in the database's files.

    Exports, backups and logs elsewhere keep their data. Repeating the call is safe.

    Args:
        engine: The store.
        namespaces: The namespaces.
        rewrite: Whether to compact the files afterwards, once for all namespaces. This takes as
            long as writing the whole store, and blocks writers.

    Returns:
        A receipt per namespace.

    Raises:
        PermissionDeniedError: A hold protects data in one of the namespaces
            (`botwire.retention`). The namespaces before it are erased.
    """
    for namespace in namespaces:
        check_namespace(namespace)
    erased = [(namespace, erase(engine, namespace), to_datetime(now())) for namespace in namespaces]
    compaction = ops.Compaction(
        rewritten=False,
        detail="the files were not rewritten, so they or their log may still hold what was erased",
    )
    if rewrite:
        try:
            compaction = apply(engine, SYSTEM_NAMESPACE, ops.CompactStore())
        except BotWireError as error:
            # The rows are gone, so the caller must get the receipt.
            compaction = ops.Compaction(
                rewritten=False, detail=f"the files could not be rewritten, run it again: {error}"
            )
    return [Receipt(*one, *compaction) for one in erased]


def backup(
    engine: Engine, target: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Copies a SQLite store, which may be in use, to a file as of one moment.

    Args:
        engine: The store.
        target: The file to create.
        progress: Called with the number of pages copied and the total number of pages.

    Raises:
        ConfigurationError: The store is not a file on this machine, or the target cannot be
            created.
    """
    if not isinstance(engine, SQLiteEngine):
        raise ConfigurationError(
            "only SQLite files can be copied this way: use pg_dump for PostgreSQL, run this where "
            "a server's file is, or use botwire export, which works everywhere"
        )
    engine.backup(target, progress)
    # Only a server's console reads this, and the backup itself is done.
    with contextlib.suppress(BotWireError):
        apply(engine, SYSTEM_NAMESPACE, ops.PutKey(LAST_BACKUP, Json.of(None)))


def restore(engine: Engine, source: Path) -> None:
    """Replaces the contents of a SQLite store, which may be in use, with a backup.

    Never copy a backup over a store by hand: programs that have it open would keep using the old
    file, and a leftover log would damage the copy.

    Args:
        engine: The store.
        source: A file made by `backup`.

    Raises:
        ConfigurationError: The store is not a file on this machine, or the source is not an intact
            backup. Nothing was changed.
    """
    if not isinstance(engine, SQLiteEngine):
        raise ConfigurationError(
            "only SQLite files can be restored this way: use pg_restore for PostgreSQL, run this "
            "where a server's file is, or use botwire import, which works everywhere"
        )
    engine.restore(source)


def compact(engine: Engine) -> ops.Compaction:
    """Rewrites a store's files without deleted data, which shrinks them and blocks writers.

    Returns:
        Whether the files were rewritten, and why if not.
    """
    done: ops.Compaction = apply(engine, SYSTEM_NAMESPACE, ops.CompactStore())
    return done
