"""Reads a whole namespace as of one moment, while others write to it.

Engines read in pages, and each page reflects a moment of its own. So this module spools the pages,
to a temporary file if they are large, and reads again whatever the change log lists, until nothing
has changed since. No client is blocked, and it works wherever memory lives, also over HTTP.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.errors import NotFoundError
from botwire.names import SYSTEM_NAMESPACE, check_namespace, matches, to_bytes
from botwire.transfer.catching_up import Changes, too_busy
from botwire.transfer.change_log import ChangeLog, LogLostError
from botwire.transfer.lines import Line, NamespaceState, to_text
from botwire.transfer.pages import Pages, apply, read_pages
from botwire.transfer.progress import Progress, Tally, read_ahead
from botwire.transfer.spooling import Spool

_STARTS = 3  # per namespace; it starts over when the log no longer reaches back far enough


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
            raise too_busy(self._namespace)
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def _read(self) -> bool:
        """Reads the namespace; returns whether the result is as of one moment."""
        self._files.close()
        self.first, again = (self._files.enter_context(Spool()) for _ in range(2))
        log = ChangeLog(apply(self._engine, self._namespace, ops.ReadChanges()).revision)
        pages = Pages(self._engine, self._namespace, log)
        try:
            self.first.put(read_ahead(pages.everything(), self._tally, self._progress))
            self.changes = Changes(self._engine, self._namespace, pages, log, again)
            revision = self.changes.settle()
        except LogLostError:
            return False
        stat = apply(self._engine, self._namespace, ops.StatNamespace())
        if stat.created_at is not None:
            self.line = Line(self._namespace, NamespaceState(revision, stat.created_at))
        return True
