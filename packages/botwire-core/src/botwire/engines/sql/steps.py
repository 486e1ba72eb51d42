"""What all SQL handlers share: statements and the batch's context; see `engines.sql.batches`."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from botwire import operations as ops
from botwire.clock import micros
from botwire.engines.sql import words
from botwire.engines.sql.plans import MAX_UNPLANNED, Plan, UnplannedError
from botwire.engines.sql.vector_cache import VectorCache
from botwire.errors import BotWireError, PayloadTooLargeError
from botwire.exact import Json
from botwire.names import from_bytes, prefix_end, to_bytes

SWEEP_EVERY = 60_000_000
"""The interval at which writes trigger a sweep, in microseconds."""

_CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
_CHUNK = 500  # placeholders in one statement; both databases allow far more


Rows = list[tuple[Any, ...]]


class Statement(NamedTuple):
    """A statement that a generator yields.

    `waits` tells whether the generator needs the rows at once. If not, an engine with a remote
    database can send several statements in one round trip.

    Attributes:
        sql: The SQL, with ``?`` for each parameter.
        parameters: The values of the parameters; with `many`, one tuple of values per execution.
        many: Whether to execute the statement once for each of the `parameters`, without reading
            rows.
        then: Called with the rows instead of the generator; may raise. The engine may
            call it late, but in the order of the statements: before it looks at the rows of a later
            statement, before it sends the generator any rows, and for `WAIT`. Later statements may
            have been executed by then; if `then` raises, the engine rolls back the transaction
            anyway.
    """

    sql: str
    parameters: Sequence[Any] = ()
    many: bool = False
    then: Callable[[Rows], None] | None = None

    @property
    def waits(self) -> bool:
        """Whether the generator needs this statement's rows before it continues."""
        return self is WAIT or (self.then is None and not self.many and has_rows(self.sql))


WAIT = Statement("")
"""Yielded instead of a statement: the engine must call every pending `then` first."""

T = TypeVar("T")
Steps = Generator[Statement, Rows, T]
"""A generator that yields statements, receives the rows of each, and returns a result.

The engine that drives it runs the statements in a transaction and decides when to send them; see
`Statement.waits`. The generator does no I/O, so SQLite and PostgreSQL share it, both in blocking
and in async code.
"""


@functools.lru_cache(maxsize=512)
def has_rows(sql: str) -> bool:
    """Returns whether a statement produces a result set, which may be empty."""
    return not sql.startswith(_CHANGES) or " RETURNING " in sql


def side_by_side(parts: Sequence[Steps[Any]]) -> Steps[list[Any]]:
    """Runs read-only generators in rounds, so that none waits for the rows of another.

    Returns:
        The result of each, in their order. If several raise, this raises the error of the first in
        that order, as if they had run one after the other.
    """
    results: list[Any] = [None] * len(parts)
    failure: BotWireError | None = None
    going: dict[int, Rows | None] = dict.fromkeys(range(len(parts)))
    while going:
        for i, rows in list(going.items()):
            try:
                step = next(parts[i]) if rows is None else parts[i].send(rows)
                while not step.waits:
                    yield step
                    step = parts[i].send([])
            except StopIteration as stop:
                results[i] = stop.value
                del going[i]
            except BotWireError as error:
                failure = error
                going = {before: rows for before, rows in going.items() if before < i}
                break
            else:
                answer: Rows = []
                going[i] = answer
                if step is not WAIT:
                    yield step._replace(then=answer.extend)
        yield WAIT
    if failure is not None:
        raise failure
    return results


class Context:
    """The state that the operations of one batch share.

    Attributes:
        namespace: The namespace, as bytes.
        now: The current time.
        revision: The namespace's revision, including the changes of this batch so far.
        vectors: The engine's cache of embeddings, if the batch reads committed data only. A batch
            that writes has none, because the data that it reads may never be committed.
        lock: What to add to a SELECT so that it locks the row; see `batches.write`.
        grown: The bytes by which the namespace has grown in this batch so far; see `sizes`.
        largest: The size of the largest element that this batch has written so far.
        known: An upper bound of the sizes of the elements before this batch, once looked up.
        author: Who makes the changes, in stored form; None if the author is unknown.
        limit: The approximate most bytes that the batch may return; None means no limit.
        answered: The bytes that its operations have returned so far, if there is a limit.
        sharing: The number of operations that share the rest of the limit.
        plan: What was read before taking the lock; None if the batch cannot be planned.
        holds: All holds of the store, once they have been read; see `holds`.
        has_replaced: Whether a restoration has deleted or replaced items.
        audit: Entries for the audit log that the operations have added so far.
        keeps_past: Whether the namespace keeps its past; see `past_rows`.
        begun: The revision at which the current operation began.
        erasures: The erasures of the past that the batch has read; see `past_rows`.
        changes: The rows of the changes of this batch so far, for ``botwire_changes``.
    """

    def __init__(
        self,
        namespace: bytes,
        now: int,
        revision: int,
        vectors: VectorCache | None = None,
        lock: str = "",
        *,
        limit: int | None = None,
        plan: Plan | None = None,
        author: str | None = None,
        keeps_past: bool = False,
    ) -> None:
        self.namespace = namespace
        self.now = now
        self.revision = revision
        self.vectors = vectors
        self.lock = lock
        self.limit = limit
        self.author = author
        self.grown = 0
        self.largest = 0
        self.known: int | None = None
        self.answered = 0
        self.sharing = 1
        self.plan = plan
        self.holds: list[ops.RetentionPolicy] | None = None
        self.has_replaced = False
        self.audit: list[Json] = []
        self.keeps_past = keeps_past
        self.begun = revision
        self._counted = 0
        self.erasures: dict[int, Rows] = {}
        self.changes: list[tuple[bytes, int, str, str, bytes, str | None, int | None]] = []

    def change(self, shape: str, action: str, name: bytes) -> int:
        """Counts a change and returns its revision."""
        self.revision += 1
        changed_at = self.now if self.keeps_past else None
        self.changes.append(
            (self.namespace, self.revision, shape, action, name, self.author, changed_at)
        )
        return self.revision

    @property
    def until(self) -> int:
        """The revision of the current change, both before and after it is counted."""
        return max(self.revision, self.begun + 1)

    def expiry(self, ttl: float | None) -> int | None:
        """Returns the expiry of something written now, given its time to live in seconds."""
        return None if ttl is None else self.now + micros(ttl)

    def words_of(self, text: bytes) -> Counter[bytes]:
        """Returns how often each word of a text occurs.

        Raises:
            UnplannedError: The plan lacks the text, and counting its words takes long.
        """
        plan = self.plan
        known = None if plan is None else plan.counts.get(text)
        if known is not None:
            return known
        self._counted += len(text)
        if plan is not None and not plan.is_last and self._counted > MAX_UNPLANNED:
            raise UnplannedError("long texts were not expected")
        return words.count(from_bytes(text))

    def count_replaced(self, rows: Rows) -> None:
        """Subtracts the size of a replaced element, the statement's only result, from `grown`."""
        self.grown -= rows[0][0]

    def grow(self, added: Iterable[int], freed: int = 0) -> None:
        """Adds the sizes of written elements, and subtracts the size of those they replace."""
        for size in added:
            self.grown += size
            self.largest = max(self.largest, size)
        self.grown -= freed

    def room(self) -> int:
        """Returns how many bytes the next page of this batch may hold; see `rest`."""
        rest = self.rest()
        return ops.MAX_PAGE_BYTES if rest is None else min(ops.MAX_PAGE_BYTES, rest)

    def rest(self) -> int | None:
        """Returns how many bytes an operation of this batch may return now; None means no limit.

        Raises:
            PayloadTooLargeError: The answer has no room left.
        """
        if self.limit is None:
            return None
        if self.answered >= self.limit:
            raise self.too_large()
        return (self.limit - self.answered) // self.sharing

    def too_large(self) -> PayloadTooLargeError:
        """Returns the error for a batch whose answer would be too large."""
        return PayloadTooLargeError(
            f"the answer would hold more than {self.limit:,} bytes: ask for fewer at a time"
        )


def chunks(values: Sequence[Any], size: int = _CHUNK) -> Iterator[Sequence[Any]]:
    """Yields the values in parts, each small enough by default for one statement's parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def marks(values: Iterable[Any]) -> str:
    """Returns a placeholder for each value."""
    return ", ".join("?" for _ in values)


def bounds(column: str, prefix: str, after: str | None = None) -> tuple[str, list[bytes]]:
    """Returns the condition, with its parameters, that names have a prefix and follow `after`."""
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


def sum_of(rows: Rows) -> int:
    """Returns the sum of the only column."""
    return sum(number for (number,) in rows)


def count_in(rows: Rows) -> int:
    """Returns the number in the only column of the only row."""
    count: int = rows[0][0]
    return count
