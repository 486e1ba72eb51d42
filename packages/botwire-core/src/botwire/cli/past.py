"""Commands that show the past of a namespace and restore data from it."""

from __future__ import annotations

import argparse
from typing import Any

from botwire.cli.exits import NO, OK
from botwire.cli.moments import read_moment
from botwire.cli.options import add_memory_command, duration, open_memory, positive
from botwire.cli.output import author_of, count_of, print_rows, say, time_of, value_of
from botwire.errors import ConfigurationError


def add_commands(commands: Any) -> None:
    """Adds the commands to the command line."""
    past = add_memory_command(
        commands, "past", _past, "show, keep or erase the past of a namespace"
    )
    what = past.add_mutually_exclusive_group()
    what.add_argument(
        "--keep",
        type=duration,
        metavar="TIME",
        help="keep what is changed or deleted from now on, for example for 30d or 12h",
    )
    what.add_argument(
        "--stop", action="store_true", help="stop keeping the past, and delete what was kept"
    )
    what.add_argument(
        "--erase",
        action="store_true",
        help="delete the past kept so far, of everything or of one thing",
    )
    _add_target(past)

    versions = add_memory_command(
        commands,
        "versions",
        _versions,
        "print the current and past values of a key, an item or a record",
    )
    versions.add_argument(
        "name", help="the key; with --history the item's number or id, with --collection the id"
    )
    which = versions.add_mutually_exclusive_group()
    which.add_argument("--history", metavar="NAME", help="the versions of an item of this history")
    which.add_argument("--collection", metavar="NAME", help="the versions of a record")
    versions.add_argument("-n", type=positive, metavar="N", help="only the newest N versions")

    changes = add_memory_command(
        commands, "changes", _changes, "print what changed, and who changed it"
    )
    changes.add_argument(
        "--since",
        type=read_moment,
        metavar="MOMENT",
        help="only changes after this revision or time",
    )

    undo = add_memory_command(
        commands, "undo", _undo, "take a change back with a new write", as_json=False
    )
    undo.add_argument("revision", type=positive, help="the change's number; see botwire changes")

    rewind = add_memory_command(
        commands, "rewind", _rewind, "restore an earlier state with new writes", as_json=False
    )
    rewind.add_argument("moment", type=read_moment, help="the revision or time to go back to")
    _add_target(rewind)


def _add_target(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--key", metavar="NAME", help="only this key")
    what.add_argument("--history", metavar="NAME", help="only this history")
    what.add_argument("--collection", metavar="NAME", help="only the records of this collection")


def _target(options: argparse.Namespace) -> dict[str, str]:
    given = {"key": options.key, "history": options.history, "records": options.collection}
    return {shape: name for shape, name in given.items() if name is not None}


def _past(options: argparse.Namespace) -> int:
    memory = open_memory(options)
    target = _target(options)
    if target and not options.erase:
        raise ConfigurationError("--key, --history and --collection go with --erase")
    if options.erase:
        say(f"erased {count_of(memory.erase_past(**target), 'row')}")
        return OK
    if options.stop:
        info = memory.keep_past(None)
    elif options.keep is not None:
        info = memory.keep_past(options.keep)
    else:
        info = memory.past()
    row = {
        "keep_seconds": None if info.keep is None else info.keep.total_seconds(),
        "since": info.since,
        "began": time_of(info.began),
        "revision": info.revision,
    }
    print_rows(tuple(row), [row], as_json=options.json)
    return OK


def _versions(options: argparse.Namespace) -> int:
    memory = open_memory(options)
    rows: list[dict[str, Any]]
    columns: tuple[str, ...]
    if options.history is not None:
        columns = ("version", "until", "author", "value")
        name = int(options.name) if options.name.isdecimal() else options.name
        rows = [
            {
                "version": version.version,
                "until": version.until,
                "author": author_of(version.item.author),
                **value_of(version.item.value),
            }
            for version in memory.history(options.history).versions(name, limit=options.n)
        ]
    elif options.collection is not None:
        columns = ("version", "until", "updated_at", "author", "text")
        records = memory.records(options.collection)
        rows = [
            {
                "version": version.version,
                "until": version.until,
                "updated_at": time_of(version.record.updated_at),
                "expires_at": time_of(version.record.expires_at),
                "author": author_of(version.record.author),
                "text": version.record.text,
                "metadata": version.record.metadata,
                "tags": list(version.record.tags),
                "scope": version.record.scope,
            }
            for version in records.versions(options.name, limit=options.n, embeddings=False)
        ]
    else:
        columns = ("version", "until", "updated_at", "author", "value")
        rows = [
            {
                "version": version.version,
                "until": version.until,
                "updated_at": time_of(version.updated_at),
                "expires_at": time_of(version.expires_at),
                "author": author_of(version.author),
                **value_of(version.value),
            }
            for version in memory.versions(options.name, limit=options.n)
        ]
    return OK if print_rows(columns, rows, as_json=options.json) else NO


def _changes(options: argparse.Namespace) -> int:
    rows = [
        {
            "revision": change.revision,
            "changed_at": time_of(change.changed_at),
            "shape": change.shape,
            "action": change.action,
            "name": change.name,
            "author": author_of(change.author),
        }
        for change in open_memory(options).changes(options.since)
    ]
    columns = ("revision", "changed_at", "shape", "action", "name", "author")
    print_rows(columns, rows, as_json=options.json)
    return OK


def _undo(options: argparse.Namespace) -> int:
    say(f"restored {count_of(open_memory(options).undo(options.revision), 'element')}")
    return OK


def _rewind(options: argparse.Namespace) -> int:
    restored = open_memory(options).restore(options.moment, **_target(options))
    say(f"restored {count_of(restored, 'element')}")
    return OK
