"""Limits on the size of an answer: a page ends when it is large enough, and no answer is huge.

Measuring a page reads no values. A namespace's row holds the size of the largest element ever
written to it. If even a page of such elements cannot be too large, as is nearly always the case,
one statement checks that row and reads the page. Otherwise the database adds up the sizes first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire.engines.sql import sizes
from botwire.engines.sql.sizes import ROW
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, chunks, marks

LARGEST = "SELECT largest FROM botwire_namespaces WHERE namespace = ?"
"""Reads an upper bound of the sizes of a namespace's elements; no row means no elements."""
# Elements that are always read. Exactly this many rows is ambiguous: the end of the data, or the
# size limit. That takes another query, but few pages have exactly three elements.
_PROBE = 3
_FEW = 100  # a page of so few elements is rarely large enough for sizes to matter
_LITTLE = 16  # an element larger than this many times its share prevents adding up sizes
_AT_ONCE = 32  # values that take less time to read than a thread switch
_SIZED = 4  # elements whose sizes are read first


class Source(NamedTuple):
    """Rows of a table.

    Attributes:
        select: The columns to read, ``SELECT …``.
        rows: The rows to read, ``FROM … WHERE …``.
        parameters: The parameters of `rows`.
        size: SQL for the bytes that a row counts; see `sizes`.
    """

    select: str
    rows: str
    parameters: Sequence[Any]
    size: str


def read_page(context: Context, source: Source, order: str, limit: int) -> Steps[tuple[Rows, bool]]:
    """Returns the rows of a page, at least one if there are any, and whether there are more.

    Args:
        context: The batch's context.
        source: The rows to read.
        order: The order to read them in, ``ORDER BY …``.
        limit: The most rows to answer.
    """
    room = context.room()
    wanted = limit + 1
    share = room // wanted
    plain, guarded, summed, sized = _statements(source.select, source.rows, order, source.size)
    if context.known is not None and max(context.known, context.largest) <= share:
        rows = yield Statement(plain, (*source.parameters, wanted))
        return rows[:limit], len(rows) > limit
    if wanted <= _PROBE:
        rows = yield Statement(plain, (*source.parameters, wanted))
        return cut(rows, limit, room)
    parameters = (*source.parameters, context.namespace, _bound(context, share), wanted)
    if wanted <= _FEW:
        rows = yield Statement(guarded, parameters)
    else:
        more_parameters = (context.namespace, _bound(context, share * _LITTLE), *source.parameters)
        rows = yield Statement(summed, (*parameters, *more_parameters, wanted, room, wanted))
    if len(rows) > _PROBE:
        return rows[:limit], len(rows) > limit
    if len(rows) < _PROBE or (yield from largest(context)) <= share:
        return cut(rows, limit, room)

    def measure(start: int, count: int) -> Steps[list[int]]:
        rows = yield Statement(sized, (*source.parameters, count, start))
        return [size for (size,) in rows]

    found = yield from _measure(measure, wanted, room)
    fitting = min(limit, _fitting(found, room))
    if fitting > _PROBE:
        # If all rows have been deleted since, answer those read before.
        rows = (yield Statement(plain, (*source.parameters, fitting))) or rows
    return rows[:fitting], len(found) > fitting


def cut(rows: Rows, limit: int, room: int) -> tuple[Rows, bool]:
    """Returns the first of a few rows that fit, and whether there are more."""
    sizes = [ROW + sum(len(part) for part in row if isinstance(part, (str, bytes))) for row in rows]
    fitting = min(limit, _fitting(sizes, room)) if rows else 0
    return rows[:fitting], len(rows) > fitting


@functools.lru_cache(maxsize=256)  # reusing the same text saves time, also in the drivers' caches
def _statements(select: str, rows: str, order: str, size: str) -> tuple[str, str, str, str]:
    """Returns the plain, guarded, summed and sized statements of a page.

    The plain one reads the page, and the sized one reads its sizes. The other two read only a few
    rows if the page may hold too much. The guarded one only checks whether anything is large. The
    summed one adds up the sizes, unless something is so large that this would take long: SQLite
    reads what it measures.
    """
    plain = f"{select} {rows} {order} LIMIT"
    guarded = f"{plain} CASE WHEN ({LARGEST}) <= ? THEN ?"
    sized = f"SELECT {size} AS size {rows} {order} LIMIT ?"
    summed = (
        f"{guarded} WHEN ({LARGEST}) <= ? THEN "
        f"CASE WHEN (SELECT sum(size) FROM ({sized}) page) <= ? THEN ? "
        f"ELSE {_PROBE} END ELSE {_PROBE} END"
    )
    return f"{plain} ?", f"{guarded} ELSE {_PROBE} END", summed, f"{sized} OFFSET ?"


def read_named(
    context: Context, source: Source, column: str, names: Sequence[bytes], room: int | None
) -> Steps[tuple[Rows, int]]:
    """Returns the rows with these names, and how many of the names that covers.

    It covers all names, or, if their rows would hold too much, the first names, at least one.

    Args:
        context: The batch's context.
        source: The rows to read, before selecting by name.
        column: The column that holds the name.
        names: The names; a name that occurs twice counts twice.
        room: The most bytes that the rows may hold; None means no limit.
    """
    fitting = len(names)
    if room is not None and fitting > 1:
        share = room // fitting
        guard = f" AND ({LARGEST}) <= ?"
        rows = yield from _named(
            source, column, names, guard, (context.namespace, _bound(context, share))
        )
        # No rows: none of the names exists, or the rows may hold too much.
        if rows or (yield from largest(context)) <= share:
            return rows, fitting

        def measure(start: int, count: int) -> Steps[list[int]]:
            chunk = names[start : start + count]
            held: dict[bytes, int] = {}
            for part in chunks(chunk):
                sized = f"SELECT {column}, {source.size} {source.rows}"
                rows = yield Statement(
                    f"{sized} AND {column} IN ({marks(part)})", (*source.parameters, *part)
                )
                held.update(rows)
            return [held.get(name, 0) for name in chunk]

        fitting = _fitting((yield from _measure(measure, fitting, room)), room)
    return (yield from _named(source, column, names[:fitting])), fitting


def _named(
    source: Source,
    column: str,
    names: Sequence[bytes],
    condition: str = "",
    parameters: Sequence[Any] = (),
) -> Steps[Rows]:
    rows: list[tuple[Any, ...]] = []
    for chunk in chunks(list(dict.fromkeys(names))):
        rows += yield Statement(
            f"{source.select} {source.rows}{condition} AND {column} IN ({marks(chunk)})",
            (*source.parameters, *parameters, *chunk),
        )
    return rows


def _measure(
    measure: Callable[[int, int], Steps[list[int]]], most: int, room: int
) -> Steps[list[int]]:
    """Returns the sizes of the first elements, up to the one that exceeds the room.

    Args:
        measure: Returns the sizes of some elements, given where they begin and how many.
        most: The most elements that there may be.
        room: How many bytes fit.
    """
    found: list[int] = []
    total = 0
    count = _SIZED
    while total <= room and len(found) < most:
        count = min(count, most - len(found))
        more = yield from measure(len(found), count)
        found += more
        total += sum(more)
        if len(more) < count:
            break
        # Next, as many as fit if the others are of the same size on average.
        count = (room - total) * len(found) // max(1, total) + 1
    return found


def _bound(context: Context, share: int) -> int:
    """Returns the largest size allowed; -1, which fails, if this batch wrote a larger element."""
    return share if context.largest <= share else -1


def largest(context: Context) -> Steps[int]:
    """Returns an upper bound of the sizes of the namespace's elements."""
    if context.known is None:
        rows = yield Statement(LARGEST, (context.namespace,))
        context.known = rows[0][0] if rows else 0
    return max(context.known, context.largest)


def _fitting(found: Iterable[int], room: int) -> int:
    """Returns how many of the first sizes fit, at least 1."""
    count = 0
    for size in found:
        room -= size
        if room < 0 and count:
            break
        count += 1
    return max(1, count)


def count(operation: ops.AnyOperation) -> int:
    """Returns the most elements that an operation may read."""
    if isinstance(operation, ops.GetKeys):
        return len(operation.keys)
    if isinstance(operation, (ops.GetRecords, ops.PatchRecords)):
        return len(operation.ids)
    if isinstance(operation, (ops.ListScopes, ops.ListTags)):
        return ops.MAX_PAGE
    return int(getattr(operation, "limit", 0)) + 1


def size_of(result: object) -> int:
    """Returns approximately how many bytes of memory an operation's result takes."""
    if isinstance(result, ops.KeyEntry):
        return sizes.key(b"", result.value, None)
    if isinstance(result, ops.HistoryItem):
        return sizes.item(None, result.value, None)
    if isinstance(result, ops.RecordEntry):
        embedding = None if result.embedding is None else result.embedding.raw
        return sizes.record(result.text, result.metadata.text, embedding)
    if isinstance(result, ops.RecordMatch):
        return size_of(result.record)
    if isinstance(result, (ops.EntryPage, ops.ItemPage, ops.RecordPage)):
        return sum(map(size_of, result[0]))
    if isinstance(result, tuple):
        return sum(map(size_of, result))
    return 0


def is_short(batch: ops.Batch) -> bool:
    """Returns whether a batch reads so little that handing it to a thread would take longer."""
    if len(batch.operations) != 1:
        return False
    (operation,) = batch.operations
    if isinstance(operation, ops.GetKeys):
        return len(operation.keys) <= _AT_ONCE
    if isinstance(operation, ops.ReadHistory):
        return operation.limit <= _AT_ONCE
    return isinstance(operation, ops.StatHistory)
