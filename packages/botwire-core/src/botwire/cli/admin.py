"""Commands for administrators of a store: statistics, checks, backups and erasure."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botwire import operations as ops
from botwire import transfer
from botwire._version import __version__
from botwire.cli.exits import FAILED, NO, OK
from botwire.cli.moving import report_differences
from botwire.cli.options import (
    LONG_TIMEOUT,
    add_command,
    add_json,
    add_patterns,
    add_place,
    open_store,
    open_store_at,
)
from botwire.cli.output import ProgressLine, count_of, print_json, print_rows, say
from botwire.clock import from_datetime, to_iso
from botwire.engines.sqlite.maintenance import check_exists
from botwire.errors import ConfigurationError
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations import Batch
from botwire.places import file_url, find_place, without_password

_COLUMNS = {
    "namespace": "",
    "keys": "key",
    "histories": "history",
    "items": "item",
    "collections": "collection",
    "records": "record",
    "bytes": "byte",
}
"""The columns of the namespaces table, each with the noun for what it counts."""
_STAT = Batch(SYSTEM_NAMESPACE, (ops.StatStore(),))


def add_commands(commands: Any) -> None:
    """Adds the commands to the command line."""
    stats = add_command(commands, "stats", _stats, "count the contents of each namespace")
    add_place(stats, LONG_TIMEOUT)
    add_patterns(stats)
    add_json(stats)

    backup = add_command(commands, "backup", _backup, "copy a SQLite store while it is in use")
    backup.add_argument("target", help="file to create")
    add_place(backup, LONG_TIMEOUT)

    restore = add_command(
        commands, "restore", _restore, "replace a SQLite store with a backup, while it is in use"
    )
    restore.add_argument("source", help="file made by botwire backup")
    add_place(restore, LONG_TIMEOUT)
    restore.add_argument("--yes", action="store_true", help="do not ask for confirmation")

    compact = add_command(commands, "compact", _compact, "free the disk space of deleted data")
    add_place(compact, LONG_TIMEOUT)

    check = add_command(commands, "check", _check, "check a store for damage")
    add_place(check, LONG_TIMEOUT)
    add_patterns(check)
    check.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="instead, list the differences between two stores",
    )
    add_json(check)

    forget = add_command(
        commands, "forget", _forget, "erase namespaces for good, and print a receipt for each"
    )
    forget.add_argument("namespaces", nargs="+", metavar="namespace")
    add_place(forget, LONG_TIMEOUT)
    forget.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    forget.add_argument(
        "--no-rewrite", action="store_true", help="do not compact the file (which can take a while)"
    )


def _stats(options: argparse.Namespace) -> int:
    with open_store(options) as engine:
        total = {column: 0 for column, one in _COLUMNS.items() if one}

        def rows() -> Iterator[dict[str, Any]]:
            for namespace, stat in transfer.stat(engine, options.namespace):
                row = {"namespace": namespace, **stat._asdict()}
                row["created_at"] = None if stat.created_at is None else to_iso(stat.created_at)
                for column in total:
                    total[column] += row[column]
                yield row

        count = print_rows(list(_COLUMNS), rows(), as_json=options.json)
        if options.namespace or options.json:
            return OK
        (store,) = engine.apply(_STAT)
    listed = ", ".join(count_of(total[column], one) for column, one in _COLUMNS.items() if one)
    on_disk = count_of(store.bytes, "byte")
    say(f"{count_of(count, 'namespace')}: {listed}; {on_disk} on disk ({store.engine})")
    return OK


def _backup(options: argparse.Namespace) -> int:
    with (
        open_store(options) as engine,
        ProgressLine("backup") as progress,
    ):
        transfer.backup(engine, Path(options.target), progress.part)
    say(f"backed up to {options.target}; it opens as {file_url(options.target)}")
    return OK


def _restore(options: argparse.Namespace) -> int:
    source = Path(options.source)
    check_exists(source)  # before the question, and before a new store is created
    with open_store(options, make=True) as engine:
        if not _is_confirmed(options, f"replaces everything in the store with {source}"):
            say("nothing was restored")
            return NO
        transfer.restore(engine, source)
    say(f"restored from {source}")
    return OK


def _compact(options: argparse.Namespace) -> int:
    with open_store(options) as engine:
        before = engine.apply(_STAT)[0].bytes
        done = transfer.compact(engine)
        after = engine.apply(_STAT)[0].bytes
    if not done.rewritten:
        say(done.detail)
        return FAILED
    say(f"{count_of(before, 'byte')} before, {count_of(after, 'byte')} now")
    return OK


def _is_confirmed(options: argparse.Namespace, what: str) -> bool:
    """Asks for confirmation of an irreversible action, unless ``--yes`` was given."""
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError(f"this {what}: confirm with --yes, as there is no terminal")
    print(f"This {what}. Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _check(options: argparse.Namespace) -> int:
    if options.compare:
        return _compare(options)
    with (
        open_store(options) as engine,
        ProgressLine("check") as progress,
    ):
        found = transfer.check(engine, namespaces=options.namespace, progress=progress)
        problems = list(found)
    if options.json:
        print_json({"sound": not problems, "problems": problems})
    else:
        for problem in problems:
            say(problem)
        say(count_of(len(problems), "problem") if problems else "no problems found")
    return NO if problems else OK


def _compare(options: argparse.Namespace) -> int:
    first, second = options.compare
    with (
        open_store_at(first, options.api_key, options.timeout) as one,
        open_store_at(second, options.api_key, options.timeout) as other,
        ProgressLine("compare") as progress,
    ):
        differences = transfer.compare(one, other, namespaces=options.namespace, progress=progress)
        if options.json:
            rows = (difference._asdict() for difference in differences)
            return NO if print_rows([], rows, as_json=True) else OK
        count = report_differences(differences)
    say(count_of(count, "difference") if count else "no differences")
    return NO if count else OK


def _forget(options: argparse.Namespace) -> int:
    named = ", ".join(map(repr, options.namespaces))
    if not _is_confirmed(options, f"erases {named} for good"):
        say("nothing was erased")
        return NO
    place = find_place(options.url, options.api_key, options.timeout)
    with open_store(options) as engine:
        receipts = transfer.forget(engine, *options.namespaces, rewrite=not options.no_rewrite)
    for receipt in receipts:
        print_json(
            {
                **dataclasses.asdict(receipt),
                "at": to_iso(from_datetime(receipt.at)),
                "store": without_password(place.url),
                "botwire": __version__,
            }
        )
    if receipts[0].rewritten:
        return OK
    say(receipts[0].detail)
    # PostgreSQL's administrator decides when to compact it. A SQLite file that others are reading
    # can be compacted later.
    return OK if options.no_rewrite or place.scheme.startswith("postgres") else FAILED
