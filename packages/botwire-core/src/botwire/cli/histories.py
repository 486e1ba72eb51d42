"""The command that lists histories and prints one."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from botwire import History, Item, Memory
from botwire.cli.exits import NO, OK
from botwire.cli.moments import add_at, memory_at
from botwire.cli.options import add_memory_command, positive, read_json
from botwire.cli.output import author_of, print_json, print_rows, say, time_of
from botwire.errors import ConfigurationError
from botwire.messages import Message, UnreadableItemError


def add_commands(commands: Any) -> None:
    """Adds the commands to the command line."""
    history = add_memory_command(
        commands, "history", _history, "print a history, one item per line"
    )
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


def _history(options: argparse.Namespace) -> int:
    memory = memory_at(options)
    if options.name is None:
        return _list(memory, options)
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


def _list(memory: Memory, options: argparse.Namespace) -> int:
    if options.author is not None:
        raise ConfigurationError("--author selects items: name the history to read")
    columns = ["name", "count", "archived", "last_seq", "updated_at", "metadata"]
    listed = memory.list_histories(
        order=options.by,
        descending=options.by == "updated",
        limit=options.n,
        where=None if options.where is None else read_json(options.where, "--where"),
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
