"""Commands that move memory: export, import and copy."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import itertools
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from botwire import transfer
from botwire.cli.exits import NO, OK
from botwire.cli.options import (
    LONG_TIMEOUT,
    add_command,
    add_json,
    add_patterns,
    add_place,
    add_timeout,
    open_store,
    open_store_at,
)
from botwire.cli.output import ProgressLine, count_of, print_json, say
from botwire.engines.protocol import Engine
from botwire.errors import ConfigurationError
from botwire.files import unfinished
from botwire.operations import CONFLICTS, OVERWRITE, REFUSE
from botwire.transfer.copying import ONLY_SECOND, compare_policies

_SHOWN = 20  # most differences to print
_SQLITE = b"SQLite format 3\0"  # how its files begin


def add_commands(commands: Any) -> None:
    """Adds the commands to the command line."""
    export = add_command(commands, "export", _export, "write a store as lines of JSON, exactly")
    export.add_argument(
        "file",
        nargs="?",
        default="-",
        help="file to create, compressed if it ends in .gz; - is standard output",
    )
    add_place(export, LONG_TIMEOUT)
    add_patterns(export)
    export.add_argument("--force", action="store_true", help="replace an existing file")

    load = add_command(commands, "import", _import, "read an export into a store, exactly")
    load.add_argument("file", help="file written by botwire export; - is standard input")
    add_place(load, LONG_TIMEOUT)
    add_patterns(load)
    _add_conflict(load)
    add_json(load)

    copy = add_command(
        commands, "copy", _copy, "copy namespaces from one place to another, exactly"
    )
    copy.add_argument("source", metavar="FROM", help="URL to read; may be in use")
    copy.add_argument("target", metavar="TO", help="URL to write to")
    copy.add_argument("--from-api-key", metavar="KEY", help="API key for reading from a server")
    copy.add_argument("--to-api-key", metavar="KEY", help="API key for writing to a server")
    add_timeout(copy)
    add_patterns(copy)
    _add_conflict(copy)
    copy.add_argument("--verify", action="store_true", help="compare both places afterwards")
    add_json(copy)


def _add_conflict(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--on-conflict",
        choices=CONFLICTS,
        default=REFUSE,
        dest="conflict",
        help="what to do if the target has newer data (default: %(default)s)",
    )
    group.add_argument(
        "--overwrite",
        action="store_const",
        const=OVERWRITE,
        dest="conflict",
        help="short for --on-conflict overwrite",
    )


def _export(options: argparse.Namespace) -> int:
    with (
        open_store(options) as engine,
        _new_file(options.file, force=options.force) as file,
        ProgressLine("export") as progress,
    ):
        tally = transfer.export(engine, file, namespaces=options.namespace, progress=progress)
    if options.file != "-":
        say(f"{options.file}: {_describe(tally)}")
    return OK


@contextlib.contextmanager
def _new_file(name: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Opens a file for writing; it gets its name only once it is complete."""
    if name == "-":
        yield sys.stdout.buffer
        return
    if Path(name).exists() and not Path(name).is_file():  # a device or a pipe, which stays one
        with Path(name).open("wb") as raw, _packed(raw, name) as file:
            yield file
        return
    target = Path(os.path.realpath(name))  # the target of a link, which stays
    if target.exists():
        if not force:
            raise ConfigurationError(f"{name} already exists: choose another file, or use --force")
        with target.open("rb") as old:
            if old.read(len(_SQLITE)) == _SQLITE:
                raise ConfigurationError(f"{name} is a SQLite database: choose another file")
    try:
        with unfinished(target) as partial:
            with partial.open("wb") as raw, _packed(raw, name) as file:
                yield file
            partial.replace(target)
    except OSError as error:
        if error.filename == str(target):
            error.filename = name  # as the user wrote it
        raise


@contextlib.contextmanager
def _packed(raw: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Compresses what is written, if the name says so."""
    if name.endswith(".gz"):
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
            yield cast(IO[bytes], packed)
    else:
        yield raw


def _import(options: argparse.Namespace) -> int:
    with (
        open_store(options, make=True) as engine,
        _old_file(options.file) as file,
        ProgressLine("import") as progress,
    ):
        tally = transfer.load(
            engine,
            file,
            namespaces=options.namespace,
            conflict=options.conflict,
            progress=progress,
        )
    _report(tally, options)
    return OK


@contextlib.contextmanager
def _old_file(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as raw:
        if not name.endswith(".gz"):
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as packed:
                yield cast(IO[bytes], packed)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ConfigurationError(
                f"{name} is not a gzip file, or is truncated ({error}): all complete batches "
                "before that were imported"
            ) from None


def _copy(options: argparse.Namespace) -> int:
    with (
        open_store_at(options.source, options.from_api_key, options.timeout) as source,
        open_store_at(options.target, options.to_api_key, options.timeout, make=True) as target,
    ):
        with ProgressLine("copy") as progress:
            tally = transfer.copy(
                source,
                target,
                namespaces=options.namespace,
                conflict=options.conflict,
                progress=progress,
            )
        same = True
        if options.verify:
            # Ignores namespaces that only the target has.
            chosen = list(transfer.list_namespaces(source, options.namespace))
            with ProgressLine("compare") as progress:
                differences: Iterator[transfer.Difference] = iter(())
                if chosen:
                    differences = transfer.compare(
                        source, target, namespaces=chosen, progress=progress
                    )
                if not options.namespace:
                    differences = itertools.chain(differences, _of_policies(source, target))
                same = not report_differences(differences)
    _report(tally, options)
    return OK if same else NO


def _of_policies(source: Engine, target: Engine) -> Iterator[transfer.Difference]:
    """Yields the policies and holds that are missing or different in the copy."""
    for difference in compare_policies(source, target):
        if difference.what != ONLY_SECOND:
            yield difference


def report_differences(differences: Iterator[transfer.Difference]) -> int:
    """Prints the first differences and returns how many there are."""
    count = 0
    for count, difference in enumerate(differences, 1):
        if count <= _SHOWN:
            say(str(difference))
    if count > _SHOWN:
        say(f"… and {count - _SHOWN} more differences")
    return count


def _report(tally: transfer.Tally, options: argparse.Namespace) -> None:
    outcome = {
        "written": tally.written,
        "there already": tally.same,
        "newer and kept": tally.kept,
        "removed": tally.removed,
        "expired": tally.expired,
        "of other namespaces": tally.skipped,
    }
    if options.json:
        print_json({**tally.counts(), **{name.replace(" ", "_"): n for name, n in outcome.items()}})
    else:
        shown = [f"{n} {name}" for name, n in outcome.items() if n or name == "written"]
        say(f"{_describe(tally)}: {', '.join(shown)}")


def _describe(tally: transfer.Tally) -> str:
    return ", ".join(count_of(count, kind) for kind, count in tally.counts().items())
