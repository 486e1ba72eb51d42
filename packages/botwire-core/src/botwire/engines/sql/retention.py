"""The operations on retention in SQL; see `operations.retention`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire import wire
from botwire.engines.sql import holds, pages, sizes
from botwire.engines.sql.collection import LIVE_HERE, read_collection
from botwire.engines.sql.handlers import handler_of, handles
from botwire.engines.sql.history_removal import remove
from botwire.engines.sql.history_rows import Stat, enter, items_of, read_row, save
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, chunks, marks
from botwire.errors import ConflictError
from botwire.exact import Json
from botwire.messages import Message, UnreadableItemError
from botwire.names import from_bytes, matches, to_bytes
from botwire.operations.authors import from_stored
from botwire.tool_calls import CallIds, match_calls

_AHEAD = 1_000  # items after a part in which to look for answers to its calls
_FIRST = 8  # items that are read first, because most histories have nothing to delete
_PART_BYTES = 4 * 1024 * 1024  # about how many bytes of items one part deletes
_RECORDS_BYTES = 3_000  # about how many bytes of records' texts one part deletes


# --- policies -------------------------------------------------------------------------------


@handles(ops.SetPolicy)
def _set_policy(context: Context, op: ops.SetPolicy) -> Steps[None]:
    policy = op.policy
    other = holds.key_of(policy.name, policy.namespaces, hold=not policy.hold)
    (found,) = yield from handler_of(ops.GetKeys((other,)))(context, ops.GetKeys((other,)))
    if found is not None:
        is_a, would_be = ("policy", "hold") if policy.hold else ("hold", "policy")
        raise ConflictError(
            f"{policy.name!r:.80} on {policy.namespaces!r:.80} is a {is_a}: remove it first, or "
            f"give the {would_be} another name"
        )
    key = holds.key_of(policy.name, policy.namespaces, hold=policy.hold)
    text = wire.codec_of(ops.RetentionPolicy).encode(policy)
    put = ops.PutKey(key, Json.from_text(text))
    yield from handler_of(put)(context, put)
    event = "retention.hold" if policy.hold else "retention.set"
    _tell(context, event, policy=Json.from_text(text).value)


@handles(ops.DropPolicy)
def _drop_policy(context: Context, op: ops.DropPolicy) -> Steps[bool]:
    dropped = False
    for hold, event in ((False, "retention.remove"), (True, "retention.release")):
        delete = ops.DeleteKey(holds.key_of(op.name, op.namespaces, hold=hold))
        if (yield from handler_of(delete)(context, delete)):
            _tell(context, event, policy={"name": op.name, "namespaces": op.namespaces})
            dropped = True
    return dropped


@handles(ops.ListPolicies)
def _list_policies(
    context: Context, op: ops.ListPolicies
) -> Steps[tuple[ops.RetentionPolicy, ...]]:
    found = yield from holds.read_policies(hold=False)
    found += yield from holds.read_policies(hold=True)
    within = [policy for policy in found if matches(op.within, policy.namespaces)]
    return tuple(
        sorted(within, key=lambda one: (one.hold, to_bytes(one.namespaces), to_bytes(one.name)))
    )


def _tell(context: Context, event: str, **fields: Any) -> None:
    """Adds an entry to the audit log, which the batch writes when it ends."""
    who = None if context.author is None else from_stored(context.author).key
    context.audit.append(Json.of({"event": event, "who": who, **fields}))


# --- items ----------------------------------------------------------------------------------


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
    if (count or is_whole) and (yield from _is_held(context, op.name)):
        return ops.OldItems(0, 0, 0, more=False, held=True)
    up_to = going[count - 1].seq if count else (stat.last_seq if is_whole else 0)
    return ops.OldItems(up_to, count, size, more=is_part and count > 0 and not is_whole)


def _is_old(stat: Stat, op: ops.FindOldItems, now: int) -> bool:
    """Returns whether a history without items is too old and not yet reported."""
    return op.age is not None and not op.after and stat.updated_at < now - _micros(op.age)


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _is_held(context: Context, history: str | None = None) -> Steps[bool]:
    namespace = from_bytes(context.namespace)
    if context.holds is None:
        context.holds = yield from holds.read_policies(hold=True)
    return any(hold.covers(namespace, history) for hold in context.holds)


class _Cutoffs(NamedTuple):
    """What to delete: everything created before a time, or the first items or bytes."""

    before: int
    items: int
    bytes: int


def _read_limits(
    context: Context, history: bytes, stat: Stat, op: ops.FindOldItems
) -> Steps[_Cutoffs]:
    before = 0 if op.age is None else context.now - _micros(op.age)
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
    return _Cutoffs(before, items, bytes_)


class _Ahead(NamedTuple):
    """The items after a part, and whether the history ends with them."""

    items: list[_SizedItem]
    is_end: bool


def _read_going(
    context: Context, history: bytes, stat: Stat, op: ops.FindOldItems, limits: _Cutoffs, limit: int
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
        _tell_trimmed(context, op.policy, "history", op.name, len(rows), freed + metadata)
    return ops.Trimmed(len(rows), freed + metadata)


def _tell_trimmed(
    context: Context, policy: str, shape: str, name: str, count: int, size: int
) -> None:
    _tell(
        context,
        "retention.apply",
        policy=policy,
        namespace=from_bytes(context.namespace),
        shape=shape,
        name=name,
        count=count,
        bytes=size,
    )


# --- records --------------------------------------------------------------------------------


@handles(ops.FindOldRecords)
def _find_old_records(context: Context, op: ops.FindOldRecords) -> Steps[ops.OldRecords]:
    here = (context.namespace, to_bytes(op.collection))
    rows = yield Statement(
        f"SELECT count(*), COALESCE(sum({sizes.RECORD}), 0) FROM botwire_records WHERE {LIVE_HERE}",
        (*here, context.now),
    )
    count, held_bytes = int(rows[0][0]), int(rows[0][1])
    limits = _Cutoffs(
        0 if op.age is None else context.now - _micros(op.age),
        0 if op.count is None else count - op.gone_records - op.count,
        0 if op.bytes is None else held_bytes - op.gone_bytes - op.bytes,
    )
    ids: list[bytes] = []
    size = texts = 0
    cursor: tuple[int, bytes] | None = None
    if op.after is not None and op.after_time is not None:
        cursor = (op.after_time, to_bytes(op.after))
    while True:
        page, bounds = "", []
        if cursor is not None:
            page = " AND created_at >= ? AND (created_at > ? OR id > ?)"
            bounds = [cursor[0], *cursor]
        rows = yield Statement(
            f"SELECT created_at, id, updated_at, {sizes.RECORD}, length(text) FROM botwire_records "
            f"WHERE {LIVE_HERE}{page} ORDER BY created_at, id LIMIT ?",
            (*here, context.now, *bounds, ops.MAX_PAGE),
        )
        for created_at, id, updated_at, bytes_, length in rows:
            is_first = len(ids) < limits.items or size < limits.bytes
            if not is_first and created_at >= limits.before:
                return (yield from _old_records(context, ids, size))
            if is_first or updated_at < limits.before:
                if ids and (len(ids) == op.limit or texts + length > _RECORDS_BYTES):
                    return (yield from _old_records(context, ids, size, cursor))
                ids.append(id)
                size += bytes_
                texts += length
            cursor = (created_at, id)
        if len(rows) < ops.MAX_PAGE:
            return (yield from _old_records(context, ids, size))


def _old_records(
    context: Context, ids: Sequence[bytes], size: int, cursor: tuple[int, bytes] | None = None
) -> Steps[ops.OldRecords]:
    if ids and (yield from _is_held(context)):
        return ops.OldRecords((), 0, held=True)
    after_time, after = (None, None) if cursor is None else (cursor[0], from_bytes(cursor[1]))
    return ops.OldRecords(tuple(map(from_bytes, ids)), size, after_time, after)


@handles(ops.TrimRecords)
def _trim_records(context: Context, op: ops.TrimRecords) -> Steps[ops.Trimmed]:
    collection = yield from read_collection(context, op.collection)
    found: Rows = []
    for chunk in chunks([to_bytes(id) for id in op.ids]):
        found += yield Statement(
            f"SELECT id, {sizes.RECORD} FROM botwire_records "
            f"WHERE {LIVE_HERE} AND id IN ({marks(chunk)})",
            (context.namespace, collection.name, context.now, *chunk),
        )
    if not found:
        return ops.Trimmed(0, 0)
    ids = tuple([from_bytes(id) for id, _ in found])
    delete = ops.DeleteRecords(op.collection, ops.Selection(ids=ids))
    count: int = yield from handler_of(delete)(context, delete)
    size = sum(size for _, size in found)
    _tell_trimmed(context, op.policy, "collection", op.collection, count, size)
    return ops.Trimmed(count, size)
