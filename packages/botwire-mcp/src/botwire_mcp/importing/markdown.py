"""Reads folders of Markdown, as written by basic-memory and Obsidian.

Each document becomes a file of the tool `memory`, word for word. Its observations
(``- [category] text #tag (context)``), its relations (``- relates_to [[Other]] (context)``) and the
texts under its headings become notes, so that `recall` finds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botwire.errors import ConfigurationError
from botwire_mcp.importing.found import Contents, read_text

SOURCE = "markdown"
ENDINGS = (".md", ".markdown")

_PART = 4_000  # most characters per note when splitting a long text
_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)\s*#*\s*")
_ITEM = re.compile(r"\s*[-*+]\s+(.*)")
_OBSERVATION = re.compile(r"\[([^\[\]()]+)\]\s+(.+)", re.DOTALL)
_RELATION = re.compile(
    r"""(?:"([^"]+)"|'([^']+)'|([^\s\["']+))\s+\[\[([^\[\]]+)\]\]\s*(?:\(([^()]*)\))?""", re.DOTALL
)
_CLOCK = re.compile(r"\d{1,3}:\d{2}(:\d{2})?([.,]\d{1,3})?(\s+-\s+.*)?")
_CONTEXT = re.compile(r"(.*\S)\s*\(([^()]*)\)", re.DOTALL)
_TAG = re.compile(r"(?:^|\s)#([^\s#]+)")


@dataclass
class _Document:
    """A document and its parts.

    Attributes:
        path: The file.
        name: Its path in the folder, separated by ``/``.
        title: Its title, or its file's name.
        tags: The tags of its front matter.
        first: The number of the first line after the front matter.
        lines: The lines from that one on.
        known: The metadata that each of its notes gets.
    """

    path: Path
    name: str
    title: str
    tags: list[str]
    first: int
    lines: list[str]
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> str:
        return "/" + self.name.rpartition(".")[0]


def read(path: Path) -> Contents:
    """Returns the files and notes of a folder, or of one document.

    Args:
        path: The folder, or the document. Hidden files and folders are left out.
    """
    found = Contents(SOURCE)
    root = path if path.is_dir() else path.parent
    for one in _documents(path):
        try:
            text = read_text(one)
        except ConfigurationError as error:
            found.faults.append(str(error))
            continue
        name = one.relative_to(root).as_posix()
        document = _parse(found, one, name, text.removeprefix("\ufeff"))
        if document is None:
            continue
        found.count("documents")
        found.add_file(one, name, text)
        _add_notes(found, document)
    if not found.counts and not found.faults:
        raise ConfigurationError(f"{path} has no Markdown files ({', '.join(ENDINGS)})")
    return found


def _documents(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for one in sorted(path.rglob("*")):
        is_hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
        if one.suffix.lower() in ENDINGS and not is_hidden and one.is_file():
            yield one


def _parse(found: Contents, path: Path, name: str, text: str) -> _Document | None:
    """Returns a document; None, and a fault, if its front matter cannot be read."""
    # Hooks import this module too, and need none of it.
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no types of its own

    lines = re.split(r"\r\n|\n|\r", text)
    about: dict[str, Any] = {}
    first = 1
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if lines and lines[0].rstrip() == "---" and end is not None:
        first = end + 2
        try:
            about = yaml.safe_load("\n".join(lines[1:end])) or {}
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = 2 + (mark.line if mark is not None else 0)
            why = getattr(error, "problem", None) or error
            found.fault(path, line, f"this front matter is not YAML ({why})")
            return None
        if not isinstance(about, dict):
            found.fault(path, 2, "the front matter must have a name and a value per line")
            return None
    tags = about.get("tags") or []
    if isinstance(tags, str):
        tags = tags.split(",")
    if not isinstance(tags, list):
        found.fault(path, 2, "tags must be a list")
        return None
    tags = [tag for tag in (str(one).strip().removeprefix("#") for one in tags) if tag]
    title = str(about.get("title") or Path(name).stem)
    known = {"file": name, "title": title}
    for field_name in ("type", "permalink"):
        if about.get(field_name):
            known[field_name] = str(about[field_name])
    return _Document(path, name, title, tags, first, lines[first - 1 :], known)


def _add_notes(found: Contents, document: _Document) -> None:
    seen: dict[tuple[str, str], int] = {}
    for line, kind, heading, text in _blocks(document):
        # The same text may occur twice; the second one is always the second note.
        again = seen[kind, text] = seen.get((kind, text), -1) + 1
        identity = [document.name, kind, text, again]
        if kind == "item" and (match := _RELATION.fullmatch(text)):
            _add_relation(found, document, line, identity, match)
        elif kind == "item":
            _add_observation(found, document, line, identity, text)
        else:
            title = f"{document.title} / {heading}" if heading else document.title
            known = {**document.known, **({"heading": heading} if heading else {})}
            found.count("texts")
            found.add_note(
                document.path,
                line,
                identity,
                f"{title}\n{text}",
                about=document.about,
                tags=document.tags,
                metadata=known,
            )


def _add_relation(
    found: Contents, document: _Document, line: int, identity: list[Any], match: re.Match[str]
) -> None:
    verb = match[1] or match[2] or match[3]
    target, context = match[4].strip(), (match[5] or "").strip()
    text = f"{document.title} {verb.replace('_', ' ')} {target}"
    found.count("relations")
    found.add_note(
        document.path,
        line,
        identity,
        f"{text} ({context})" if context else text,
        about=document.about,
        tags=[*document.tags, "relation"],
        metadata={**document.known, "relation": verb, "to": target},
    )


def _add_observation(
    found: Contents, document: _Document, line: int, identity: list[Any], text: str
) -> None:
    match = _OBSERVATION.fullmatch(text)
    category, content = (match[1].strip(), match[2]) if match else ("", text)
    with_context = _CONTEXT.fullmatch(content)
    body, context = (with_context[1], with_context[2]) if with_context else (content, "")
    known = {**document.known, "observation": body}
    known |= {"category": category} if category else {}
    known |= {"context": context} if context else {}
    found.count("observations")
    found.add_note(
        document.path,
        line,
        identity,
        f"{document.title}: {content}",
        about=document.about,
        tags=[*document.tags, *([category] if category else []), *_TAG.findall(content)],
        metadata=known,
    )


def _blocks(document: _Document) -> Iterator[tuple[int, str, str, str]]:
    """Yields observations, relations and texts: each with its line, kind, heading and text."""
    heading, fence = "", ""
    prose: list[str] = []
    started = document.first
    item: list[str] = []
    item_line = 0

    def end_item() -> Iterator[tuple[int, str, str, str]]:
        if item:
            yield item_line, "item", heading, " ".join(item)
            item.clear()

    def end_prose() -> Iterator[tuple[int, str, str, str]]:
        for part in _parts("\n".join(prose).strip()):
            yield started, "text", heading, part
        prose.clear()

    for number, line in enumerate(document.lines, document.first):
        if not prose:
            started = number
        fences = _FENCE.match(line)
        if fences and (not fence or fences[1] == fence):
            fence = "" if fence else fences[1]
        found_heading = None if fence or fences else _HEADING.fullmatch(line)
        found_item = None if fence or fences else _ITEM.fullmatch(line)
        if item and line[:1].isspace() and line.strip() and not found_item:
            item.append(line.strip())  # the item continues
            continue
        yield from end_item()
        if found_heading:
            yield from end_prose()
            heading = found_heading[1]
        elif found_item and _means_something(found_item[1].strip()):
            item, item_line = [found_item[1].strip()], number
        else:
            prose.append(line)
    yield from end_item()
    yield from end_prose()


def _means_something(item: str) -> bool:
    """Returns whether basic-memory reads a list item as an observation or a relation."""
    if _RELATION.fullmatch(item):
        return True
    match = _OBSERVATION.match(item)
    if match is None:
        return bool(_TAG.search(item)) and not item.startswith("[")
    category = match[1].strip()
    is_task = len(category) == 1 and (category in "xX" or not category.isalnum())
    return bool(category) and not is_task and not _CLOCK.fullmatch(category)


def _parts(text: str) -> Iterator[str]:
    """Yields a text in parts short enough for a note, split between paragraphs."""
    part = ""
    for paragraph in re.split(r"\n\s*\n", text):
        rest = paragraph
        if part and len(part) + len(rest) > _PART:
            yield part
            part = ""
        while len(rest) > _PART:
            yield rest[:_PART]
            rest = rest[_PART:]
        part = f"{part}\n\n{rest}" if part else rest
    if part.strip():
        yield part
