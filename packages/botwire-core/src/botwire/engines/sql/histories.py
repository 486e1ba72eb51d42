"""What the operations on histories mean in SQL; see `engines.sql.batches`.

An expired history is as if it had been cleared, which is no change, as with keys. Reads see that by
its row alone. The next write, or the sweep, buries it: its items become dead, and the sweep removes
them in parts.

A fork shares items with other histories; see `history_rows`. What changes one of them in the middle
copies them all first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botwire import filters
from botwire import operations as ops
from botwire.engines.sql import pages, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import (
    EXISTS,
    HERE,
    STAT,
    Shared,
    Stat,
    bury,
    enter,
    items_of,
    keep_past,
    metadata_of,
    own_all,
    read_row,
    release,
    remove_dead,
    save,
    share,
    trim,
)
from botwire.engines.sql.steps import (
    Context,
    Rows,
    Statement,
    Steps,
    bounds,
    chunks,
    count_in,
    marks,
)
from botwire.errors import ConflictError, NotFoundError
from botwire.exact import Json
from botwire.names import from_bytes, to_bytes

# An expired history keeps its expiry until it is buried, which shows that it must be.
_APPEND = (
    tables.HISTORIES.upsert(
        **{
            kept: f"botwire_histories.{kept}"
            for kept in (
                *("archived", "archived_seq", "created_at"),
                *("metadata", "metadata_version", "dead_seq", "dead"),
                *("base", "forks", "forked_seq", "forked_version", "past"),
            )
        },
        **{
            counted: f"botwire_histories.{counted} + excluded.{counted}"
            for counted in ("last_seq", "size", "bytes")
        },
        expires_at="CASE WHEN botwire_histories.expires_at <= excluded.updated_at "
        "THEN botwire_histories.expires_at "
        "ELSE COALESCE(excluded.expires_at, botwire_histories.expires_at) END",
    )
    + " RETURNING last_seq, expires_at"
)


def _expect_last(context: Context, name: str, if_last: int | None) -> Steps[None]:
    if if_last is None:
        return

    def compare(rows: Rows) -> None:
        last = rows[0][0] if rows else 0
        if last != if_last:
            raise ConflictError(
                f"history {name!r:.80} ends at {last}, not at {if_last}: "
                "read what was added and retry"
            )

    yield Statement(
        f"SELECT last_seq FROM botwire_histories WHERE {HERE}",
        (context.namespace, to_bytes(name)),
        then=compare,
    )


def _floor(column: str) -> str:
    """Returns SQL for the number of the last item that a reader does not see."""
    return (
        f"COALESCE((SELECT CASE WHEN expires_at <= ? THEN last_seq ELSE {column} END "
        f"FROM botwire_histories WHERE {HERE}), 0)"
    )


@handles(ops.ExtendHistory)
def _extend_history(context: Context, op: ops.ExtendHistory) -> Steps[tuple[int, ...]]:
    history = to_bytes(op.name)
    known = yield from _known(context, history, op.ids or ())
    ids = op.ids or (None,) * len(op.values)
    new = [
        (value, id)
        for value, id in zip(op.values, ids, strict=True)
        if id is None or id not in known
    ]
    if new:
        yield from _expect_last(context, op.name, op.if_last)
        first = yield from append(context, history, new, op.ttl)
    results = []
    for id in ids:
        if id is not None and id in known:
            results.append(known[id])
        else:
            results.append(first)
            first += 1
    return tuple(results)


def _known(context: Context, history: bytes, ids: Sequence[str | None]) -> Steps[dict[str, int]]:
    """Answers the numbers of the items that have these ids, for the ids that are taken."""
    given = [to_bytes(id) for id in ids if id is not None]
    if not given:
        return {}
    stats: Rows = []
    yield Statement(
        f"SELECT {STAT} FROM botwire_histories WHERE {HERE}",
        (context.namespace, history),
        then=stats.extend,
    )
    own = f"FROM botwire_items WHERE {HERE}", [context.namespace, history]
    found = yield from _numbered(own, given)
    stat = Stat(*stats[0]) if stats else Stat()
    seen = stat.on(context.now)
    dead = [seq for _, seq in found if seq <= seen.dead_seq]
    if dead:
        # Their ids are free again, so the rows must go before others get the ids.
        stat = yield from enter(context, history)
        yield from _remove(context, history, stat, dead, dead=True)
    if seen.base is not None:
        table, parameters = items_of(context, history, seen.shared)
        found = yield from _numbered((f"FROM {table} WHERE seq > ?", [*parameters, 0]), given)
    return {from_bytes(id): seq for id, seq in found if seq > seen.dead_seq}


def _numbered(source: tuple[str, list[Any]], ids: Sequence[bytes]) -> Steps[Rows]:
    sql, parameters = source
    found: Rows = []
    for chunk in chunks(ids):
        found += yield Statement(
            f"SELECT id, seq {sql} AND id IN ({marks(chunk)})", (*parameters, *chunk)
        )
    return found


def append(
    context: Context,
    history: bytes,
    new: Sequence[tuple[Json, str | None]],
    ttl: float | None = None,
) -> Steps[int]:
    """Appends values with their ids, none of which is there yet, and answers the first's number."""
    stored = [(None if id is None else to_bytes(id), value) for value, id in new]
    author = context.author
    added = [sizes.item(id, value, author) for id, value in stored]
    now, expires_at = context.now, context.expiry(ttl)
    rows = yield Statement(
        _APPEND,
        (
            *(context.namespace, history, len(new), len(new), 0, 0, now, now, sum(added)),
            *(None, 0, expires_at, 0, 0, None, 0, 0, 0, 0),
        ),
    )
    last, expiry = rows[0]
    if expiry is not None and expiry <= now:
        stat = yield from read_row(context, history)
        buried = yield from bury(context, history, stat, len(new))
        yield from save(context, history, buried._replace(expires_at=expires_at))
    first: int = last - len(new) + 1
    version = context.change("history", "append", history)
    items = [
        (seq, id, value, now, version, author) for seq, (id, value) in enumerate(stored, first)
    ]
    yield tables.insert_items(context.namespace, history, items)
    context.grow(added)
    return first


@handles(ops.ReplaceHistory)
def _replace_history(context: Context, op: ops.ReplaceHistory) -> Steps[tuple[int, ...]]:
    yield from _expect_last(context, op.name, op.if_last)
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    if stat.size + stat.archived:
        yield from _empty(context, history, stat)
        context.change("history", "clear", history)
    elif stat.dead:
        # Their ids are free again, so the rows must go before others get the ids.
        yield from remove_dead(context, history, stat)
    if not op.values:
        return ()
    ids = op.ids or (None,) * len(op.values)
    first = yield from append(context, history, list(zip(op.values, ids, strict=True)), op.ttl)
    return tuple(range(first, first + len(op.values)))


def _empty(context: Context, history: bytes, stat: Stat) -> Steps[Stat]:
    """Deletes all items; answers the row, which keeps metadata and expiry."""
    here = (context.namespace, history)
    stat = yield from keep_past(context, history, stat, "1 = 1", ())
    yield Statement(f"DELETE FROM botwire_items WHERE {HERE}", here)
    yield from release(context, stat.shared)
    left = stat.metadata_size
    if stat.past:
        rows = yield Statement(
            f"SELECT COALESCE(sum({sizes.ITEM}), 0) FROM botwire_past_items WHERE {HERE}", here
        )
        left += int(rows[0][0])
    context.grown -= stat.bytes - left
    emptied = stat.sharing(())._replace(
        size=0, archived=0, dead=0, bytes=left, updated_at=context.now
    )
    yield from save(context, history, emptied)
    return emptied


@handles(ops.UpdateItem)
def _update_item(context: Context, op: ops.UpdateItem) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    column, given = ("seq", op.seq) if op.id is None else ("id", to_bytes(op.id))
    table, parameters = items_of(context, history, stat.shared)
    rows = yield Statement(
        f"SELECT seq, id, version, {sizes.ITEM} FROM {table} WHERE {column} = ? AND seq > ?",
        (*parameters, given, stat.dead_seq),
    )
    if not rows:
        which = op.seq if op.id is None else f"{op.id!r:.80}"
        raise NotFoundError(f"history {op.name!r:.80} has no item {which}")
    seq, id, version, size = rows[0]
    if op.if_version not in (None, version):
        raise ConflictError(
            f"item {seq} of history {op.name!r:.80} has version {version}, not {op.if_version}: "
            "read it again and retry"
        )
    if stat.base is not None and seq <= stat.shared[0].up_to:
        stat = yield from own_all(context, history, stat)
    stat = yield from keep_past(context, history, stat, "seq = ?", (seq,))
    new = context.change("history", "update", history)
    yield Statement(
        f"UPDATE botwire_items SET value_json = ?, version = ?, author = ? "
        f"WHERE {HERE} AND seq = ?",
        (op.value.text, new, context.author, context.namespace, history, seq),
    )
    added = sizes.item(id, op.value, context.author)
    context.grow([added], size)
    expires_at = stat.expires_at if op.ttl is None else context.expiry(op.ttl)
    stat = stat._replace(
        bytes=stat.bytes + added - size, updated_at=context.now, expires_at=expires_at
    )
    yield from save(context, history, stat)
    return new


@handles(ops.SetHistoryMetadata)
def _set_history_metadata(context: Context, op: ops.SetHistoryMetadata) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    if op.if_version not in (None, stat.metadata_version):
        raise ConflictError(
            f"the metadata of history {op.name!r:.80} has version {stat.metadata_version}, not "
            f"{op.if_version}: read it again and retry"
        )
    text = None if op.metadata.text == ops.NO_METADATA.text else op.metadata.text
    version = context.change("history", "metadata", history)
    added = len(text or "") - stat.metadata_size
    context.grown += added
    stat = stat._replace(
        bytes=stat.bytes + added,
        metadata=text,
        metadata_version=0 if text is None else version,
        created_at=stat.created_at or context.now,
        updated_at=context.now,
    )
    yield from save(context, history, stat)
    return version


@handles(ops.ExpireHistory)
def _expire_history(context: Context, op: ops.ExpireHistory) -> Steps[bool]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    if not stat.exists:
        return False
    context.change("history", "expire", history)
    stat = stat._replace(expires_at=context.expiry(op.ttl), updated_at=context.now)
    yield from save(context, history, stat)
    return True


@handles(ops.ReadHistory)
def _read_history(context: Context, op: ops.ReadHistory) -> Steps[ops.ItemPage]:
    history = to_bytes(op.name)
    here = (context.namespace, history)
    floor = _floor("dead_seq" if op.archived else "archived_seq")
    condition = f"seq > {floor}"
    bounds: list[Any] = [context.now, *here]
    if op.after:
        condition += " AND seq > ?"
        bounds.append(op.after)
    if op.before is not None:
        condition += " AND seq < ?"
        bounds.append(op.before)
    order = f"ORDER BY seq {'DESC' if op.newest_first else 'ASC'}"

    select = f"SELECT {tables.HISTORY_ITEM}"
    # Asked along with the items: nearly every history has only its own.
    forked: Rows = []
    yield Statement(
        f"SELECT {STAT} FROM botwire_histories WHERE {HERE} AND base IS NOT NULL",
        here,
        then=forked.extend,
    )
    own = pages.Source(
        select, f"FROM botwire_items WHERE {HERE} AND {condition}", [*here, *bounds], sizes.ITEM
    )
    rows, more = yield from pages.read_page(context, own, order, op.limit)
    if forked:
        also = f" AND {condition} {order} LIMIT ?"
        shared = Stat(*forked[0]).shared
        table, parameters = items_of(context, history, shared, also, [*bounds, op.limit + 1])
        every = pages.Source(select, f"FROM {table} WHERE 1 = 1", parameters, sizes.ITEM)
        rows, more = yield from pages.read_page(context, every, order, op.limit)
    return ops.ItemPage(tuple([tables.history_item(row) for row in rows]), more)


@handles(ops.StatHistory)
def _stat_history(context: Context, op: ops.StatHistory) -> Steps[ops.HistoryStat]:
    stat = yield from read_row(context, to_bytes(op.name))
    return _public_stat((to_bytes(op.name), *stat.on(context.now)))


def _public_stat(row: Sequence[Any]) -> ops.HistoryStat:
    """Returns what a history's name and its row say."""
    stat = Stat(*row[1:])
    return ops.HistoryStat(
        *(
            from_bytes(row[0]),
            stat.size,
            stat.archived,
            stat.last_seq,
            stat.created_at,
            stat.updated_at,
        ),
        metadata=metadata_of(stat.metadata),
        metadata_version=stat.metadata_version,
        expires_at=stat.expires_at,
    )


@handles(ops.DeleteItems)
def _delete_items(context: Context, op: ops.DeleteItems) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    deleted = yield from _remove(context, history, stat, op.seqs)
    if deleted:
        context.change("history", "delete", history)
    return deleted


def _remove(
    context: Context, history: bytes, stat: Stat, seqs: Sequence[int], *, dead: bool = False
) -> Steps[int]:
    """Deletes items with these numbers, either dead ones or the others; answers how many."""
    deleted: list[int] = []
    if stat.base is not None and not dead:
        stat, deleted = yield from _leave_out(context, history, stat, seqs)
    bytes_before = stat.bytes
    for chunk in chunks(seqs):
        condition = f"seq IN ({marks(chunk)}) AND seq {'<=' if dead else '>'} ?"
        parameters = (*chunk, stat.dead_seq)
        stat = yield from keep_past(context, history, stat, condition, parameters)
        rows = yield Statement(
            f"DELETE FROM botwire_items WHERE {HERE} AND {condition} RETURNING seq, {sizes.ITEM}",
            (context.namespace, history, *parameters),
        )
        deleted += [seq for seq, _ in rows]
        freed = sum(size for _, size in rows)
        context.grown -= freed
        stat = stat._replace(bytes=stat.bytes - freed)
    if deleted or stat.bytes != bytes_before:
        archived = 0 if dead else sum(1 for seq in deleted if seq <= stat.archived_seq)
        stat = stat._replace(
            size=stat.size - (0 if dead else len(deleted) - archived),
            archived=stat.archived - archived,
            dead=stat.dead - (len(deleted) if dead else 0),
            updated_at=stat.updated_at if dead else context.now,
        )
        yield from save(context, history, stat)
    return len(deleted)


def _leave_out(
    context: Context, history: bytes, stat: Stat, seqs: Sequence[int]
) -> Steps[tuple[Stat, list[int]]]:
    """Leaves shared items with these numbers out of a fork, if they are its first or its last.

    Otherwise it copies all that are shared, to be deleted as any.

    Returns:
        The row, and the numbers of the items that were left out.
    """
    end = stat.shared[0].up_to
    table, parameters = items_of(context, history, stat.shared)
    given = sorted({seq for seq in seqs if seq <= end})
    found: Rows = []
    for chunk in chunks(given):
        found += yield Statement(
            f"SELECT seq FROM {table} WHERE seq IN ({marks(chunk)})", (*parameters, *chunk)
        )
    gone = sorted(seq for (seq,) in found)
    if not gone:
        return stat, []
    for newest, bound in ((True, ">= ?"), (False, "<= ?")):
        rows = yield Statement(
            f"SELECT seq FROM {table} WHERE seq {bound} AND seq <= ? LIMIT ?",
            (*parameters, gone[0] if newest else gone[-1], end, len(gone) + 1),
        )
        if len(rows) == len(gone):
            return (yield from trim(context, stat, gone, newest=newest)), gone
    return (yield from own_all(context, history, stat)), []


@handles(ops.PopItem)
def _pop_item(context: Context, op: ops.PopItem) -> Steps[ops.HistoryItem | None]:
    last = ops.ReadHistory(op.name, limit=1, newest_first=True)
    page = yield from _read_history(context, last)
    if not page.items:
        return None
    yield from _delete_items(context, ops.DeleteItems(op.name, (page.items[0].seq,)))
    return page.items[0]


@handles(ops.ArchiveHistory)
def _archive_history(context: Context, op: ops.ArchiveHistory) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    up_to = min(op.up_to, stat.last_seq)
    if up_to <= stat.archived_seq:
        return 0
    count = yield from _count(context, history, stat, stat.archived_seq, up_to)
    stat = stat._replace(
        archived_seq=up_to,
        archived=stat.archived + count,
        size=stat.size - count,
        updated_at=context.now,
    )
    yield from save(context, history, stat)
    context.change("history", "archive", history)
    return count


def _count(context: Context, history: bytes, stat: Stat, after: int, up_to: int) -> Steps[int]:
    """Answers how many items have numbers after one and up to another."""
    table, parameters = items_of(context, history, stat.shared)
    rows = yield Statement(
        f"SELECT count(*) FROM {table} WHERE seq > ? AND seq <= ?", (*parameters, after, up_to)
    )
    return count_in(rows)


@handles(ops.ClearHistory)
def _clear_history(context: Context, op: ops.ClearHistory) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    count = stat.size + stat.archived
    if not stat.exists:
        return 0
    if op.limit is None or count <= op.limit:
        stat = yield from _empty(context, history, stat)
        context.grown -= stat.metadata_size
        left = stat.bytes - stat.metadata_size
        stat = stat._replace(bytes=left, metadata=None, metadata_version=0, expires_at=None)
        yield from save(context, history, stat)
    else:
        count = yield from _clear_oldest(context, history, stat, op.limit)
    context.change("history", "clear", history)
    return count


def _clear_oldest(context: Context, history: bytes, stat: Stat, limit: int) -> Steps[int]:
    """Archives all items and deletes the oldest of them; answers how many."""
    stat = stat._replace(archived_seq=stat.last_seq, archived=stat.archived + stat.size, size=0)
    table, parameters = items_of(context, history, stat.shared)
    rows = yield Statement(
        f"SELECT seq FROM {table} WHERE seq > ? ORDER BY seq LIMIT ?",
        (*parameters, stat.dead_seq, limit),
    )
    return (yield from _remove(context, history, stat, [seq for (seq,) in rows]))


# --- what expired ---------------------------------------------------------------------------

_DUE = 100  # histories that are looked at in one transaction


def sweep(context: Context, most: int) -> Steps[int]:
    """Buries expired histories of the namespace and removes dead items; answers how many.

    Past items that no fork reads any more go too.

    Args:
        context: The sweep's, of one namespace.
        most: How many items to remove, about.
    """
    rows = yield Statement(
        f"SELECT history, {STAT} FROM botwire_histories "
        "WHERE namespace = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?",
        (context.namespace, context.now, _DUE),
    )
    done = len(rows)
    for history, *columns in rows:
        yield from bury(context, history, Stat(*columns))
    rows = yield Statement(
        f"SELECT history, {STAT} FROM botwire_histories WHERE namespace = ? AND {UNSWEPT} LIMIT ?",
        (context.namespace, _DUE),
    )
    for history, *columns in rows:
        stat = Stat(*columns)
        if stat.dead:
            found = yield Statement(
                f"SELECT seq FROM botwire_items WHERE {HERE} AND seq <= ? ORDER BY seq LIMIT ?",
                (context.namespace, history, stat.dead_seq, most),
            )
            removed = yield from _remove(
                context, history, stat, [seq for (seq,) in found], dead=True
            )
        else:
            removed = yield from _forget_past(context, history, stat, most)
        done += removed
        most -= removed
        if most <= 0:
            break
    return done


def _forget_past(context: Context, history: bytes, stat: Stat, most: int) -> Steps[int]:
    """Deletes some past items of a history without forks; answers how many."""
    here = (context.namespace, history)
    rows = yield Statement(
        f"DELETE FROM botwire_past_items WHERE {HERE} AND (seq, until) IN (SELECT seq, until "
        f"FROM botwire_past_items WHERE {HERE} LIMIT ?) RETURNING {sizes.ITEM}",
        (*here, *here, most),
    )
    freed = sum(size for (size,) in rows)
    context.grown -= freed
    left = stat._replace(past=stat.past - len(rows), bytes=stat.bytes - freed)
    yield from save(context, history, left)
    return len(rows)


UNSWEPT = "(dead > 0 OR (past > 0 AND forks = 0))"
"""The condition that `sweep` has to remove items of a history."""
FIND_EXPIRED = (
    "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_histories "
    "WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) due UNION "
    "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_histories "
    f"WHERE {UNSWEPT} LIMIT ?) unswept"
)
"""Finds some of the namespaces that `sweep` has work in."""


# --- forks ----------------------------------------------------------------------------------


@handles(ops.ForkHistory)
def _fork_history(context: Context, op: ops.ForkHistory) -> Steps[int]:
    source, name = to_bytes(op.name), to_bytes(op.to)
    target = yield from enter(context, name)
    if target.last_seq or target.exists:
        raise ConflictError(
            f"history {op.to!r:.80} has been written to: fork into a history that is new"
        )
    stat = yield from enter(context, source)
    if not stat.exists:
        raise NotFoundError(f"history {op.name!r:.80} does not exist, so it cannot be forked")
    up_to = stat.last_seq if op.up_to is None else min(op.up_to, stat.last_seq)
    count = yield from _count_up_to(context, source, stat, up_to)
    archived = stat.archived if up_to >= stat.archived_seq else count
    version = context.change("history", "fork", name)
    shared = [one._replace(up_to=min(one.up_to, up_to)) for one in stat.shared]
    own_after = max([stat.dead_seq, *(one.up_to for one in stat.shared[:1])])
    shared = [Shared(source, own_after, up_to, version), *shared]
    shared = [one for one in shared if one.after < one.up_to]
    yield from share(context, shared)
    forked = target.sharing(shared)._replace(
        last_seq=up_to,
        size=count - archived,
        archived=archived,
        archived_seq=min(stat.archived_seq, up_to),
        created_at=target.created_at or context.now,
        updated_at=context.now,
    )
    yield from save(context, name, forked)
    return count


def _count_up_to(context: Context, history: bytes, stat: Stat, up_to: int) -> Steps[int]:
    """Answers how many items have numbers up to one, without looking at many of them."""
    total = stat.size + stat.archived
    first = stat.shared[-1].after if stat.shared else stat.dead_seq
    if up_to >= stat.last_seq:
        return total
    if stat.last_seq - first == total:  # none was deleted
        return max(0, up_to - first)
    if stat.last_seq - up_to < up_to - first:
        return total - (yield from _count(context, history, stat, up_to, stat.last_seq))
    return (yield from _count(context, history, stat, stat.dead_seq, up_to))


# --- lists ----------------------------------------------------------------------------------

_SCANNED = 1_000  # histories that one statement reads where a filter is given


@handles(ops.ListHistories)
def _list_histories(context: Context, op: ops.ListHistories) -> Steps[ops.HistoryPage]:
    found: Rows = []
    if op.where is None:
        found = yield from _scan(context, op, op.limit + 1)
    else:
        test = filters.read_filter(op.where)
        condition = "" if test({}) else " AND metadata IS NOT NULL"
        following = op
        while len(found) <= op.limit:
            rows = yield from _scan(context, following, _SCANNED, condition)
            metadata = filters.decode_all([row[_METADATA] or "{}" for row in rows])
            found += [row for row, value in zip(rows, metadata, strict=True) if test(value)]
            if len(rows) < _SCANNED:
                break
            last = _public_stat(rows[-1])
            following = following.following(ops.HistoryPage((last,), more=True)) or op
    stats = tuple([_public_stat(row) for row in found[: op.limit]])
    return ops.HistoryPage(stats, len(found) > op.limit)


_METADATA = 1 + STAT.split(", ").index("metadata")


def _scan(context: Context, op: ops.ListHistories, limit: int, also: str = "") -> Steps[Rows]:
    """Answers the names and the rows of the next histories, whatever their metadata."""
    by_time = op.order == "updated"
    beyond, direction = ("<", "DESC") if op.descending else (">", "ASC")
    condition, parameters = bounds(
        "history", op.prefix, None if by_time or op.descending else op.after
    )
    if op.after is not None and by_time:
        # The first comparison alone is one that the index of times can begin with.
        condition += (
            f" AND updated_at {beyond}= ? AND (updated_at {beyond} ? OR history {beyond} ?)"
        )
        parameters += [op.after_time, op.after_time, to_bytes(op.after)]  # type: ignore[list-item]
    elif op.after is not None and op.descending:
        condition += " AND history < ?"
        parameters.append(to_bytes(op.after))
    order = f"updated_at {direction}, history {direction}" if by_time else f"history {direction}"
    return (
        yield Statement(
            f"SELECT history, {STAT} FROM botwire_histories WHERE namespace = ?{condition}{also} "
            f"AND {EXISTS} AND {tables.LIVE} ORDER BY {order} LIMIT ?",
            (context.namespace, *parameters, context.now, limit),
        )
    )
