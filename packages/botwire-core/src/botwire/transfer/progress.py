"""Counts what was transferred, and reports progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

KINDS = ("namespace", "key", "history", "item", "collection", "record", "policy")
"""The kinds of lines, except the first and last line of an export."""


@dataclass(slots=True)
class Tally:
    """Counts what was read, and what was done with it.

    Attributes:
        written: Keys, items, records and policies that were new to the target or different there.
        kept: Entries not written because the target's newer data was to be kept.
        removed: Entries deleted from the target.
        expired: Entries skipped because they have expired.
        skipped: Entries of namespaces that were not selected.
        ahead: Lines of the current namespace that are read but not yet transferred.
    """

    namespace: int = 0
    key: int = 0
    history: int = 0
    item: int = 0
    collection: int = 0
    record: int = 0
    policy: int = 0
    written: int = 0
    kept: int = 0
    removed: int = 0
    expired: int = 0
    skipped: int = 0
    ahead: int = 0

    @property
    def lines(self) -> int:
        """The number of lines read."""
        entries = self.key + self.item + self.record
        return self.namespace + self.history + self.collection + self.policy + entries

    @property
    def same(self) -> int:
        """The number of keys, items, records and policies that the target already had."""
        entries = self.key + self.item + self.record + self.policy
        return entries - self.written - self.kept - self.expired - self.skipped

    def count(self, kind: str, progress: Progress | None = None) -> None:
        """Counts a line, and reports every `REPORT_EVERY` lines."""
        setattr(self, kind, getattr(self, kind) + 1)
        if progress is not None and self.lines % REPORT_EVERY == 0:
            progress(self)

    def counts(self) -> dict[str, int]:
        """Returns the number of lines read by kind; ``policy`` only if any were read."""
        every = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: count for kind, count in every.items() if count or kind != "policy"}


REPORT_EVERY = 500
"""Lines between two calls of a `Progress`."""

Progress = Callable[[Tally], None]
"""Called periodically with the counts so far."""


def read_ahead(lines: Iterable[T], tally: Tally, progress: Progress | None) -> Iterator[T]:
    """Yields lines and counts them as read ahead."""
    for tally.ahead, line in enumerate(lines, 1):
        yield line
        if progress is not None and tally.ahead % REPORT_EVERY == 0:
            progress(tally)
    tally.ahead = 0
