"""Reads an export of mem0: the result of `get_all`, as JSON or as one line per memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from botwire_mcp.importing.found import Contents, read_text

SOURCE = "mem0"

_OWNERS = {"user_id": "users", "agent_id": "agents", "app_id": "apps", "run_id": "runs"}
_KEPT = ("user_id", "agent_id", "app_id", "run_id", "actor_id", "metadata", "updated_at")
_LISTS = ("results", "memories")
_SPACE = re.compile(r"[\s,]*")


def read(path: Path) -> Contents:
    """Returns a note per memory, with its creation time.

    Args:
        path: The file.
    """
    found = Contents(SOURCE)
    for line, memory in _memories(path, found):
        if isinstance(memory, dict) and "relationship" in memory:
            _add_relation(found, path, line, memory)
        else:
            _add_memory(found, path, line, memory)
    return found


def _memories(path: Path, found: Contents) -> Iterator[tuple[int, Any]]:
    """Yields each memory with its line."""
    text = read_text(path).removeprefix("\ufeff")
    try:
        whole = json.loads(text)
    except ValueError as error:
        lines = text.split("\n")
        if sum(map(_is_object, lines)) > 0:
            yield from _from_lines(path, lines, found)
        else:
            line = getattr(error, "lineno", 1)
            found.fault(path, line, f"this is not JSON ({error})")
        return
    if isinstance(whole, list):
        yield from _elements(text, text.index("["))
        return
    lists = [name for name in _LISTS if isinstance(whole, dict) and name in whole]
    if not lists:
        if isinstance(whole, dict) and ("memory" in whole or "text" in whole):
            yield 1, whole
            return
        found.fault(path, 1, "this is not an export of mem0: save what get_all() returns")
        return
    for name in (*lists, "relations"):
        if not whole.get(name):
            continue
        if not isinstance(whole[name], list):
            found.fault(path, 1, f"{name} must be a list")
            continue
        yield from _located(text, name, whole[name])


def _located(text: str, name: str, values: list[Any]) -> Iterator[tuple[int, Any]]:
    """Yields the elements of a list in an object, each with its line."""
    for match in re.finditer(rf'"{name}"\s*:\s*\[', text):
        elements = list(_elements(text, match.end() - 1))
        if [value for _, value in elements] == values:
            yield from elements
            return
    yield from ((1, value) for value in values)  # the name is written with escapes


def _elements(text: str, start: int) -> Iterator[tuple[int, Any]]:
    """Yields the elements of the list that starts at an index, each with its line."""
    decoder = json.JSONDecoder()
    at = start + 1
    while True:
        skipped = _SPACE.match(text, at)
        assert skipped is not None  # it also matches an empty text
        at = skipped.end()
        if text[at] == "]":
            return
        value, end = decoder.raw_decode(text, at)
        yield text.count("\n", 0, at) + 1, value
        at = end


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _from_lines(path: Path, lines: list[str], found: Contents) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError as error:
            found.fault(path, number, f"this is not a line of JSON ({error})")


def _add_memory(found: Contents, path: Path, line: int, memory: Any) -> None:
    if not isinstance(memory, dict):
        found.fault(path, line, "a memory must be an object")
        return
    text = memory.get("memory", memory.get("text"))
    if not isinstance(text, str):
        found.fault(path, line, "a memory must have its text in `memory`")
        return
    about = "/"
    for name, folder in reversed(_OWNERS.items()):
        owner = memory.get(name)
        if owner is not None and not isinstance(owner, str):
            found.fault(path, line, f"{name} must be a string")
            return
        if owner:
            about = f"/{folder}/{owner}"
    tags = memory.get("categories") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        found.fault(path, line, "categories must be a list of strings")
        return
    created_at = memory.get("created_at")
    try:
        moment = None if not created_at else datetime.fromisoformat(created_at)
    except (TypeError, ValueError):
        found.fault(path, line, f"created_at is not a time in ISO 8601: {created_at!r:.80}")
        return
    id = memory.get("id")
    found.count("memories")
    found.add_note(
        path,
        line,
        ["memory", id] if id is not None else ["text", about, text],
        text,
        about=about,
        tags=tags,
        metadata={name: memory[name] for name in ("id", *_KEPT) if memory.get(name) is not None},
        created_at=moment,
    )


def _add_relation(found: Contents, path: Path, line: int, relation: dict[str, Any]) -> None:
    start, verb = relation.get("source"), relation["relationship"]
    end = relation.get("target", relation.get("destination"))
    if not (isinstance(start, str) and isinstance(verb, str) and isinstance(end, str)):
        found.fault(path, line, "a relation must have a source, a relationship and a target")
        return
    found.count("relations")
    found.add_note(
        path,
        line,
        ["relation", start, verb, end],
        f"{start} {verb.replace('_', ' ')} {end}",
        about="/",
        tags=["relation"],
        metadata={"from": start, "relation": verb, "to": end},
    )
