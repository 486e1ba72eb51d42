"""Commands that read and change the contents of a namespace."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from botwire import History, Item, Memory
from botwire.cli.exits import NO, OK
from botwire.cli.moments import add_at, memory_at
from botwire.cli.options import (
    add_command,
    add_json,
    add_namespace,
    add_place,
    open_memory,
    positive,
)
from botwire.cli.output import author_of, print_json, print_rows, say, show, time_of, value_of
from botwire.errors import ConfigurationError
from botwire.messages import Message, UnreadableItemError
from botwire.pieces import unique


def add_commands(commands: Any) -> None:
    """Adds the commands to the command line."""
    get = _command(commands, "get", _get, "print the value of a key as JSON, or its raw bytes")
    get.add_argument("key")
    add_at(get)

    put = _command(commands, "set", _set, "set a key")
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

    keys = _command(commands, "ls", _list, "list keys, one per line")
    keys.add_argument("prefix", nargs="?", default="", help="only keys that start with this")
    keys.add_argument("-l", "--long", action="store_true", help="show versions, times and sizes")
    keys.add_argument(
        "--by",
        choices=["name", "updated"],
        default="name",
        help="list keys by name, or the most recently set first (default: %(default)s)",
    )
    add_at(keys)

    history = _command(commands, "history", _history, "print a history, one item per line")
    history.add_argument("name", nargs="?", help="the history; without it, list all histories")
    history.add_argument(
        "-n", type=positive, metavar="N", help="only the last N items, or the first N histories"
    )
    history.add_argument(
        "--after", type=int, default=0, metavar="SEQ", help="only items after this number"
    )
    history.add_argument(
        "--author",
        metavar="NAME",
        help="only items that this agent, framework, run or API key wrote",
    )
    history.add_argument("--archived", action="store_true", help="include archived items")
    history.add_argument(
        "--by",
        choices=["name", "updated"],
        default="name",
        help="list histories by name, or the most recently updated first (default: %(default)s)",
    )
    history.add_argument(
        "--where",
        metavar="FILTER",
        help="list only histories whose metadata matches this filter (JSON)",
    )
    add_at(history)

    search = _command(commands, "search", _search, "search the text of records, best match first")
    search.add_argument("text")
    search.add_argument(
        "--collection", default="default", help="collection to search (default: %(default)s)"
    )
    search.add_argument("--scope", help="only records at or below this path")
    search.add_argument(
        "--tag", action="append", help="only records with one of these tags; may be repeated"
    )
    search.add_argument(
        "--filter", metavar="JSON", help='only matching metadata: {"year": {"$gte": 2020}}'
    )
    search.add_argument(
        "-n", type=positive, default=10, metavar="N", help="most matches to print (%(default)s)"
    )
    add_at(search)

    keep = _command(commands, "remember", _remember, "remember a text, and print its id")
    keep.add_argument("text")
    keep.add_argument(
        "--about", default="/", metavar="PATH", help="who or what it is about, as a path"
    )
    keep.add_argument("--tag", action="append", default=[], help="may be repeated")
    keep.add_argument("--id", help="your own id; replaces a memory with the same id")
    keep.add_argument("--ttl", type=float, metavar="SECONDS", help="seconds until it expires")

    recall = _command(commands, "recall", _recall, "print the memories that answer a question")
    recall.add_argument("query", nargs="?", help="the question; without it, the newest memories")
    recall.add_argument("--about", metavar="PATH", help="only memories at or below this path")
    recall.add_argument(
        "--tag", action="append", help="only memories with one of these tags; may be repeated"
    )
    recall.add_argument(
        "-n", type=positive, default=8, metavar="N", help="most memories to print (%(default)s)"
    )
    recall.add_argument(
        "--max-chars", type=positive, metavar="N", help="most characters of their texts in all"
    )
    add_at(recall)

    remove = _command(commands, "rm", _remove, "delete keys, histories or collections of records")
    remove.add_argument("names", nargs="+", metavar="name")
    what = remove.add_mutually_exclusive_group()
    what.add_argument("--history", action="store_true", help="the names are histories")
    what.add_argument("--collection", action="store_true", help="the names are collections")

    watch = _command(commands, "watch", _watch, "print each change as it happens, until Ctrl-C")
    watch.add_argument("prefix", nargs="?", default="", help="only names that start with this")
    watch.add_argument("--after", type=int, metavar="REVISION", help="start after this revision")
    watch.add_argument("-n", type=positive, metavar="N", help="stop after N changes")


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, run, text)
    add_place(parser)
    add_namespace(parser)
    add_json(parser)
    return parser


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
        value = sys.stdin.read() if options.value == "-" else options.value
        if not options.text:
            value = _from_json(value, "the value", ": quote text twice, '\"a\"', or use --text")
    memory = open_memory(options)
    version = memory.set(options.key, value, ttl=options.ttl, if_version=options.if_version)
    if options.json:
        print_json({"key": options.key, "version": version})
    return OK


def _read_bytes(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _from_json(text: str, what: str, hint: str = "") -> Any:
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{what} is not JSON ({error}){hint}") from None


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


def _history(options: argparse.Namespace) -> int:
    memory = memory_at(options)
    if options.name is None:
        if options.author is not None:
            raise ConfigurationError("--author selects items: name the history to read")
        columns = ["name", "count", "archived", "last_seq", "updated_at", "metadata"]
        listed = memory.list_histories(
            order=options.by,
            descending=options.by == "updated",
            limit=options.n,
            where=None if options.where is None else _from_json(options.where, "--where"),
        )
        rows = (
            {
                **info._asdict(),
                "created_at": time_of(info.created_at),
                "updated_at": time_of(info.updated_at),
                "expires_at": time_of(info.expires_at),
            }
            for info in listed
        )
        print_rows(columns, rows, as_json=options.json)
        return OK
    history = memory.history(options.name)
    if history.info().created_at is None:
        say(f"no history {options.name!r}")
        return NO
    items = _items(history, options)
    if options.json:
        print_rows([], (_item(item) for item in items), as_json=True)
    elif sys.stdout.isatty():
        rows = (
            {**_item(item), "author": str(item.author or ""), "item": _summary(item)}
            for item in items
        )
        print_rows(["seq", "created_at", "author", "item"], rows, as_json=False)
    else:
        for item in items:
            print_json(item.value)
    return OK


def _items(history: History, options: argparse.Namespace) -> Iterator[Item]:
    after = options.after
    if options.n is not None:
        newest = itertools.takewhile(
            lambda item: item.seq > after, history.newest_first(archived=options.archived)
        )
        chosen = itertools.islice(_by(newest, options.author), options.n)
        yield from reversed(list(chosen))
        return
    while page := history.read(after, 1000, archived=options.archived):
        yield from _by(page, options.author)
        after = page[-1].seq


def _by(items: Iterable[Item], name: str | None) -> Iterator[Item]:
    """Yields the items whose author has this name, or all items for None."""
    for item in items:
        if name is None or (item.author is not None and item.author.goes_by(name)):
            yield item


def _item(item: Item) -> dict[str, Any]:
    return {
        "seq": item.seq,
        "id": item.id,
        "value": item.value,
        "created_at": time_of(item.created_at),
        "version": item.version,
        "author": author_of(item.author),
    }


def _summary(item: Item) -> str:
    """Returns an item as text for a terminal; for a message, its speaker and text."""
    try:
        message = Message.from_item(item.value)
    except UnreadableItemError:
        return json.dumps(item.value)
    calls = "".join(f" → {call.name}({json.dumps(call.arguments)})" for call in message.tool_calls)
    return f"{message.role}: {message.text}{calls}"


def _search(options: argparse.Namespace) -> int:
    records = memory_at(options).records(options.collection)
    wanted = None if options.filter is None else _from_json(options.filter, "--filter")
    found = records.search(
        text=options.text,
        filter=wanted,
        scope=options.scope,
        tags=options.tag,
        limit=options.n,
        embeddings=False,
    )
    rows = (
        {
            "score": match.score,
            "id": match.record.id,
            "scope": match.record.scope,
            "text": match.record.text,
            "metadata": match.record.metadata,
            "tags": list(match.record.tags),
            "created_at": time_of(match.record.created_at),
            "author": author_of(match.record.author),
        }
        for match in found
    )
    return OK if print_rows(["score", "id", "scope", "text"], rows, as_json=options.json) else NO


def _remember(options: argparse.Namespace) -> int:
    id = open_memory(options).remember(
        options.text, about=options.about, tags=options.tag, id=options.id, ttl=options.ttl
    )
    if options.json:
        print_json({"id": id})
    else:
        print(show(id))
    return OK


def _recall(options: argparse.Namespace) -> int:
    found = memory_at(options).recall(
        options.query,
        about=options.about,
        tags=options.tag,
        limit=options.n,
        max_chars=options.max_chars,
    )
    if not found:
        say(str(found))
        return NO
    scores = found.scores or (None,) * len(found)
    rows = (
        {
            "id": record.id,
            "about": record.scope,
            "text": record.text,
            "tags": list(record.tags),
            "created_at": time_of(record.created_at),
            "score": score,
        }
        for record, score in zip(found, scores, strict=True)
    )
    print_rows(["id", "about", "text"], rows, as_json=options.json)
    return OK


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
