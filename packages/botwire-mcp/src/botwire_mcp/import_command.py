"""The action ``import`` of ``botwire-mcp``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from botwire.cli.exits import CONFLICT, OK
from botwire.cli.options import LONG_TIMEOUT
from botwire.connection import Connection
from botwire.engines.sqlite import MEMORY
from botwire.errors import ConfigurationError
from botwire.places import find_place
from botwire_mcp.importing import markdown, mem0, server_memory
from botwire_mcp.importing.found import Contents, read_text
from botwire_mcp.importing.writing import Outcome, write

_READERS: Mapping[str, Callable[[Path], Contents]] = {
    server_memory.SOURCE: server_memory.read,
    markdown.SOURCE: markdown.read,
    mem0.SOURCE: mem0.read,
}
_SHOWN = 20  # changed notes and files to list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the action."""
    parser.add_argument(
        "path",
        type=Path,
        help="server-memory's memory.jsonl, a folder of Markdown, or an export of mem0",
    )
    parser.add_argument(
        "--from",
        dest="source",
        choices=list(_READERS),
        help="the kind of source, if its content does not tell",
    )
    parser.add_argument("--dry-run", action="store_true", help="only count, and write nothing")
    parser.add_argument(
        "--skip-invalid", action="store_true", help="skip what cannot be read, and report it"
    )


def run(options: argparse.Namespace) -> int:
    """Imports a source; returns 3 if something was left alone because it was changed here.

    Raises:
        ConfigurationError: Part of the source cannot be read; nothing was written.
    """
    path: Path = options.path
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist")
    found = _READERS[options.source or _recognize(path)](path)
    if not options.skip_invalid:
        found.check()
    for fault in found.faults:
        print(f"left out: {fault}", file=sys.stderr)
    parts = [f"{count:,} {kind}" for kind, count in found.counts.items()]
    print(f"read {', '.join(parts) or 'nothing'} from {path} ({found.source})")
    outcome = _write(options, found)
    verb = "to write" if options.dry_run else "written"
    print(f"{outcome.new:,} notes and files {verb}, {outcome.known:,} already there")
    if options.dry_run:
        print("nothing was written (--dry-run)")
    if not outcome.changed:
        return OK
    print(f"{len(outcome.changed):,} were changed here since and stay as they are:")
    for what in outcome.changed[:_SHOWN]:
        print(f"  {what}")
    return CONFLICT


def _write(options: argparse.Namespace, found: Contents) -> Outcome:
    place = find_place(options.url, options.api_key, LONG_TIMEOUT)
    is_file = place.scheme == "sqlite" and place.sqlite_path != MEMORY
    if options.dry_run and is_file and not Path(place.sqlite_path).exists():
        return Outcome(new=len(found.notes) + len(found.files))  # counting creates no store
    connection = Connection(
        options.namespace,
        framework="mcp",
        url=options.url,
        api_key=options.api_key,
        timeout=LONG_TIMEOUT,
    )
    with connection.memory as memory:
        return write(memory, found, dry_run=options.dry_run)


def _recognize(path: Path) -> str:
    """Returns the kind of a source, judging by its content."""
    if path.is_dir() or path.suffix.lower() in markdown.ENDINGS:
        return markdown.SOURCE
    lines = read_text(path).split("\n")
    if any(server_memory.is_line(line) for line in lines):
        return server_memory.SOURCE
    return mem0.SOURCE
