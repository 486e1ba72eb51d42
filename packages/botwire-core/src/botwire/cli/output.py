"""Prints the output of commands: tables for people, JSON or tab-separated lines for programs.

On a terminal, rows are a table with a heading; elsewhere, tab-separated lines without a heading.
With ``--json`` they are objects, one per line. Data goes to standard output, messages and progress
to standard error.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Self

from botwire import Author
from botwire.clock import from_datetime, to_iso
from botwire.transfer import Tally
from botwire.transfer.progress import REPORT_EVERY

_MEASURED = 200  # rows that determine the widths of a table's columns
_WIDEST = 60  # most characters to pad a column to
_REDRAWN_EVERY = 0.2  # seconds


def escape_output() -> None:
    """Makes standard output escape what its encoding lacks, instead of raising an error.

    Pipes and consoles of Windows, and of systems without a locale, lack most of Unicode.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and not _has_all_of_unicode():
        sys.stdout.reconfigure(errors="backslashreplace")


def _has_all_of_unicode() -> bool:
    return (sys.stdout.encoding or "ascii").lower().startswith("utf")


def say(text: str) -> None:
    """Prints a message to standard error."""
    print(f"botwire: {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Prints a value as one line of JSON."""
    text = json.dumps(value, ensure_ascii=not _has_all_of_unicode())
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        text = json.dumps(value)  # UTF-8 cannot encode lone surrogates; JSON escapes can
    print(text)


def show(text: str) -> str:
    """Returns a name that fits on one line, as JSON if it has line breaks or the like."""
    return text if text.isprintable() else json.dumps(text)


def print_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> int:
    """Prints rows as they arrive and returns their number.

    Args:
        columns: The fields that a table shows. JSON has all fields.
        rows: The rows.
        as_json: Whether to print JSON objects.
    """
    count = 0
    if as_json:
        for row in rows:
            print_json(row)
            count += 1
        return count
    lines = ([_cell(row.get(column)) for column in columns] for row in rows)
    if not sys.stdout.isatty():
        for line in lines:
            print("\t".join(line))
            count += 1
        return count
    first = list(itertools.islice(lines, _MEASURED))
    if not first:
        return 0
    heading = [column.replace("_", " ").upper() for column in columns]
    widths = [min(_WIDEST, max(map(len, cells))) for cells in zip(heading, *first, strict=True)]
    for line in itertools.chain([heading], first, lines):
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(padded).rstrip())
        count += 1
    return count - 1


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return show(value if isinstance(value, str) else json.dumps(value))


def time_of(moment: datetime | None) -> str | None:
    """Returns a time in printed form."""
    return None if moment is None else to_iso(from_datetime(moment))


def value_of(value: Any) -> dict[str, Any]:
    """Returns the field that prints a value."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    return {"value": value}


def author_of(author: Author | None) -> dict[str, str] | None:
    """Returns the known fields of an author, in printed form."""
    if author is None:
        return None
    return {name: part for name, part in asdict(author).items() if part is not None}


def count_of(number: int, what: str) -> str:
    """Returns a number with a noun, in the plural unless the number is 1."""
    if number != 1:
        what = what[:-1] + "ies" if what.endswith(("ry", "cy")) else what + "s"
    return f"{number:,} {what}"


class ProgressLine:
    """Shows the progress of a long command on one line of a terminal; elsewhere, shows nothing.

    Args:
        what: The name of the command.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()
        self._began = self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __call__(self, tally: Tally) -> None:
        """Shows how much was transferred so far."""
        ahead = f", {tally.ahead:,} read ahead" if tally.ahead >= REPORT_EVERY else ""
        moved = f"{count_of(tally.lines, 'line')} of {count_of(tally.namespace, 'namespace')}"
        self._draw(moved + ahead)

    def part(self, done: int, total: int) -> None:
        """Shows how much of the total is done."""
        bar = "#" * (30 * done // max(1, total))
        self._draw(f"[{bar:30}] {100 * done // max(1, total)} %")

    def _draw(self, text: str) -> None:
        now = time.monotonic()
        if self._shown and now - self._drawn >= _REDRAWN_EVERY:
            self._drawn = now
            line = f"\r\x1b[K{self._what}: {text}, {now - self._began:.0f} s"
            print(line, end="", file=sys.stderr, flush=True)
