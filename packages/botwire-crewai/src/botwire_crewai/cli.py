"""The command line ``python -m botwire_crewai``: CrewAI's own browser opens only LanceDB."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from crewai.memory.storage.backend import EmbeddingDimensionMismatchError

from botwire import BotWireError
from botwire.cli import escape_output
from botwire_crewai.convert import from_record
from botwire_crewai.migrate import migrate_lancedb
from botwire_crewai.storage import COLLECTION, BotWireStorage

OK, REFUSED, FAILED = 0, 1, 2
_PAGE = 200  # records read at a time
_SHOWN = 10  # of the newest


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0 for success, 1 if ``--yes`` is required, 2 for failure.
    """
    escape_output()
    options = _parser().parse_args(arguments)
    run: Callable[[BotWireStorage, argparse.Namespace], int] = options.run
    try:
        return run(BotWireStorage(options.namespace, url=options.url), options)
    except (BotWireError, EmbeddingDimensionMismatchError) as error:
        print(f"botwire_crewai: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader closed the pipe. Python must not flush into it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m botwire_crewai",
        description="Shows and manages what crews remember on BotWire.",
        epilog="Memory lives at --url, else at BOTWIRE_URL, else in a file of the current user. "
        "The API key of a server is read from BOTWIRE_API_KEY.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run, text in (
        ("inspect", _inspect, "show scopes, categories and the newest records"),
        ("export", _export, "print every record with its vector, one JSON object per line"),
        ("reset", _reset, "delete the records of a scope, or all records"),
        ("migrate", _migrate, "copy the records of a LanceDB store"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("namespace", help="namespace of the records")
        where = "where memory lives (default: BOTWIRE_URL, else a local file)"
        command.add_argument("--url", help=where)
        if name == "migrate":
            default = "default: CrewAI's own store for the current folder"
            command.add_argument("--path", help=f"folder of the store ({default})")
        else:
            command.add_argument("--scope", default="/", help="only this scope and those below it")
        if name == "reset":
            command.add_argument("--yes", action="store_true", help="delete without asking")
    return parser


def _inspect(storage: BotWireStorage, options: argparse.Namespace) -> int:
    info = storage.get_scope_info(options.scope)
    span = f", {info.oldest_record} to {info.newest_record}" if info.record_count else ""
    print(f"{info.path}: {info.record_count} records{span}")
    for scope in info.child_scopes:
        print(f"  {scope}: {storage.count(scope)}")
    for category, count in storage.list_categories(options.scope).items():
        print(f"  category {category}: {count}")
    for record in storage.list_records(options.scope, _SHOWN):
        mark = " (private)" if record.private else ""
        print(f"  {record.created_at:%Y-%m-%d %H:%M} {record.scope}{mark} {record.content!r:.100}")
    return OK


def _export(storage: BotWireStorage, options: argparse.Namespace) -> int:
    # CrewAI lists records without their vectors, so read them from BotWire itself.
    records = storage.connection.memory.records(COLLECTION)
    offset = 0
    while page := records.list(scope=options.scope, limit=_PAGE, offset=offset):
        offset += len(page)
        for record in map(from_record, page):
            line = {**record.model_dump(mode="json"), "embedding": record.embedding}
            print(json.dumps(line, sort_keys=True))
    return OK


def _reset(storage: BotWireStorage, options: argparse.Namespace) -> int:
    count = storage.count(options.scope)
    if not options.yes:
        print(f"{count} records would be deleted: add --yes to delete them", file=sys.stderr)
        return REFUSED
    print(f"{storage.delete(options.scope)} records deleted")
    return OK


def _migrate(storage: BotWireStorage, options: argparse.Namespace) -> int:
    print(f"{migrate_lancedb(options.path, storage)} records copied")
    return OK
