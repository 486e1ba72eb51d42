"""Stores with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botwire import Memory
from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.operations.terms import BatchTerms

MINUTE = 60
HOUR = 3_600
DAY = 86_400
_SECOND = 1_000_000


class Clock:
    """A clock that only the test advances.

    Attributes:
        time: Its time, in microseconds since 1970.
    """

    def __init__(self, time: int = 20_000 * DAY * _SECOND) -> None:
        self.time = time

    def __call__(self) -> int:
        return self.time

    def wait(self, seconds: float) -> None:
        """Advances the clock."""
        self.time += round(seconds * _SECOND)


class TimedStore:
    """An engine with its own clock, and a memory on it.

    Attributes:
        clock: The clock of the engine.
        engine: The engine.
        memory: The namespace ``n``.
    """

    def __init__(self, make: Callable[[Clock], Engine]) -> None:
        self.clock = Clock()
        self.engine = make(self.clock)
        self.memory = Memory("n", engine=self.engine)

    def apply(
        self, *operations: Any, namespace: str = "n", terms: BatchTerms | None = None
    ) -> list[Any]:
        """Applies operations as one batch and returns their results."""
        return list(self.engine.apply(ops.Batch(namespace, operations, terms=terms)))
