"""What the functions that put operations into SQL have in common; see `engines.statements`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from botwire.engines.vector_cache import VectorCache
from botwire.names import prefix_end, to_bytes

SWEEP_EVERY = 60_000_000
"""How often an engine that is written to removes what expired, in microseconds."""

_CHUNK = 500  # placeholders in one statement; both databases allow far more


class Statement(NamedTuple):
    """A statement and its parameters; with `many`, one tuple of parameters an execution."""

    sql: str
    parameters: Sequence[Any] = ()
    many: bool = False


Rows = list[tuple[Any, ...]]
Steps = Generator[Statement, Rows, Any]
"""Yields statements, is sent their rows, returns what the operations answer."""


class Scope:
    """What the operations of one batch share.

    Attributes:
        namespace: The namespace, as bytes.
        now: The present time.
        revision: Of the namespace, with the changes of this batch so far.
        vectors: The engine's cache, if what is read is committed; a batch that writes has none,
            as what it reads may never be.
        grown: By how many bytes the namespace has grown in this batch so far; see `sizes`.
    """

    def __init__(
        self,
        namespace: bytes,
        now: int,
        revision: int,
        vectors: VectorCache | None = None,
        lock: str = "",
    ) -> None:
        self.namespace = namespace
        self.now = now
        self.revision = revision
        self.vectors = vectors
        self.lock = lock
        self.grown = 0
        self.changes: list[tuple[bytes, int, str, str, bytes]] = []

    def change(self, shape: str, action: str, name: bytes) -> int:
        """Counts a change and returns its revision."""
        self.revision += 1
        self.changes.append((self.namespace, self.revision, shape, action, name))
        return self.revision


Handlers = dict[type[Any], Callable[[Scope, Any], Steps]]
"""What applies an operation, by its class."""


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yields the values in parts that one statement can take as parameters."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def marks(values: Iterable[Any]) -> str:
    """Returns a placeholder for each value."""
    return ", ".join("?" for _ in values)


def bounds(column: str, prefix: str, after: str | None = None) -> tuple[str, list[bytes]]:
    """Returns the condition that names start with `prefix` and come after `after`."""
    low, end = to_bytes(prefix), prefix_end(to_bytes(prefix))
    conditions, parameters = [], []
    if after is not None and to_bytes(after) >= low:
        conditions.append(f"{column} > ?")
        parameters.append(to_bytes(after))
    elif low:
        conditions.append(f"{column} >= ?")
        parameters.append(low)
    if end is not None:
        conditions.append(f"{column} < ?")
        parameters.append(end)
    return "".join(f" AND {condition}" for condition in conditions), parameters
