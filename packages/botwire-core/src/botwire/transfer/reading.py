"""Reads a whole namespace as of one moment, while others write to it.

Engines read in pages, and each page reflects a moment of its own. So this module spools the pages,
to a temporary file if they are large, and reads again whatever the change log lists, until nothing
has changed since. No client is blocked, and it works wherever memory lives, also over HTTP.
"""

from __future__ import annotations

import contextlib
import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, Self

from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.errors import ConflictError, NotFoundError, PayloadTooLargeError
from botwire.names import SYSTEM_NAMESPACE, check_namespace, matches, to_bytes
from botwire.transfer.lines import Line, NamespaceState, decode, kind_of, to_text
from botwire.transfer.pages import Pages, apply, read_pages, size_of
from botwire.transfer.progress import Progress, Tally, read_ahead

_IN_MEMORY = 8 * 1024 * 1024  # bytes spooled before a temporary file is used
_OBJECT = 800  # approximate overhead of a line in memory, in bytes
_CHUNK = 64 * 1024  # bytes of the file read at a time
_FILE = 2**62
_ROUNDS = 100  # of rereading what has changed
_STARTS = 3  # per namespace; it starts over when the log no longer reaches back far enough
_QUICK = 200  # keys and histories reread in one batch

_MORE = 50  # new items read per history
_KEY, _HISTORY, _COLLECTION = 1, 2, 3  # as in `Line.order`
_Thing = tuple[Any, ...]


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Returns a function that says whether a name matches a pattern; with no patterns, all match.

    Args:
        patterns: Names in which ``*`` matches any characters.
    """
    wanted = list(patterns) or ["*"]
    return lambda name: any(matches(pattern, name) for pattern in wanted)


def list_namespaces(
    engine: Engine, patterns: Iterable[str] = (), *, missing_ok: bool = False
) -> Iterator[str]:
    """Yields the names of a store's namespaces, sorted.

    Args:
        engine: The store.
        patterns: Patterns that select namespaces; ``*`` matches any characters. Listing the store
            takes the right to administer it, which patterns without a ``*`` do not need.
        missing_ok: Whether a pattern without ``*`` may name a missing namespace.

    Raises:
        NotFoundError: A pattern without ``*`` names a missing namespace.
    """
    wanted = sorted(set(patterns), key=to_bytes)
    if wanted and not any("*" in pattern for pattern in wanted):
        for name in wanted:
            if apply(engine, check_namespace(name), ops.StatNamespace()).created_at is not None:
                yield name
            elif not missing_ok:
                raise NotFoundError(f"there is no namespace {name!r}")
        return
    is_wanted = matcher(wanted)
    for page in read_pages(engine, SYSTEM_NAMESPACE, ops.ListNamespaces()):
        for entry in page.namespaces:
            if is_wanted(entry.name):
                yield entry.name


def read_namespace(
    engine: Engine,
    namespace: str,
    *,
    tally: Tally | None = None,
    progress: Progress | None = None,
) -> Iterator[Line]:
    """Yields everything in a namespace as of one moment, in export order.

    A namespace that was never written to yields nothing.

    Args:
        engine: The store.
        namespace: The namespace.
        tally: Counts what is read before the first line is yielded.
        progress: Called periodically with the tally.

    Raises:
        ConflictError: Others write to the namespace faster than it can be read.
    """
    with _Reading(engine, namespace, tally, progress) as found:
        if found.line is not None:
            yield found.line
            yield from found.changes.merge(found.first.get())


def read_texts(
    engine: Engine, namespace: str, *, tally: Tally, progress: Progress | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yields the kind and the text of each line that `read_namespace` yields.

    Lines in a temporary file are text already, and are not decoded and encoded again.
    """
    with _Reading(engine, namespace, tally, progress) as found:
        if found.line is None:
            return
        yield found.line.kind, to_text(found.line)
        if found.changes.happened:
            for line in found.changes.merge(found.first.get()):
                yield line.kind, to_text(line)
        else:
            yield from found.first.texts()


class _Reading:
    """A whole namespace as of one moment; leaving the block discards the spooled lines.

    Attributes:
        line: The namespace's own line; None if it was never written to.
        first: The lines as first read.
        changes: What has changed since then.
    """

    def __init__(
        self, engine: Engine, namespace: str, tally: Tally | None, progress: Progress | None
    ) -> None:
        self._engine = engine
        self._namespace = namespace
        self._tally = tally or Tally()
        self._progress = progress
        self._files = contextlib.ExitStack()
        self.line: Line | None = None

    def __enter__(self) -> Self:
        try:
            done = any(self._read() for _ in range(_STARTS))
        except BaseException:
            self._files.close()
            raise
        if not done:
            self._files.close()
            raise _too_busy(self._namespace)
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def _read(self) -> bool:
        """Reads the namespace; returns whether the result is as of one moment."""
        self._files.close()
        self.first, again = (self._files.enter_context(_Spool()) for _ in range(2))
        pages = Pages(self._engine, self._namespace)
        start = apply(self._engine, self._namespace, ops.ReadChanges()).revision
        self.first.put(read_ahead(pages.everything(), self._tally, self._progress))
        self.changes = _Changes(self._engine, self._namespace, pages, again)
        revision = self.changes.follow(start)
        if revision is None:
            return False
        stat = apply(self._engine, self._namespace, ops.StatNamespace())
        if stat.created_at is not None:
            self.line = Line(self._namespace, NamespaceState(revision, stat.created_at))
        return True


def _too_busy(namespace: str) -> ConflictError:
    return ConflictError(
        f"namespace {namespace!r:.80} is written to faster than it can be read: try again when "
        "less is written"
    )


class _Spool:
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

    def put(self, lines: Iterable[Line]) -> tuple[int, int]:
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


class _Changes:
    """Rereads what has changed since a namespace was read, until everything is as of one moment."""

    def __init__(self, engine: Engine, namespace: str, pages: Pages, spool: _Spool) -> None:
        self._engine = engine
        self._namespace = namespace
        self._pages = pages
        self._spool = spool
        # The positions of the current lines of each changed thing; a history gains more as it
        # grows.
        self._extents: dict[_Thing, list[tuple[int, int]]] = {}
        self._states: dict[_Thing, Line | None] = {}
        self._last_seq: dict[_Thing, int] = {}
        # What changed once is likely to change again. Each round rereads it too, so that the round
        # can be the last.
        self._busy: dict[_Thing, None] = {}
        self._cleared: list[bytes] = []
        self._quick = _QUICK

    def follow(self, revision: int) -> int | None:
        """Rereads changes since a revision; returns the final revision, or None after a reset."""
        pending: dict[_Thing, bool] = {}
        for _ in range(_ROUNDS):
            waiting = self._read_again(pending)
            for thing in waiting:
                self._busy.pop(thing, None)
                self._busy[thing] = None
            quick, results = self._read_quick(revision)
            read = set(quick)
            page: ops.ChangePage = results.pop()
            if any(change.action == "reset" for change in page.changes):
                return None
            unread = {thing for thing in waiting if thing not in read}
            unread |= self._take(quick, results)
            complete = not page.changes or page.changes[-1].revision == page.revision
            pending = dict.fromkeys(unread, True)
            for change in page.changes:
                for thing, appended in self._touched(change):
                    if complete and appended and thing in read - unread:
                        continue  # read in the same batch as this page
                    pending[thing] = pending.get(thing, True) and appended
                    if not appended:
                        self._busy.pop(thing, None)
            revision = page.changes[-1].revision if page.changes else page.revision
            if not pending:
                return revision
        raise _too_busy(self._namespace)

    def _read_quick(self, revision: int) -> tuple[list[_Thing], list[Any]]:
        """Reads the busiest things and the log in one batch; fewer if they are too large."""
        quick = list(self._busy)[-self._quick :]
        while True:
            asked: list[ops.AnyOperation] = []
            for thing in quick:
                asked += self._ask(thing)
            asked.append(ops.ReadChanges(revision))
            try:
                return quick, self._engine.apply(ops.Batch(self._namespace, tuple(asked)))
            except PayloadTooLargeError:
                if len(quick) < 2:
                    raise
                self._quick = len(quick) // 2
                quick = quick[-self._quick :]

    def _touched(self, change: ops.ChangeEntry) -> Iterator[tuple[_Thing, bool]]:
        """Yields what a change touched, and whether a quick reread is enough."""
        name = to_bytes(change.name)
        if change.shape == "key" and change.action == "clear":
            self._cleared.append(name)
            for line in self._pages.keys(change.name):
                yield line.thing, True
            for thing in list(self._states):
                if thing[0] == _KEY and thing[1].startswith(name):
                    yield thing, True
        elif change.shape == "key":
            yield (_KEY, name), True
        elif change.shape == "history":
            yield (_HISTORY, name), change.action == "append"
        else:
            yield (_COLLECTION, name), False

    def _read_again(self, pending: dict[_Thing, bool]) -> list[_Thing]:
        """Rereads what may take several pages; returns what a single batch can read."""
        quick: list[_Thing] = []
        for thing, appended in pending.items():
            name = thing[1].decode("utf-8", "surrogatepass")
            grows = thing[0] == _HISTORY and appended and thing in self._last_seq
            if grows or thing[0] == _KEY:
                quick.append(thing)
            elif thing[0] == _HISTORY:
                self._replace(thing, self._pages.histories((name,)))
                self._last_seq.setdefault(thing, 0)
            else:
                self._replace(thing, self._pages.collections((name,)))
        return quick

    def _replace(self, thing: _Thing, lines: Iterable[Line]) -> None:
        self._states[thing] = None
        self._last_seq.pop(thing, None)

        def noted() -> Iterator[Line]:
            for line in lines:
                if isinstance(line.entry, ops.HistoryItem):
                    self._last_seq[thing] = line.entry.seq
                if isinstance(line.entry, (ops.HistoryItem, ops.RecordEntry)):
                    yield line
                else:
                    self._states[thing] = line

        self._extents[thing] = [self._spool.put(noted())]

    def _ask(self, thing: _Thing) -> Sequence[ops.AnyOperation]:
        name = thing[1].decode("utf-8", "surrogatepass")
        if thing[0] == _KEY:
            return (ops.GetKeys((name,)),)
        return (
            ops.DumpHistories((name,)),
            ops.ReadHistory(name, after=self._last_seq[thing], limit=_MORE, archived=True),
        )

    def _take(self, quick: list[_Thing], results: list[Any]) -> set[_Thing]:
        """Stores the results of a batch; returns the histories that have further items."""
        unread = set()
        answers = iter(results)
        for thing in quick:
            if thing[0] == _KEY:
                (entry,) = next(answers)
                self._states[thing] = None if entry is None else Line(self._namespace, entry)
                continue
            state, page = next(answers).histories[0], next(answers)
            self._states[thing] = Line(self._namespace, state)
            added = [Line(self._namespace, item, state.name) for item in page.items]
            self._extents[thing].append(self._spool.put(added))
            if page.items:
                self._last_seq[thing] = page.items[-1].seq
            if page.more:
                unread.add(thing)
        return unread

    @property
    def happened(self) -> bool:
        """Whether anything has changed."""
        return bool(self._states or self._cleared)

    def merge(self, pages: Iterator[Line]) -> Iterator[Line]:
        """Yields the pages' lines, with stale ones replaced by those reread."""
        if not self.happened:
            yield from pages
            return
        kept = (line for line in pages if not self._is_stale(line))
        yield from heapq.merge(kept, self._current(), key=lambda line: line.order)

    def _is_stale(self, line: Line) -> bool:
        thing = line.thing
        if thing in self._states:
            return True
        return thing[0] == _KEY and any(thing[1].startswith(prefix) for prefix in self._cleared)

    def _current(self) -> Iterator[Line]:
        for thing in sorted(self._states):
            state = self._states[thing]
            if state is None:
                continue
            yield state
            for start, end in self._extents.get(thing, ()):
                yield from self._spool.get(start, end)
