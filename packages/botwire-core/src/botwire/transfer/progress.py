"""Counts what was transferred, and reports progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

KINDS = ("namespace", "key", "history", "item", "collection", "record", "policy")
"""What there is a line for."""


@dataclass(slots=True)
class Tally:
    """Counts what was read, and what happened to it.

    Attributes:
        written: Keys, items, records and policies that were new to the target or different there.
        kept: Those not written because the target has newer data that is to be kept.
        removed: Those deleted from the target.
        expired: Those skipped because they have expired.
        skipped: Those of namespaces that were not selected.
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
        """How many lines were read."""
        entries = self.key + self.item + self.record
        return self.namespace + self.history + self.collection + self.policy + entries

    @property
    def same(self) -> int:
        """How many keys, items, records and policies the target already had."""
        entries = self.key + self.item + self.record + self.policy
        return entries - self.written - self.kept - self.expired - self.skipped

    def count(self, kind: str) -> None:
        """Counts a line."""
        setattr(self, kind, getattr(self, kind) + 1)

    def counts(self) -> dict[str, int]:
        """Returns how many lines of each kind were read; few stores have policies."""
        every = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: count for kind, count in every.items() if count or kind != "policy"}


REPORT_EVERY = 500
"""Lines between two calls of a `Progress`."""

Progress = Callable[[Tally], None]
"""Called now and then with what was transferred so far."""


def read_ahead(lines: Iterable[T], tally: Tally, progress: Progress | None) -> Iterator[T]:
    """Yields lines and counts them as read ahead."""
    for tally.ahead, line in enumerate(lines, 1):
        yield line
        if progress is not None and tally.ahead % REPORT_EVERY == 0:
            progress(tally)
    tally.ahead = 0
