"""The row of a history and its items, both its own and those it shares with others.

A fork begins with the items of another history without copying them. Its row lists what it shares
as `Shared` ranges, the nearest history first. The other history preserves the items that forks
read: before it changes or deletes one, it copies it to ``botwire_forked_items`` (`keep_past`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire.engines.sql import past_rows, sizes, tables
from botwire.engines.sql.steps import Context, Statement, Steps, count_in, sum_of
from botwire.engines.sql.tables import IN_HISTORY
from botwire.exact import Json, decode_stored
from botwire.names import from_bytes, to_bytes

EXISTS = "(size + archived > 0 OR metadata IS NOT NULL)"
"""The condition that an unexpired history holds anything."""
STAT = tables.HISTORIES.columns
"""The columns of a `Stat`."""


class Shared(NamedTuple):
    """Items that a fork shares with another history.

    Attributes:
        history: The other history.
        after: The items after this number…
        up_to: …up to and including this one.
        version: The state of the items at this revision of the namespace.
    """

    history: bytes
    after: int
    up_to: int
    version: int


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
    base: str | None = None
    forks: int = 0
    forked_seq: int = 0
    forked_version: int = 0
    past: int = 0
    version: int = 0

    @property
    def exists(self) -> bool:
        """Whether the history holds anything."""
        return bool(self.size + self.archived or self.metadata is not None)

    @property
    def metadata_size(self) -> int:
        """The bytes that the metadata counts."""
        return len(self.metadata or "")

    @property
    def shared(self) -> list[Shared]:
        """The ranges that the history shares with others, the last items first."""
        if self.base is None:
            return []
        return [Shared(to_bytes(name), *rest) for name, *rest in decode_stored(self.base)]

    def sharing(self, shared: Iterable[Shared]) -> Stat:
        """Returns this row, sharing these ranges."""
        listed = [(from_bytes(one.history), *one[1:]) for one in shared]
        return self._replace(base=json.dumps(listed) if listed else None)

    def is_expired(self, now: int) -> bool:
        """Returns whether the history has expired, so that readers no longer see it."""
        return self.expires_at is not None and self.expires_at <= now

    def on(self, now: int) -> Stat:
        """Returns what readers see: an expired history is empty."""
        return self.buried(0) if self.is_expired(now) else self

    def buried(self, own: int) -> Stat:
        """Returns the row of an expired history after its items became dead.

        Args:
            own: How many of the items were the history's own.
        """
        return self._replace(
            size=0,
            archived=0,
            archived_seq=self.last_seq,
            bytes=self.bytes - self.metadata_size,
            metadata=None,
            metadata_version=0,
            expires_at=None,
            dead_seq=self.last_seq,
            dead=self.dead + own,
            base=None,
        )


def read_row(context: Context, history: bytes) -> Steps[Stat]:
    """Returns the row of a history, all zeros if there is none."""
    rows = yield Statement(
        f"SELECT {STAT} FROM botwire_histories WHERE {IN_HISTORY}", (context.namespace, history)
    )
    return Stat(*rows[0]) if rows else Stat()


_SAVE = tables.HISTORIES.upsert()


def save(context: Context, history: bytes, stat: Stat) -> Steps[None]:
    """Writes the row of a history."""
    yield from past_rows.keep_history(context, history, stat.metadata, stat.metadata_version)
    yield Statement(_SAVE, (context.namespace, history, *stat[:-1], context.until))


def enter(context: Context, history: bytes) -> Steps[Stat]:
    """Returns the row of a history about to be written; buries an expired history first."""
    stat = yield from read_row(context, history)
    if not stat.is_expired(context.now):
        return stat
    return (yield from bury(context, history, stat))


def bury(context: Context, history: bytes, stat: Stat, new: int = 0) -> Steps[Stat]:
    """Marks the items of an expired history as dead, except the last `new`; returns its row."""
    shared = stat.shared
    own = stat.size + stat.archived - new
    if shared:
        rows = yield Statement(
            f"SELECT count(*) FROM botwire_items WHERE {IN_HISTORY} AND seq > ? AND seq <= ?",
            (context.namespace, history, shared[0].up_to, stat.last_seq - new),
        )
        own = count_in(rows)
        yield from release(context, shared)
    buried = stat._replace(last_seq=stat.last_seq - new).buried(own)
    buried = buried._replace(last_seq=stat.last_seq, size=new)
    context.grown -= stat.metadata_size
    yield from save(context, history, buried)
    return buried


def metadata_of(text: str | None) -> Json:
    """Returns the metadata that a column holds; NULL means none."""
    return ops.NO_METADATA if text is None else Json.from_text(text)


# --- items ----------------------------------------------------------------------------------

_COLUMNS = f"{tables.HISTORY_ITEM}, since"
_OWN = f"SELECT {_COLUMNS} FROM botwire_items WHERE {IN_HISTORY}"
_RANGE = f"seq > ? AND seq <= ? AND {tables.WRITTEN} <= ?"
_PAST = f"SELECT {_COLUMNS} FROM botwire_forked_items WHERE {IN_HISTORY} AND {_RANGE} AND until > ?"


def state_of(name: str, stat: Stat) -> ops.HistoryState:
    """Returns what a dump says of a history besides its items."""
    return ops.HistoryState(
        *(name, stat.last_seq, stat.archived_seq, stat.created_at, stat.updated_at),
        *(metadata_of(stat.metadata), stat.metadata_version, stat.expires_at),
    )


def items_of(
    context: Context,
    history: bytes,
    shared: Sequence[Shared],
    also: str = "",
    bounds: Sequence[Any] = (),
) -> tuple[str, list[Any]]:
    """Returns SQL for a table of a history's items to select from, including dead and archived.

    Args:
        context: The batch's context.
        history: The history.
        shared: The ranges that it shares.
        also: SQL to add to the query of each history's items, such as an order and a limit, which
            databases do not push down.
        bounds: The parameters of `also`.
    """
    parts = [f"{_OWN} AND seq > ?"]
    parameters: list[Any] = [context.namespace, history, shared[0].up_to if shared else 0, *bounds]
    for name, *span in shared:
        parts += [f"{_OWN} AND {_RANGE}", _PAST]
        here = (context.namespace, name, *span)
        parameters += [*here, *bounds, *here, span[-1], *bounds]
    if also:
        parts = [f"SELECT * FROM ({part}{also}) part" for part in parts]
    return f"({' UNION ALL '.join(parts)}) items", parameters


def count_items(context: Context, history: bytes, stat: Stat, after: int, up_to: int) -> Steps[int]:
    """Returns how many items have numbers after `after` and up to `up_to`."""
    table, parameters = items_of(context, history, stat.shared)
    rows = yield Statement(
        f"SELECT count(*) FROM {table} WHERE seq > ? AND seq <= ?", (*parameters, after, up_to)
    )
    return count_in(rows)


_KEPT = f"seq <= ? AND {tables.WRITTEN} <= ?"


def keep_past(
    context: Context, history: bytes, stat: Stat, condition: str, parameters: Sequence[Any]
) -> Steps[Stat]:
    """Keeps items that forks read before they are changed or deleted; returns the row.

    Kept items count towards the history's bytes. If the namespace keeps its past, it keeps all
    items that are about to change.
    """
    yield from past_rows.keep(
        context, "items", f"{IN_HISTORY} AND {condition}", (context.namespace, history, *parameters)
    )
    if not stat.forks:
        return stat
    rows = yield Statement(
        "INSERT INTO botwire_forked_items (namespace, history, seq, until, id, value_json, "
        "created_at, version, author, since) SELECT namespace, history, seq, CAST(? AS BIGINT), "
        f"id, value_json, created_at, version, author, since FROM botwire_items WHERE {IN_HISTORY} "
        f"AND {_KEPT} AND {condition} RETURNING {sizes.ITEM}",
        (
            *(context.until, context.namespace, history),
            *(stat.forked_seq, stat.forked_version, *parameters),
        ),
    )
    kept = sum_of(rows)
    context.grown += kept
    return stat._replace(past=stat.past + len(rows), bytes=stat.bytes + kept)


def remove_dead(context: Context, history: bytes, stat: Stat) -> Steps[Stat]:
    """Deletes the dead items of a history; returns its row."""
    stat = yield from keep_past(context, history, stat, "seq <= ?", (stat.dead_seq,))
    rows = yield Statement(
        f"DELETE FROM botwire_items WHERE {IN_HISTORY} AND seq <= ? RETURNING {sizes.ITEM}",
        (context.namespace, history, stat.dead_seq),
    )
    freed = sum_of(rows)
    context.grown -= freed
    stat = stat._replace(dead=0, bytes=stat.bytes - freed)
    yield from save(context, history, stat)
    return stat


# --- forks ----------------------------------------------------------------------------------


def share(context: Context, shared: Sequence[Shared]) -> Steps[None]:
    """Records, in each history that a fork shares items with, which items the fork reads."""
    for one in shared:
        yield Statement(
            "UPDATE botwire_histories SET forks = forks + 1, "
            "forked_seq = CASE WHEN forked_seq < ? THEN ? ELSE forked_seq END, "
            "forked_version = CASE WHEN forked_version < ? THEN ? ELSE forked_version END "
            f"WHERE {IN_HISTORY}",
            (*(one.up_to, one.up_to, one.version, one.version), context.namespace, one.history),
        )


def release(context: Context, shared: Sequence[Shared], *, for_good: bool = False) -> Steps[None]:
    """Records, in each history that a fork shared items with, that the fork no longer reads them.

    If the namespace keeps its past, the fork's past row still reads them until it is forgotten
    `for_good`.
    """
    if context.keeps_past and not for_good:
        return
    for one in shared:
        yield Statement(
            "UPDATE botwire_histories SET forks = forks - 1, "
            "forked_seq = CASE WHEN forks = 1 THEN 0 ELSE forked_seq END, "
            "forked_version = CASE WHEN forks = 1 THEN 0 ELSE forked_version END "
            f"WHERE {IN_HISTORY}",
            (context.namespace, one.history),
        )


def own_all(context: Context, history: bytes, stat: Stat) -> Steps[Stat]:
    """Copies the items that a fork shares, so that it shares none; returns its row."""
    shared = stat.shared
    if not shared:
        return stat
    table, parameters = items_of(context, history, shared)
    rows = yield Statement(
        f"INSERT INTO botwire_items (namespace, history, {_COLUMNS}) "
        f"SELECT ?, ?, {_COLUMNS} FROM {table} WHERE seq <= ? RETURNING {sizes.ITEM}",
        (context.namespace, history, *parameters, shared[0].up_to),
    )
    copied = sum_of(rows)
    context.grown += copied
    yield from release(context, shared)
    return stat.sharing(())._replace(bytes=stat.bytes + copied)


def trim(context: Context, stat: Stat, seqs: Sequence[int], *, newest: bool) -> Steps[Stat]:
    """Drops the first or the last shared items from a fork; returns its row."""
    left: list[Shared] = []
    gone: list[Shared] = []
    for one in stat.shared:
        if newest:
            trimmed = one._replace(up_to=min(one.up_to, *[seq - 1 for seq in seqs]))
        else:
            trimmed = one._replace(after=max(one.after, *seqs))
        (left if trimmed.after < trimmed.up_to else gone).append(trimmed)
    if context.keeps_past:
        yield from share(context, left)
    yield from release(context, gone)
    return stat.sharing(left)
