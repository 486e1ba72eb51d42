"""What the operations on histories mean in SQL; see `engines.sql.batches`.

An expired history is as if it had been cleared, which is no change, as with keys. Reads see that by
its row alone. The next write, or the sweep, buries it: its items become dead, and the sweep removes
them in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from botwire import filters
from botwire import operations as ops
from botwire.engines.sql import pages, sizes, tables
from botwire.engines.sql.handlers import handles
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

_HERE = "namespace = ? AND history = ?"
EXISTS = "(size + archived > 0 OR metadata IS NOT NULL)"
"""The condition that a history, which has not expired, holds anything."""
# An expired history keeps its expiry until it is buried, which shows that it must be.
_APPEND = (
    tables.HISTORIES.upsert(
        **{
            kept: f"botwire_histories.{kept}"
            for kept in (
                *("archived", "archived_seq", "created_at"),
                *("metadata", "metadata_version", "dead_seq", "dead"),
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
STAT = tables.HISTORIES.columns
"""The columns of a `Stat`."""


class Stat(NamedTuple):
    """A history's row; see `schema`."""

    last_seq: int = 0
    size: int = 0
    archived: int = 0
    archived_seq: int = 0
    created_at: int = 0
    updated_at: int = 0
    bytes: int = 0
    metadata: str | None = None
    metadata_version: int = 0
    expires_at: int | None = None
    dead_seq: int = 0
    dead: int = 0

    def is_expired(self, now: int) -> bool:
        """Says whether readers no longer see what the row says."""
        return self.expires_at is not None and self.expires_at <= now

    def on(self, now: int) -> Stat:
        """Returns what readers see: an expired history is empty."""
        return self.buried() if self.is_expired(now) else self

    def buried(self) -> Stat:
        """Returns the row of an expired history after its items became dead."""
        return self._replace(
            size=0,
            archived=0,
            archived_seq=self.last_seq,
            bytes=self.bytes - self.metadata_size,
            metadata=None,
            metadata_version=0,
            expires_at=None,
            dead_seq=self.last_seq,
            dead=self.dead + self.size + self.archived,
        )

    @property
    def metadata_size(self) -> int:
        """How many bytes the metadata count."""
        return len(self.metadata or "")


def _read_row(context: Context, history: bytes) -> Steps[Stat]:
    rows = yield Statement(
        f"SELECT {STAT} FROM botwire_histories WHERE {_HERE}", (context.namespace, history)
    )
    return Stat(*rows[0]) if rows else Stat()


def enter(context: Context, history: bytes) -> Steps[Stat]:
    """Answers the row of a history that is about to be written, buried if it has expired."""
    stat = yield from _read_row(context, history)
    if not stat.is_expired(context.now):
        return stat
    return (yield from _bury(context, history, stat))


def _bury(context: Context, history: bytes, stat: Stat, new: int = 0) -> Steps[Stat]:
    """Makes the items of an expired history dead, all but the last `new`; answers its row."""
    buried = stat._replace(last_seq=stat.last_seq - new, size=stat.size - new).buried()
    buried = buried._replace(last_seq=stat.last_seq, size=new)
    context.grown -= stat.metadata_size
    yield from save(context, history, buried)
    return buried


_SAVE = tables.HISTORIES.upsert()


def save(context: Context, history: bytes, stat: Stat) -> Steps[None]:
    """Writes the row of a history."""
    yield Statement(_SAVE, (context.namespace, history, *stat))


def remove_dead(context: Context, history: bytes, stat: Stat) -> Steps[Stat]:
    """Deletes the dead items of a history; answers its row."""
    rows = yield Statement(
        f"DELETE FROM botwire_items WHERE {_HERE} AND seq <= ? RETURNING {sizes.ITEM}",
        (context.namespace, history, stat.dead_seq),
    )
    freed = sum(size for (size,) in rows)
    context.grown -= freed
    stat = stat._replace(dead=0, bytes=stat.bytes - freed)
    yield from save(context, history, stat)
    return stat


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
        f"SELECT last_seq FROM botwire_histories WHERE {_HERE}",
        (context.namespace, to_bytes(name)),
        then=compare,
    )


def _floor(column: str) -> str:
    """Returns SQL for the number of the last item that a reader does not see."""
    return (
        f"COALESCE((SELECT CASE WHEN expires_at <= ? THEN last_seq ELSE {column} END "
        f"FROM botwire_histories WHERE {_HERE}), 0)"
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
    known: dict[str, int] = {}
    dead: list[int] = []
    for chunk in chunks([to_bytes(id) for id in ids if id is not None]):
        rows = yield Statement(
            f"SELECT id, seq, seq <= {_floor('dead_seq')} FROM botwire_items "
            f"WHERE {_HERE} AND id IN ({marks(chunk)})",
            (*(context.now, context.namespace, history), context.namespace, history, *chunk),
        )
        for id, seq, is_dead in rows:
            if is_dead:
                dead.append(seq)
            else:
                known[from_bytes(id)] = seq
    if dead:
        # Their ids are free again, so the rows must go before others get the ids.
        stat = yield from enter(context, history)
        yield from _remove(context, history, stat, dead, dead=True)
    return known


def append(
    context: Context,
    history: bytes,
    new: Sequence[tuple[Json, str | None]],
    ttl: float | None = None,
) -> Steps[int]:
    """Appends values with their ids, none of which is there yet, and answers the first's number."""
    stored = [(None if id is None else to_bytes(id), value) for value, id in new]
    added = [sizes.item(id, value) for id, value in stored]
    now, expires_at = context.now, context.expiry(ttl)
    rows = yield Statement(
        _APPEND,
        (
            *(context.namespace, history, len(new), len(new), 0, 0, now, now, sum(added)),
            *(None, 0, expires_at, 0, 0),
        ),
    )
    last, expiry = rows[0]
    if expiry is not None and expiry <= now:
        stat = yield from _read_row(context, history)
        buried = yield from _bury(context, history, stat, len(new))
        yield from save(context, history, buried._replace(expires_at=expires_at))
    first: int = last - len(new) + 1
    version = context.change("history", "append", history)
    items = [(seq, id, value, now, version) for seq, (id, value) in enumerate(stored, first)]
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
    yield Statement(f"DELETE FROM botwire_items WHERE {_HERE}", (context.namespace, history))
    left = stat.metadata_size
    context.grown -= stat.bytes - left
    emptied = stat._replace(size=0, archived=0, dead=0, bytes=left, updated_at=context.now)
    yield from save(context, history, emptied)
    return emptied


@handles(ops.UpdateItem)
def _update_item(context: Context, op: ops.UpdateItem) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    column, given = ("seq", op.seq) if op.id is None else ("id", to_bytes(op.id))
    rows = yield Statement(
        f"SELECT seq, id, version, {sizes.ITEM} FROM botwire_items "
        f"WHERE {_HERE} AND {column} = ? AND seq > ?",
        (context.namespace, history, given, stat.dead_seq),
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
    new = context.change("history", "update", history)
    yield Statement(
        f"UPDATE botwire_items SET value_json = ?, version = ? WHERE {_HERE} AND seq = ?",
        (op.value.text, new, context.namespace, history, seq),
    )
    added = sizes.item(id, op.value)
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
    if not (stat.size + stat.archived or stat.metadata is not None):
        return False
    context.change("history", "expire", history)
    stat = stat._replace(expires_at=context.expiry(op.ttl), updated_at=context.now)
    yield from save(context, history, stat)
    return True


@handles(ops.ReadHistory)
def _read_history(context: Context, op: ops.ReadHistory) -> Steps[ops.ItemPage]:
    history = to_bytes(op.name)
    floor = _floor("dead_seq" if op.archived else "archived_seq")
    sql = f"FROM botwire_items WHERE {_HERE} AND seq > {floor}"
    parameters: list[Any] = [context.namespace, history, context.now, context.namespace, history]
    if op.after:
        sql += " AND seq > ?"
        parameters.append(op.after)
    if op.before is not None:
        sql += " AND seq < ?"
        parameters.append(op.before)
    source = pages.Source(f"SELECT {tables.HISTORY_ITEM}", sql, parameters, sizes.ITEM)
    order = f"ORDER BY seq {'DESC' if op.newest_first else 'ASC'}"
    rows, more = yield from pages.read_page(context, source, order, op.limit)
    return ops.ItemPage(tuple([tables.history_item(row) for row in rows]), more)


@handles(ops.StatHistory)
def _stat_history(context: Context, op: ops.StatHistory) -> Steps[ops.HistoryStat]:
    stat = yield from _read_row(context, to_bytes(op.name))
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


def metadata_of(text: str | None) -> Json:
    """Returns the metadata in a column that is NULL if there is none."""
    return ops.NO_METADATA if text is None else Json.from_text(text)


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
    freed = 0
    for chunk in chunks(seqs):
        rows = yield Statement(
            f"DELETE FROM botwire_items WHERE {_HERE} AND seq IN ({marks(chunk)}) "
            f"AND seq {'<=' if dead else '>'} ? RETURNING seq, {sizes.ITEM}",
            (context.namespace, history, *chunk, stat.dead_seq),
        )
        deleted += [seq for seq, _ in rows]
        freed += sum(size for _, size in rows)
    if deleted:
        archived = 0 if dead else sum(1 for seq in deleted if seq <= stat.archived_seq)
        stat = stat._replace(
            size=stat.size - (0 if dead else len(deleted) - archived),
            archived=stat.archived - archived,
            dead=stat.dead - (len(deleted) if dead else 0),
            bytes=stat.bytes - freed,
            updated_at=stat.updated_at if dead else context.now,
        )
        yield from save(context, history, stat)
        context.grown -= freed
    return len(deleted)


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
    rows = yield Statement(
        f"SELECT count(*) FROM botwire_items WHERE {_HERE} AND seq > ? AND seq <= ?",
        (context.namespace, history, stat.archived_seq, up_to),
    )
    count = count_in(rows)
    stat = stat._replace(
        archived_seq=up_to,
        archived=stat.archived + count,
        size=stat.size - count,
        updated_at=context.now,
    )
    yield from save(context, history, stat)
    context.change("history", "archive", history)
    return count


@handles(ops.ClearHistory)
def _clear_history(context: Context, op: ops.ClearHistory) -> Steps[int]:
    history = to_bytes(op.name)
    stat = yield from enter(context, history)
    count = stat.size + stat.archived
    if not count and stat.metadata is None:
        return 0
    if op.limit is None or count <= op.limit:
        stat = yield from _empty(context, history, stat)
        context.grown -= stat.metadata_size
        stat = stat._replace(bytes=0, metadata=None, metadata_version=0, expires_at=None)
        yield from save(context, history, stat)
    else:
        count = yield from _clear_oldest(context, history, stat, op.limit)
    context.change("history", "clear", history)
    return count


def _clear_oldest(context: Context, history: bytes, stat: Stat, limit: int) -> Steps[int]:
    """Archives all items and deletes the oldest of them; answers how many."""
    stat = stat._replace(archived_seq=stat.last_seq, archived=stat.archived + stat.size, size=0)
    rows = yield Statement(
        f"SELECT seq FROM botwire_items WHERE {_HERE} AND seq > ? ORDER BY seq LIMIT ?",
        (context.namespace, history, stat.dead_seq, limit),
    )
    return (yield from _remove(context, history, stat, [seq for (seq,) in rows]))


# --- what expired ---------------------------------------------------------------------------

_DUE = 100  # expired histories that are buried in one transaction


def sweep(context: Context, most: int) -> Steps[int]:
    """Buries expired histories of the namespace and removes dead items; answers how many.

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
        stat = Stat(*columns)
        context.grown -= stat.metadata_size
        yield from save(context, history, stat.buried())
    rows = yield Statement(
        f"SELECT history, {STAT} FROM botwire_histories WHERE namespace = ? AND dead > 0 LIMIT ?",
        (context.namespace, _DUE),
    )
    for history, *columns in rows:
        stat = Stat(*columns)
        found = yield Statement(
            f"SELECT seq FROM botwire_items WHERE {_HERE} AND seq <= ? ORDER BY seq LIMIT ?",
            (context.namespace, history, stat.dead_seq, most),
        )
        done += yield from _remove(context, history, stat, [seq for (seq,) in found], dead=True)
        most -= len(found)
        if most <= 0:
            break
    return done


FIND_EXPIRED = (
    "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_histories "
    "WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) due UNION "
    "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_histories "
    "WHERE dead > 0 LIMIT ?) dead"
)
"""Finds some of the namespaces that `sweep` has work in."""


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
