"""Finding and deleting the old items of a history; see `retention`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from botwire import operations as ops
from botwire.clock import micros
from botwire.engines.sql import holds, pages, sizes
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_removal import remove
from botwire.engines.sql.history_rows import Stat, enter, items_of, read_row, save
from botwire.engines.sql.retention import Cutoffs, tell_trimmed
from botwire.engines.sql.steps import Context, Rows, Statement, Steps
from botwire.exact import Json
from botwire.messages import Message, UnreadableItemError
from botwire.names import to_bytes
from botwire.tool_calls import CallIds, match_calls

_AHEAD = 1_000  # items after a part in which to look for answers to its calls
_FIRST = 8  # items that are read first, because most histories have nothing to delete
_PART_BYTES = 4 * 1024 * 1024  # about how many bytes of items one part deletes


class _SizedItem(NamedTuple):
    seq: int
    size: int
    created_at: int
    ids: CallIds | None


@handles(ops.FindOldItems)
def _find_old_items(context: Context, op: ops.FindOldItems) -> Steps[ops.OldItems]:
    history = to_bytes(op.name)
    stat = (yield from read_row(context, history)).on(context.now)
    if not stat.exists:
        return ops.OldItems(0, 0, 0, more=False)
    limits = yield from _read_limits(context, history, stat, op)
    limit = op.limit
    while True:
        going, ahead = yield from _read_going(context, history, stat, op, limits, limit)
        is_part = len(going) == limit or sum(item.size for item in going) >= _PART_BYTES
        count = _whole_calls(going, ahead.items, is_end=ahead.is_end)
        if count or not is_part or ahead.is_end:
            break
        # Calls and answers that must stay together do not fit into one part.
        limit = min(limit * 2, ops.MAX_PAGE * 1_000)
    size = sum(item.size for item in going[:count])
    is_whole = op.gone_items + count == stat.size + stat.archived
    if is_whole and not count and not _is_old(stat, op, context.now):
        return ops.OldItems(0, 0, 0, more=False)
    if is_whole:
        size += stat.metadata_size
    if (count or is_whole) and (yield from holds.is_held(context, op.name)):
        return ops.OldItems(0, 0, 0, more=False, held=True)
    up_to = going[count - 1].seq if count else (stat.last_seq if is_whole else 0)
    return ops.OldItems(up_to, count, size, more=is_part and count > 0 and not is_whole)


def _is_old(stat: Stat, op: ops.FindOldItems, now: int) -> bool:
    """Returns whether a history without items is too old and not yet reported."""
    return op.age is not None and not op.after and stat.updated_at < now - micros(op.age)


def _read_limits(
    context: Context, history: bytes, stat: Stat, op: ops.FindOldItems
) -> Steps[Cutoffs]:
    before = 0 if op.age is None else context.now - micros(op.age)
    items = 0 if op.count is None else stat.size + stat.archived - op.gone_items - op.count
    bytes_ = 0
    # A history that shares no items holds at most the bytes in its row.
    if op.bytes is not None and (stat.base is not None or stat.bytes > op.bytes):
        table, parameters = items_of(context, history, stat.shared)
        rows = yield Statement(
            f"SELECT COALESCE(sum({sizes.ITEM}), 0) FROM {table} WHERE seq > ?",
            (*parameters, stat.dead_seq),
        )
        bytes_ = int(rows[0][0]) - op.gone_bytes - op.bytes
    return Cutoffs(before, items, bytes_)


class _Ahead(NamedTuple):
    """The items after a part, and whether the history ends with them."""

    items: list[_SizedItem]
    is_end: bool


def _read_going(
    context: Context, history: bytes, stat: Stat, op: ops.FindOldItems, limits: Cutoffs, limit: int
) -> Steps[tuple[list[_SizedItem], _Ahead]]:
    """Returns the first items to delete, at most one part, and some of the items after them.

    Stops reading ahead once every call read so far has its answer.
    """
    going: list[_SizedItem] = []
    ahead: list[_SizedItem] = []
    size = 0
    after = max(op.after, stat.dead_seq)
    is_over = False  # whether the rest is read ahead
    wanted = _FIRST
    while True:
        rows, more = yield from _read_items(context, history, stat, after, wanted)
        for row in rows:
            item = _SizedItem(row[0], row[1], row[2], _call_ids(row[3]))
            is_over = (
                is_over
                or len(going) == limit
                or size >= _PART_BYTES
                or not (
                    item.created_at < limits.before
                    or len(going) < limits.items
                    or size < limits.bytes
                )
            )
            (ahead if is_over else going).append(item)
            size += 0 if is_over else item.size
            after = item.seq
        is_settled = is_over and not match_calls([one.ids for one in [*going, *ahead]]).unanswered
        if not more or is_settled or len(ahead) >= _AHEAD:
            return going, _Ahead(ahead, not more)
        wanted = min(ops.MAX_PAGE, wanted * 4)


def _read_items(
    context: Context, history: bytes, stat: Stat, after: int, limit: int
) -> Steps[tuple[Rows, bool]]:
    """Returns the number, size, time and value of the next items, and whether there are more."""
    order = "ORDER BY seq"
    table, parameters = items_of(
        context, history, stat.shared, f" AND seq > ? {order} LIMIT ?", [after, limit + 1]
    )
    source = pages.Source(
        f"SELECT seq, {sizes.ITEM}, created_at, value_json",
        f"FROM {table} WHERE seq > ?",
        [*parameters, after],
        sizes.ITEM,
    )
    return (yield from pages.read_page(context, source, order, limit))


def _call_ids(text: str) -> CallIds | None:
    """Returns the calls and answers in an item; None if it is not a message."""
    if '"envelope"' not in text:
        return None
    if '"tool_call' not in text:
        return CallIds()
    try:
        return CallIds.of(Message.from_item(Json.from_text(text).value))
    except UnreadableItemError:
        return None


def _whole_calls(going: Sequence[_SizedItem], ahead: Sequence[_SizedItem], *, is_end: bool) -> int:
    """Returns how many of the first items to delete, so that calls and answers stay together."""
    known = [item.ids for item in [*going, *ahead]]
    matched = match_calls(known)
    spans = [(call.message, answer.message) for call, answer in matched.answered.items()]
    if is_end:
        # A call still waits for its answer if only answers come after it.
        others = (i for i, ids in enumerate(known) if ids is not None and not ids.answers)
        last = max(others, default=-1)
        spans += [(call.message, len(known)) for call in matched.unanswered if call.message == last]
    # Going backwards: if the cut would split a span, move it before the span.
    cut = len(going)
    for first, last in sorted(spans, key=lambda span: -span[1]):
        if first < cut <= last:
            cut = first
    return cut


@handles(ops.TrimHistory)
def _trim_history(context: Context, op: ops.TrimHistory) -> Steps[ops.Trimmed]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    if not stat.exists:
        return ops.Trimmed(0, 0)
    table, parameters = items_of(context, history, stat.shared)
    rows = yield Statement(
        f"SELECT seq, {sizes.ITEM} FROM {table} WHERE seq > ? AND seq <= ?",
        (*parameters, stat.dead_seq, op.up_to),
    )
    freed = sum(size for _, size in rows)
    yield from remove(context, history, stat, [seq for seq, _ in rows])
    stat = yield from read_row(context, history)
    metadata = 0
    if not stat.size + stat.archived and op.up_to >= stat.last_seq:
        metadata = stat.metadata_size
        context.grown -= metadata
        left = stat._replace(
            bytes=stat.bytes - metadata, metadata=None, metadata_version=0, expires_at=None
        )
        yield from save(context, history, left)
    if rows or metadata:
        context.change("history", "delete", history)
        tell_trimmed(context, op.policy, "history", op.name, len(rows), freed + metadata)
    return ops.Trimmed(len(rows), freed + metadata)
