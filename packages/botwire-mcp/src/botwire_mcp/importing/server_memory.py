"""Reads the knowledge graph of `@modelcontextprotocol/server-memory`, a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botwire_mcp.importing.found import Contents, read_text

SOURCE = "server-memory"

_FIELDS: Mapping[str, Mapping[str, type]] = {
    "entity": {"name": str, "entityType": str, "observations": list},
    "relation": {"from": str, "to": str, "relationType": str},
}


def is_line(line: str) -> bool:
    """Returns whether a line belongs to such a file."""
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("type") in _FIELDS


def read(path: Path) -> Contents:
    """Returns a note per observation and relation, and one per entity without either.

    Args:
        path: The file, usually named ``memory.jsonl``.
    """
    found = Contents(SOURCE)
    lines = _lines(path, found)
    about: dict[str, str] = {}
    for _, line in lines:
        if line["type"] == "entity":
            about.setdefault(line["name"], f"/{line['entityType']}/{line['name']}")
    for number, line in lines:
        if line["type"] == "relation":
            _add_relation(found, path, number, line, about.get(line["from"], f"/{line['from']}"))
        else:
            _add_entity(found, path, number, line)
    return found


def _lines(path: Path, found: Contents) -> list[tuple[int, dict[str, Any]]]:
    lines = []
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except ValueError as error:
            found.fault(path, number, f"this is not a line of JSON ({error})")
            continue
        why = _wrong(value)
        if why is None:
            lines.append((number, value))
        else:
            found.fault(path, number, why)
    return lines


def _wrong(value: Any) -> str | None:
    """Returns the fault in a line, if any."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        return "this is neither an entity nor a relation"
    for name, wanted in _FIELDS[kind].items():
        if not isinstance(value.get(name), wanted):
            what = "a list of strings" if wanted is list else "a string"
            return f"{name} of this {kind} must be {what}"
    if not all(isinstance(one, str) for one in value.get("observations", ())):
        return "observations of this entity must be a list of strings"
    return None


def _add_entity(found: Contents, path: Path, number: int, line: dict[str, Any]) -> None:
    name, kind = line["name"], line["entityType"]
    known = {"entity": name, "entity_type": kind}
    about = f"/{kind}/{name}"
    tags = [kind] if kind else []
    found.count("entities")
    for observation in line["observations"]:
        found.count("observations")
        found.add_note(
            path,
            number,
            ["observation", name, kind, observation],
            f"{name}: {observation}",
            about=about,
            tags=tags,
            metadata={**known, "observation": observation},
        )
    if not line["observations"]:
        identity = ["entity", name, kind]
        text = f"{name} ({kind})"
        found.add_note(path, number, identity, text, about=about, tags=tags, metadata=known)


def _add_relation(
    found: Contents, path: Path, number: int, line: dict[str, Any], about: str
) -> None:
    start, verb, end = line["from"], line["relationType"], line["to"]
    found.count("relations")
    found.add_note(
        path,
        number,
        ["relation", start, verb, end],
        f"{start} {verb.replace('_', ' ')} {end}",
        about=about,
        tags=["relation"],
        metadata={"from": start, "relation": verb, "to": end},
    )
