"""Reads the contents of a namespace in pages, each as of its own moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.transfer.lines import Line

R = TypeVar("R")

_FIRST = 16  # entries in the first page, while their size is unknown
_BYTES = 2 * 1024 * 1024  # approximate size of a page


def apply(engine: Engine, namespace: str, operation: ops.AnyOperation) -> Any:
    """Applies one operation and returns its result."""
    return engine.apply(ops.Batch(namespace, (operation,)))[0]


def read_pages(engine: Engine, namespace: str, operation: ops.Paged[R]) -> Iterator[R]:
    """Yields the page that an operation reads, then all following pages."""
    following: ops.Paged[R] | None = operation
    while following is not None:
        page: R = apply(engine, namespace, following)
        yield page
        following = following.following(page)


class Pages:
    """Reads a namespace in pages of about the same size in bytes.

    Args:
        engine: The store.
        namespace: The namespace.
    """

    def __init__(self, engine: Engine, namespace: str) -> None:
        self._engine = engine
        self._namespace = namespace
        self._limits: dict[type[ops.Paged[Any]], int] = {}

    def everything(self) -> Iterator[Line]:
        """Yields all lines of the namespace except its own, in export order."""
        yield from self.keys()
        yield from self.histories()
        yield from self.collections()

    def keys(self, prefix: str = "") -> Iterator[Line]:
        """Yields the keys that start with `prefix`."""
        for entry in self._read(ops.ScanKeys(prefix)):
            yield Line(self._namespace, entry)

    def histories(self, given: tuple[str, ...] | None = None) -> Iterator[Line]:
        """Yields the given histories, or all for None, each followed by its items."""
        for state in self._read(ops.DumpHistories(given)):
            yield Line(self._namespace, state)
            for item in self._read(ops.ReadHistory(state.name, archived=True)):
                yield Line(self._namespace, item, state.name)

    def collections(self, given: tuple[str, ...] | None = None) -> Iterator[Line]:
        """Yields the given collections, or all for None, each followed by its records."""
        for state in self._read(ops.DumpCollections(given)):
            yield Line(self._namespace, state)
            for record in self._read(ops.DumpRecords(state.name)):
                yield Line(self._namespace, record, state.name)

    def _read(self, operation: ops.Paged[Any]) -> Iterator[Any]:
        """Yields the elements of all pages, which an operation of this class reads."""
        following: Any = operation
        while following is not None:
            limit = self._limits.get(type(operation), _FIRST)
            page = apply(self._engine, self._namespace, replace(following, limit=limit))
            elements = page[0]
            yield from elements
            if elements:
                fitting = _BYTES * len(elements) // max(1, sum(map(size_of, elements)))
                self._limits[type(operation)] = max(1, min(ops.MAX_PAGE, fitting, limit * 4))
            following = following.following(page)


def size_of(entry: Any) -> int:
    """Returns the approximate size of an entry in bytes."""
    if isinstance(entry, ops.KeyEntry):
        value = entry.value
        return len(value) if isinstance(value, bytes) else len(value.text)
    if isinstance(entry, ops.HistoryItem):
        return len(entry.value.text)
    if isinstance(entry, ops.RecordEntry):
        raw = b"" if entry.embedding is None else entry.embedding.raw
        return len(entry.text) + len(entry.metadata.text) + len(raw)
    return 100
