"""Which of the waiting batches the next commit contains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from botwire import operations as ops
from botwire.engines.sql.plans import NO_PLAN, Plan
from botwire.exact import Json
from botwire.operations import AnyOperation, Batch

T = TypeVar("T")

_SHORT = 200  # most operations, items and records of a short batch
# What is written at once has at most so many elements and bytes, and only such operations.
_FEW, _LITTLE = 16, 16 * 1024
_QUICK = (ops.CheckKey, ops.DeleteKey, ops.ExtendHistory, ops.IncrementKey, ops.PutKey)


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


def are_little(batches: Sequence[Planned]) -> bool:
    """Returns whether batches write so little that handing them to a thread takes longer."""
    operations = [one for planned in batches for one in planned.batch.operations]
    return (
        all(planned.plan is NO_PLAN for planned in batches)
        and all(isinstance(one, _QUICK) for one in operations)
        and sum(map(_elements, operations), len(operations)) <= _FEW
        and sum(map(_size, operations)) <= _LITTLE
    )


def _size(operation: AnyOperation) -> int:
    """Returns the size of the values of an operation, in characters or bytes."""
    values = getattr(operation, "values", None) or (getattr(operation, "value", b""),)
    return sum([len(one.text if isinstance(one, Json) else one) for one in values])


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
