"""Writes lines into a store, in atomic batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botwire import operations as ops
from botwire.clock import now
from botwire.engines.protocol import Engine
from botwire.errors import ConfigurationError
from botwire.transfer.lines import Line, NamespaceState
from botwire.transfer.pages import size_of
from botwire.transfer.progress import Tally

BATCH_LINES = 500
BATCH_BYTES = 1024 * 1024
"""Limits of a batch, not counting names and times; a single line may exceed them."""

_LAST_SEQ = 2**63 - 1


# A run is a sequence of related entries: keys, or the entries of one history or collection. `after`
# is the last entry of an earlier batch. A closed run gets no further entries.


@dataclass
class _Keys:
    after: str | None = None
    entries: list[ops.KeyEntry] = field(default_factory=list)
    closed: bool = False

    @property
    def last(self) -> str | None:
        return self.entries[-1].key if self.entries else self.after

    def rest(self) -> _Keys:
        return _Keys(self.last)

    def operation(self, conflict: str, mirrored: int | None) -> ops.AnyOperation | None:
        span = _span(self, mirrored)
        if not self.entries and (span is None or not self.closed):
            return None
        return ops.RestoreKeys(tuple(self.entries), conflict, span)


@dataclass
class _History:
    state: ops.HistoryState
    after: int = 0
    entries: list[ops.HistoryItem] = field(default_factory=list)
    closed: bool = False

    @property
    def last(self) -> int:
        return self.entries[-1].seq if self.entries else self.after

    def rest(self) -> _History:
        return _History(self.state, self.last)

    def operation(self, conflict: str, mirrored: int | None) -> ops.AnyOperation | None:
        until = None
        if mirrored is not None:
            until = _LAST_SEQ if self.closed else self.last
        return ops.RestoreHistory(self.state, tuple(self.entries), conflict, self.after, until)


@dataclass
class _Collection:
    state: ops.CollectionState
    after: str | None = None
    entries: list[ops.RecordEntry] = field(default_factory=list)
    closed: bool = False

    @property
    def last(self) -> str | None:
        return self.entries[-1].id if self.entries else self.after

    def rest(self) -> _Collection:
        return _Collection(self.state, self.last)

    def operation(self, conflict: str, mirrored: int | None) -> ops.AnyOperation | None:
        span = _span(self, mirrored)
        return ops.RestoreRecords(self.state, tuple(self.entries), conflict, span)


def _span(run: _Keys | _Collection, mirrored: int | None) -> ops.Span | None:
    if mirrored is None or (not run.closed and not run.entries):
        return None
    return ops.Span(run.after, None if run.closed else run.last, mirrored)


class Restorer:
    """Takes the lines of one namespace after another, in export order.

    Args:
        engine: The store to write to.
        tally: Counts what was written, kept and removed.
        conflict: What to do about newer data; see `operations.CONFLICTS`.
        mirror: Whether to delete data that is not among the lines.
    """

    def __init__(
        self, engine: Engine, tally: Tally, *, conflict: str = ops.REFUSE, mirror: bool = False
    ) -> None:
        ops.check_conflict(conflict)
        self._engine = engine
        self._tally = tally
        self._conflict = conflict
        self._mirror = mirror
        self._namespace: str | None = None
        self._state = NamespaceState(0, 0)
        self._runs: list[_Keys | _History | _Collection] = []
        self._places: set[tuple[Any, ...]] = set()
        self._size = 0

    def add(self, line: Line) -> None:
        """Takes a line, and first writes the earlier ones if they fill a batch.

        Raises:
            ConfigurationError: The line cannot follow the one before it.
            ConflictError: The store has newer data, and `conflict` is ``refuse``.
        """
        entry = line.entry
        if isinstance(entry, NamespaceState):
            self.close()
            self._namespace, self._state, self._runs = line.namespace, entry, [_Keys()]
            return
        if line.namespace != self._namespace:
            raise ConfigurationError(
                f"it belongs to namespace {line.namespace!r:.80}, whose own line does not "
                "precede it"
            )
        size, place = size_of(entry), line.order
        full = len(self._places) >= BATCH_LINES or self._size + size > BATCH_BYTES
        if self._places and (full or place in self._places):
            self.flush()  # a file may repeat a line, a batch may not
        self._places.add(place)
        self._size += size
        run = self._runs[-1]
        if isinstance(entry, (ops.HistoryState, ops.CollectionState)):
            run.closed = True
            new = _History if isinstance(entry, ops.HistoryState) else _Collection
            self._runs.append(new(entry))  # type: ignore[arg-type]  # of the same kind
        elif isinstance(entry, ops.KeyEntry) and isinstance(run, _Keys):
            if entry.expires_at is not None and entry.expires_at <= now():
                self._tally.expired += 1
            else:
                run.entries.append(entry)
        elif isinstance(entry, ops.HistoryItem) and _is_of(run, _History, line.parent):
            run.entries.append(entry)  # type: ignore[arg-type]  # a history's
        elif isinstance(entry, ops.RecordEntry) and _is_of(run, _Collection, line.parent):
            run.entries.append(entry)  # type: ignore[arg-type]  # a collection's
        else:
            raise ConfigurationError(
                f"a line of type {line.kind!r} cannot follow the line before it"
            )

    def flush(self) -> None:
        """Writes the lines taken so far, in one batch."""
        if self._namespace is None:
            return
        operations: list[ops.AnyOperation] = [ops.RestoreNamespace(*self._state)]
        mirrored = self._state.revision if self._mirror else None
        for run in self._runs:
            operation = run.operation(self._conflict, mirrored)
            if operation is not None:
                operations.append(operation)
        _, *results = self._engine.apply(ops.Batch(self._namespace, tuple(operations)))
        for written, kept, removed in results:
            self._tally.written += written
            self._tally.kept += kept
            self._tally.removed += removed
        self._runs = [self._runs[-1].rest()]
        self._places.clear()
        self._size = 0

    def close(self) -> None:
        """Writes the remaining lines of the current namespace, and ends it."""
        if self._namespace is not None:
            self._runs[-1].closed = True
            self.flush()
            self._namespace = None


def _is_of(run: object, kind: type[_History | _Collection], name: str) -> bool:
    return isinstance(run, kind) and run.state.name == name
