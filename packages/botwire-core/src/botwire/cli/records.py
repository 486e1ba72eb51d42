"""Commands that search records, and remember and recall texts."""

from __future__ import annotations

import argparse
from typing import Any

from botwire.cli.exits import NO, OK
from botwire.cli.moments import add_at, memory_at
from botwire.cli.options import add_memory_command, open_memory, positive, read_json
from botwire.cli.output import author_of, print_json, print_rows, say, show, time_of


def add_commands(commands: Any) -> None:
    """Adds the commands to the command line."""
    search = add_memory_command(
        commands, "search", _search, "search the text of records, best match first"
    )
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

    keep = add_memory_command(commands, "remember", _remember, "remember a text, and print its id")
    keep.add_argument("text")
    keep.add_argument(
        "--about", default="/", metavar="PATH", help="who or what it is about, as a path"
    )
    keep.add_argument("--tag", action="append", default=[], help="may be repeated")
    keep.add_argument("--id", help="your own id; replaces a memory with the same id")
    keep.add_argument("--ttl", type=float, metavar="SECONDS", help="seconds until it expires")

    recall = add_memory_command(
        commands, "recall", _recall, "print the memories that answer a question"
    )
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


def _search(options: argparse.Namespace) -> int:
    records = memory_at(options).records(options.collection)
    wanted = None if options.filter is None else read_json(options.filter, "--filter")
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
