"""Which of the waiting batches the next commit contains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from botwire.engines.sql.plans import NO_PLAN, Plan
from botwire.operations import AnyOperation, Batch

T = TypeVar("T")

_SHORT = 200  # most operations, items and records of a short batch


class Planned(NamedTuple):
    """A batch, and what was read ahead for it, before it waits for its commit."""

    batch: Batch
    plan: Plan

    @property
    def is_long(self) -> bool:
        """Whether the batch may hold the lock so long that others must not wait for several."""
        operations = self.batch.operations
        return (
            self.plan is not NO_PLAN
            or len(operations) > _SHORT
            or sum(map(_elements, operations)) > _SHORT
        )


def _elements(operation: AnyOperation) -> int:
    return len(getattr(operation, "values", ())) + len(getattr(operation, "records", ()))


class CommitChooser:
    """Chooses what the next commit contains.

    Short batches share a commit, and a long batch has one of its own. The two kinds take turns, so
    a short batch waits for one long batch at most, and a long one for one commit of short ones.
    """

    def __init__(self) -> None:
        self._long_next = False

    def choose(
        self, waiting: Sequence[T], batch_of: Callable[[T], Planned]
    ) -> tuple[list[T], list[T]]:
        """Divides what waits, in order of arrival, into the next commit and the rest."""
        short: list[T] = []
        long: list[T] = []
        for one in waiting:
            (long if batch_of(one).is_long else short).append(one)
        if long and (self._long_next or not short):
            self._long_next = False
            return long[:1], short + long[1:]
        self._long_next = bool(long)
        return short, long
