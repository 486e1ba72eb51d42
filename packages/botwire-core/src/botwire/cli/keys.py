"""Commands that read and change keys, delete anything by name, and watch changes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from botwire import Memory
from botwire.cli.exits import NO, OK
from botwire.cli.moments import add_at, memory_at
from botwire.cli.options import add_memory_command, open_memory, positive, read_json
from botwire.cli.output import author_of, print_json, print_rows, say, show, time_of, value_of
from botwire.errors import ConfigurationError


def add_commands(commands: Any) -> None:
    """Adds the commands to the command line."""
    get = add_memory_command(
        commands, "get", _get, "print the value of a key as JSON, or its raw bytes"
    )
    get.add_argument("key")
    add_at(get)

    put = add_memory_command(commands, "set", _set, "set a key")
    put.add_argument("key")
    put.add_argument(
        "value",
        nargs="?",
        default="-",
        help="JSON: 42, '\"text\"', '{\"a\": 1}'; - reads it from standard input",
    )
    kind = put.add_mutually_exclusive_group()
    kind.add_argument("--text", action="store_true", help="the value is plain text, not JSON")
    kind.add_argument(
        "--bytes", metavar="FILE", help="store the bytes of a file; - reads standard input"
    )
    put.add_argument("--ttl", type=float, metavar="SECONDS", help="seconds until the key expires")
    put.add_argument(
        "--if-version",
        type=int,
        metavar="N",
        help="set only if the key has version N; 0: only if it does not exist",
    )

    keys = add_memory_command(commands, "ls", _list, "list keys, one per line")
    keys.add_argument("prefix", nargs="?", default="", help="only keys that start with this")
    keys.add_argument("-l", "--long", action="store_true", help="show versions, times and sizes")
    keys.add_argument(
        "--by",
        choices=["name", "updated"],
        default="name",
        help="list keys by name, or the most recently set first (default: %(default)s)",
    )
    add_at(keys)

    remove = add_memory_command(
        commands, "rm", _remove, "delete keys, histories or collections of records"
    )
    remove.add_argument("names", nargs="+", metavar="name")
    what = remove.add_mutually_exclusive_group()
    what.add_argument("--history", action="store_true", help="the names are histories")
    what.add_argument("--collection", action="store_true", help="the names are collections")

    watch = add_memory_command(
        commands, "watch", _watch, "print each change as it happens, until Ctrl-C"
    )
    watch.add_argument("prefix", nargs="?", default="", help="only names that start with this")
    watch.add_argument("--after", type=int, metavar="REVISION", help="start after this revision")
    watch.add_argument("-n", type=positive, metavar="N", help="stop after N changes")


def _get(options: argparse.Namespace) -> int:
    entry = memory_at(options).entry(options.key)
    if entry is None:
        say(f"no key {options.key!r}")
        return NO
    if options.json:
        print_json(_entry(entry))
    elif isinstance(entry.value, bytes):
        sys.stdout.buffer.write(entry.value)
    else:
        print_json(entry.value)
    return OK


def _entry(entry: Any) -> dict[str, Any]:
    return {
        "key": entry.key,
        **value_of(entry.value),
        "version": entry.version,
        "created_at": time_of(entry.created_at),
        "updated_at": time_of(entry.updated_at),
        "expires_at": time_of(entry.expires_at),
        "author": author_of(entry.author),
    }


def _set(options: argparse.Namespace) -> int:
    if options.bytes is not None:
        if options.value != "-":
            raise ConfigurationError("--bytes reads the value from a file: omit the value argument")
        value: Any = _read_bytes(options.bytes)
    else:
        value = _read_text() if options.value == "-" else options.value
        if not options.text:
            value = read_json(value, "the value", ": quote text twice, '\"a\"', or use --text")
    memory = open_memory(options)
    version = memory.set(options.key, value, ttl=options.ttl, if_version=options.if_version)
    if options.json:
        print_json({"key": options.key, "version": version})
    return OK


def _read_text() -> str:
    """Returns standard input as it is, line ends included."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"standard input is not UTF-8 at byte {error.start}: --bytes - stores it as bytes"
        ) from None


def _read_bytes(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _remove(options: argparse.Namespace) -> int:
    memory = open_memory(options)
    missing = [name for name in options.names if not _delete(memory, name, options)]
    for name in missing:
        say(f"no {_kind(options)} {name!r}")
    return NO if missing else OK


def _kind(options: argparse.Namespace) -> str:
    return "history" if options.history else "collection" if options.collection else "key"


def _delete(memory: Memory, name: str, options: argparse.Namespace) -> bool:
    if options.history:
        return memory.history(name).clear() > 0
    if options.collection:
        return memory.records(name).clear() > 0
    return memory.delete(name)


def _list(options: argparse.Namespace) -> int:
    memory = memory_at(options)
    rows: Iterable[dict[str, Any]]
    if options.long or options.by == "updated":
        rows = (
            {
                "key": entry.key,
                "version": entry.version,
                "size": _size(entry.value),
                "created_at": time_of(entry.created_at),
                "updated_at": time_of(entry.updated_at),
                "expires_at": time_of(entry.expires_at),
                "author": author_of(entry.author),
            }
            for entry in memory.iter_entries(options.prefix)
        )
        if options.by == "updated":
            # A version is the revision of a key's last write, so the highest was set last.
            rows = sorted(rows, key=lambda row: -row["version"])
    else:
        rows = ({"key": key} for key in memory.iter_keys(options.prefix))
    if options.long:
        columns = ["key", "version", "size", "updated_at", "expires_at"]
        print_rows(columns, rows, as_json=options.json)
    elif options.json:
        print_rows(["key"], ({"key": row["key"]} for row in rows), as_json=True)
    else:
        for row in rows:
            print(show(row["key"]))
    return OK


def _size(value: Any) -> int:
    return len(value) if isinstance(value, bytes) else len(json.dumps(value))


def _watch(options: argparse.Namespace) -> int:
    changes = open_memory(options).watch(options.prefix, after=options.after)
    for count, change in enumerate(changes, 1):
        if options.json:
            print_json({**change._asdict(), "author": author_of(change.author)})
        else:
            author = "" if change.author is None else show(str(change.author))
            cells = [str(change.revision), change.shape, change.action, show(change.name), author]
            print("\t".join(cells).rstrip("\t"))
        sys.stdout.flush()
        if count == options.n:
            break
    return OK
