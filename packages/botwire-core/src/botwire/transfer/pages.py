"""Reads the contents of a namespace in pages, each as of its own moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.errors import PayloadTooLargeError
from botwire.transfer.change_log import ChangeLog
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

    Each page comes with what has changed since the one before, so that the log of changes is
    followed however long reading takes.

    Args:
        engine: The store.
        namespace: The namespace.
        log: Its log of changes.
    """

    def __init__(self, engine: Engine, namespace: str, log: ChangeLog) -> None:
        self._engine = engine
        self._namespace = namespace
        self._log = log
        self._limits: dict[type[ops.Paged[Any]], int] = {}

    @property
    def revision(self) -> int:
        """The revision up to which changes are known."""
        return self._log.revision

    def everything(self) -> Iterator[Line]:
        """Yields all lines of the namespace except its own, in export order."""
        yield from self.keys()
        for history in self._read(ops.DumpHistories()):
            yield Line(self._namespace, history)
            yield from self.items(history.name)
        for collection in self._read(ops.DumpCollections()):
            yield Line(self._namespace, collection)
            yield from self.records(collection.name)

    def keys(self, prefix: str = "") -> Iterator[Line]:
        """Yields the keys that start with `prefix`."""
        for entry in self._read(ops.ScanKeys(prefix)):
            yield Line(self._namespace, entry)

    def items(self, history: str, after: int = 0) -> Iterator[Line]:
        """Yields the items of a history, archived ones too, that follow a sequence number."""
        for item in self._read(ops.ReadHistory(history, after=after, archived=True)):
            yield Line(self._namespace, item, history)

    def records(self, collection: str) -> Iterator[Line]:
        """Yields the records of a collection by id."""
        for record in self._read(ops.DumpRecords(collection)):
            yield Line(self._namespace, record, collection)

    def records_since(self, collection: str, revision: int) -> Iterator[Line]:
        """Yields the records written after a revision, by version."""
        for record in self._read(ops.DumpRecordsSince(collection, revision)):
            yield Line(self._namespace, record, collection)

    def record_ids(self, collection: str) -> Iterator[str]:
        """Yields the ids of a collection's records."""
        return self._read(ops.DumpRecordIds(collection))

    def _read(self, operation: ops.Paged[Any]) -> Iterator[Any]:
        """Yields the elements of all pages, which an operation of this class reads."""
        following: Any = operation
        while following is not None:
            limit = self._limits.get(type(operation), _FIRST)
            page = self._apply(replace(following, limit=limit))
            elements = page[0]
            yield from elements
            if elements:
                fitting = _BYTES * len(elements) // max(1, sum(map(size_of, elements)))
                self._limits[type(operation)] = max(1, min(ops.MAX_PAGE, fitting, limit * 4))
            following = following.following(page)

    def _apply(self, operation: ops.AnyOperation) -> Any:
        asked = (self._log.ask(), operation)
        try:
            changes, page = self._engine.apply(ops.Batch(self._namespace, asked))
        except PayloadTooLargeError:  # together; one operation alone always has room for an element
            changes, page = (apply(self._engine, self._namespace, one) for one in asked)
        self._log.take(changes)
        return page


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
