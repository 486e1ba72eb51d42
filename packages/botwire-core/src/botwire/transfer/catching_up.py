"""Rereads what has changed while a namespace was read, until everything is as of one moment."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.errors import ConflictError, PayloadTooLargeError
from botwire.names import from_bytes, to_bytes
from botwire.transfer.change_log import (
    CLEARED,
    COLLECTION,
    HISTORY,
    KEY,
    ChangeLog,
    LogLostError,
    Thing,
    Touch,
)
from botwire.transfer.lines import Line
from botwire.transfer.pages import Pages
from botwire.transfer.spooling import Extent, Spool

_ROUNDS = 100  # of rereading what has changed
_AT_ONCE = 200  # changed things reread in one batch
_MORE = 50  # new items or records of each


class _Copy(Protocol):
    """The current state of a key, a history or a collection that has changed."""

    def reread(self, pages: Pages, touch: Touch) -> None:
        """Reads what takes more than one batch."""

    def ask(self) -> Sequence[ops.AnyOperation]:
        """Returns the operations that read what is new."""

    def take(self, answers: Iterator[Any], revision: int) -> bool:
        """Takes their results, as of a revision; returns whether there is nothing more."""

    def replaces(self, line: Line) -> bool:
        """Returns whether a line of this thing, read before, is stale."""

    def lines(self) -> Iterator[Line]:
        """Yields the current lines, except those read before that are not stale."""


class _Key:
    def __init__(self, name: bytes, namespace: str) -> None:
        self._name = from_bytes(name)
        self._namespace = namespace
        self._line: Line | None = None

    def reread(self, pages: Pages, touch: Touch) -> None:
        pass

    def ask(self) -> Sequence[ops.AnyOperation]:
        return (ops.GetKeys((self._name,)),)

    def take(self, answers: Iterator[Any], revision: int) -> bool:
        (entry,) = next(answers)
        self._line = None if entry is None else Line(self._namespace, entry)
        return True

    def replaces(self, line: Line) -> bool:
        return True

    def lines(self) -> Iterator[Line]:
        if self._line is not None:
            yield self._line


class _History:
    def __init__(self, name: bytes, namespace: str, spool: Spool) -> None:
        self._name = from_bytes(name)
        self._namespace = namespace
        self._spool = spool
        self._state: Line | None = None
        self._extents: list[Extent] = []
        self._last_seq: int | None = None
        self._is_behind = False

    def reread(self, pages: Pages, touch: Touch) -> None:
        if touch is Touch.OTHER or self._last_seq is None:
            self._extents, self._last_seq = [], 0
        elif not self._is_behind:
            return
        self._add(pages.items(self._name, self._last_seq))

    def ask(self) -> Sequence[ops.AnyOperation]:
        assert self._last_seq is not None  # since it was reread
        return (
            ops.DumpHistories((self._name,)),
            ops.ReadHistory(self._name, after=self._last_seq, limit=_MORE, archived=True),
        )

    def take(self, answers: Iterator[Any], revision: int) -> bool:
        states, page = next(answers).histories, next(answers)
        if not states:
            raise LogLostError  # the namespace was forgotten
        self._state = Line(self._namespace, states[0])
        self._add(Line(self._namespace, item, self._name) for item in page.items)
        self._is_behind = page.more
        return not self._is_behind

    def _add(self, lines: Iterator[Line]) -> None:
        def noted() -> Iterator[Line]:
            for line in lines:
                assert isinstance(line.entry, ops.HistoryItem)
                self._last_seq = line.entry.seq
                yield line

        self._extents.append(self._spool.put(noted()))

    def replaces(self, line: Line) -> bool:
        return True

    def lines(self) -> Iterator[Line]:
        if self._state is not None:
            yield self._state
            for extent in self._extents:
                yield from self._spool.get(*extent)


class _Collection:
    """The records of a collection that were written since a revision, and which others are left.

    Args:
        since: What was read before has everything written up to this revision.
    """

    def __init__(self, name: bytes, namespace: str, spool: Spool, since: int) -> None:
        self._name = from_bytes(name)
        self._namespace = namespace
        self._spool = spool
        self._since = since
        self._state: Line | None = None
        self._written: dict[bytes, Extent] = {}
        self._left: set[bytes] | None = None  # of all ids, after a deletion
        self._all: Extent | None = None  # if all were reread
        self._is_behind = False

    def reread(self, pages: Pages, touch: Touch) -> None:
        reached = pages.revision
        if touch is Touch.OTHER:
            self._written, self._left = {}, None
            self._all = self._spool.put(pages.records(self._name))
        elif touch is Touch.REMOVED:
            self._left = {to_bytes(id) for id in pages.record_ids(self._name)}
            self._written = {id: at for id, at in self._written.items() if id in self._left}
            return
        elif self._is_behind:
            for line in pages.records_since(self._name, self._since):
                self._add(line)
        else:
            return
        self._since = max(self._since, reached)

    def ask(self) -> Sequence[ops.AnyOperation]:
        return (
            ops.DumpCollections((self._name,)),
            ops.DumpRecordsSince(self._name, self._since, limit=_MORE),
        )

    def take(self, answers: Iterator[Any], revision: int) -> bool:
        states, page = next(answers).collections, next(answers)
        if not states:
            raise LogLostError  # the namespace was forgotten
        self._state = Line(self._namespace, states[0])
        for record in page.records:
            self._add(Line(self._namespace, record, self._name))
        self._is_behind = page.more
        if not self._is_behind:
            self._since = revision
        return not self._is_behind

    def _add(self, line: Line) -> None:
        self._written[line.order[2]] = self._spool.put((line,))

    def replaces(self, line: Line) -> bool:
        return self._all is not None or self._is_stale(line)

    def _is_stale(self, line: Line) -> bool:
        if isinstance(line.entry, ops.CollectionState):
            return True
        id = line.order[2]
        return id in self._written or (self._left is not None and id not in self._left)

    def lines(self) -> Iterator[Line]:
        if self._state is None:
            return
        yield self._state
        start, end = self._all or (0, 0)
        reread = (line for line in self._spool.get(start, end) if not self._is_stale(line))
        extents = (self._written[id] for id in sorted(self._written))
        written = (line for extent in extents for line in self._spool.get(*extent))
        yield from heapq.merge(reread, written, key=lambda line: line.order)


class Changes:
    """What has changed since a namespace was read.

    Args:
        engine: The store.
        namespace: The namespace.
        pages: Reads it, and follows `log`.
        log: Its log of changes since before it was read.
        spool: Takes what is reread.
    """

    def __init__(
        self,
        engine: Engine,
        namespace: str,
        pages: Pages,
        log: ChangeLog,
        spool: Spool,
    ) -> None:
        self._engine = engine
        self._namespace = namespace
        self._pages = pages
        self._log = log
        self._spool = spool
        # By last change. What changed last is likely to change again, so it is reread with the end
        # of the log: if nothing else has changed, everything is as of that moment.
        self._copies: dict[Thing, _Copy] = {}
        self._cleared: list[bytes] = []
        self._at_once = _AT_ONCE

    def settle(self) -> int:
        """Rereads changes until everything is as of one moment; returns its revision.

        Raises:
            ConflictError: Others write to the namespace faster than it can be read.
            LogLostError: The log no longer reaches back far enough.
        """
        for _ in range(_ROUNDS):
            waiting = self._reread(self._log.drain())
            while len(waiting) > self._at_once:
                chunk, waiting = waiting[: self._at_once], waiting[self._at_once :]
                self._read(chunk)
            current = self._read([*self._copies][-self._at_once :])
            later = self._log.drain()
            if self._log.is_complete:
                for thing in current:
                    if later.get(thing) is Touch.ADDED:
                        del later[thing]
                if not later:
                    return self._log.revision
            for thing, touch in later.items():
                self._log.touch(thing, touch)
        raise too_busy(self._namespace)

    def _reread(self, touched: dict[Thing, Touch]) -> list[Thing]:
        """Rereads what takes more than one batch; returns what is left for a batch."""
        waiting = []
        for thing, touch in touched.items():
            if thing[0] == CLEARED:
                self._reread_cleared(thing[1])
                continue
            copy = self._copies.pop(thing, None) or self._copy(thing)
            self._copies[thing] = copy
            copy.reread(self._pages, touch)
            waiting.append(thing)
        return waiting

    def _reread_cleared(self, prefix: bytes) -> None:
        self._cleared.append(prefix)
        left = {line.thing for line in self._pages.keys(from_bytes(prefix))}
        left.update(
            thing for thing in self._copies if thing[0] == KEY and thing[1].startswith(prefix)
        )
        for thing in left:
            self._log.touch(thing, Touch.ADDED)

    def _copy(self, thing: Thing) -> _Copy:
        kind, name = thing
        if kind == KEY:
            return _Key(name, self._namespace)
        if kind == HISTORY:
            return _History(name, self._namespace, self._spool)
        assert kind == COLLECTION
        return _Collection(name, self._namespace, self._spool, self._log.since)

    def _read(self, things: list[Thing]) -> set[Thing]:
        """Reads what is new in some things, and the log, in one batch.

        If the answer would be too large, the first things are left out.

        Returns:
            The things that are up to date now. The others count as touched.
        """
        fitting = things
        while True:
            asked = [one for thing in fitting for one in self._copies[thing].ask()]
            batch = ops.Batch(self._namespace, (*asked, self._log.ask()))
            try:
                *results, page = self._engine.apply(batch)
                break
            except PayloadTooLargeError:
                if len(fitting) < 2:
                    raise
                self._at_once = len(fitting) // 2
                fitting = fitting[-self._at_once :]
        answers = iter(results)
        current = {one for one in fitting if self._copies[one].take(answers, page.revision)}
        for thing in things:
            if thing not in current:
                self._log.touch(thing, Touch.ADDED)
        self._log.take(page)
        return current

    @property
    def happened(self) -> bool:
        """Whether anything has changed."""
        return bool(self._copies or self._cleared)

    def merge(self, read: Iterator[Line]) -> Iterator[Line]:
        """Yields the lines read before, with stale ones replaced by current ones."""
        kept = (line for line in read if not self._is_stale(line))
        yield from heapq.merge(kept, self._current(), key=lambda line: line.order)

    def _is_stale(self, line: Line) -> bool:
        thing = line.thing
        copy = self._copies.get(thing)
        if copy is not None:
            return copy.replaces(line)
        return thing[0] == KEY and any(thing[1].startswith(prefix) for prefix in self._cleared)

    def _current(self) -> Iterator[Line]:
        for thing in sorted(self._copies):
            yield from self._copies[thing].lines()


def too_busy(namespace: str) -> ConflictError:
    """Returns the error if others write to a namespace faster than it can be read."""
    return ConflictError(
        f"namespace {namespace!r:.80} is written to faster than it can be read: try again when "
        "less is written"
    )
