"""Keeps lines until they are needed: the first few in memory, the others in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Self

from botwire.transfer.lines import Line, decode, kind_of, to_text
from botwire.transfer.pages import size_of

_IN_MEMORY = 8 * 1024 * 1024  # bytes spooled before a temporary file is used
_OBJECT = 800  # approximate overhead of a line in memory, in bytes
_CHUNK = 64 * 1024  # bytes of the file read at a time
_FILE = 2**62

Extent = tuple[int, int]
"""The positions where some spooled lines begin and end."""


class Spool:
    """Spooled lines: the first few megabytes in memory, the rest in a temporary file.

    A position is the index of a line in memory, or `_FILE` plus the offset of a line in the file.
    """

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._size = 0
        self._file: IO[bytes] | None = None
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def _end(self) -> int:
        return len(self._lines) if self._file is None else _FILE + self._written

    def put(self, lines: Iterable[Line]) -> Extent:
        """Stores lines and returns the positions where they begin and end."""
        start = self._end
        if self._file is not None:
            self._file.seek(self._written)
        for line in lines:
            if self._file is None and self._size < _IN_MEMORY:
                self._lines.append(line)
                self._size += _OBJECT + size_of(line.entry)
                continue
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this
            self._written += self._file.write(to_text(line))
        return start, self._end

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """Yields the kind and the text of each line."""
        for line in self._lines:
            yield line.kind, to_text(line)
        if self._file is not None:
            self._file.seek(0)
            for text in self._file:
                yield kind_of(text), text

    def get(self, start: int = 0, end: int | None = None) -> Iterator[Line]:
        """Yields the lines between two positions; calls may be interleaved."""
        stop = self._end if end is None else end
        if start < _FILE:
            yield from self._lines[start:stop]
        at = max(start, _FILE)
        while self._file is not None and at < stop:
            self._file.seek(at - _FILE)
            for raw in self._file.readlines(_CHUNK):
                if at >= stop:
                    return
                at += len(raw)
                yield decode(raw)
