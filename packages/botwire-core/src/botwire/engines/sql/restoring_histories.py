"""Restoring histories in SQL; see `restoring`."""

from __future__ import annotations

from collections.abc import Sequence

from botwire import operations as ops
from botwire.engines.sql import history_rows, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_removal import drop_items
from botwire.engines.sql.restoring import Counts, resolve, written_here
from botwire.engines.sql.steps import Context, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import IN_HISTORY
from botwire.names import from_bytes, to_bytes
from botwire.operations.authors import to_stored


@handles(ops.RestoreHistory)
def _restore_history(context: Context, op: ops.RestoreHistory) -> Steps[ops.Restored]:
    tally = Counts()
    history = to_bytes(op.state.name)
    here = (context.namespace, history)
    stat = yield from history_rows.enter(context, history)
    if stat.dead:
        # The ids and numbers of dead items are free for reuse.
        stat = yield from history_rows.remove_dead(context, history, stat)
    stat = yield from history_rows.own_all(context, history, stat)
    state, changed = op.state, not stat.created_at
    counts: tuple[int, int] | None = (0, 0)
    if stat.created_at:
        old = history_rows.state_of(op.state.name, stat)
        state = _merge(op, old)
        counts = (stat.size, stat.archived) if state.archived_seq == old.archived_seq else None
        changed = state != old

    removed = yield from _find_removed(here, op, tally)
    new, taken = yield from _find_new(here, op, removed, tally)
    going = sorted(removed | taken)
    context.has_replaced = context.has_replaced or bool(going)
    if not (changed or new or going):
        return tally.result()
    # Ensures that these versions are never assigned again.
    context.revision = max(
        context.revision, state.metadata_version, *(item.version for item in new)
    )
    revision = context.change("history", "restore", history)
    stat, freed = yield from drop_items(context, history, stat, going)
    items = [
        (
            item.seq,
            None if item.id is None else to_bytes(item.id),
            item.value,
            item.created_at,
            item.version,
            to_stored(item.author),
        )
        for item in new
    ]
    added = [sizes.item(id, value, author) for _, id, value, _, _, author in items]
    if items:
        # A fork reads the items as they were when it was made.
        since = revision if stat.forks else written_here(context, revision)
        yield tables.insert_items(context.namespace, history, items, since)
    numbers = _count(state, counts, [item.seq for item in new], going)
    context.grow(added, freed)
    metadata = None if state.metadata.text == ops.NO_METADATA.text else state.metadata.text
    growth = len(metadata or "") - stat.metadata_size
    context.grown += growth
    row = stat._replace(
        last_seq=state.last_seq,
        archived_seq=state.archived_seq,
        created_at=state.created_at,
        updated_at=state.updated_at,
        bytes=stat.bytes + sum(added) - freed + growth,
        metadata=metadata,
        metadata_version=state.metadata_version,
        expires_at=state.expires_at,
        # Its items may have numbers of dead ones, which are gone.
        dead_seq=min([stat.dead_seq, *(item.seq - 1 for item in new)]),
    )
    yield from _save_history(context, history, row, numbers)
    return tally.result()


def _merge(op: ops.RestoreHistory, old: ops.HistoryState) -> ops.HistoryState:
    """Returns the state of an existing history after another one is restored into it."""
    state = op.state
    if old.updated_at > state.updated_at:
        # With a range, the history must become as it was read; without one, only add items.
        refuse = op.until is not None or op.conflict == ops.OVERWRITE
        what = f"history {op.state.name!r:.80} was changed later"
        if not refuse or not resolve(op.conflict, what):
            state = old
    # A number is never assigned twice, whichever state is newer.
    return state._replace(last_seq=max(old.last_seq, op.state.last_seq))


def _find_removed(
    here: tuple[bytes, bytes], op: ops.RestoreHistory, tally: Counts
) -> Steps[set[int]]:
    """Returns the stored items in the range that the source no longer has."""
    removed: set[int] = set()
    if op.until is None:
        return removed
    found = yield Statement(
        f"SELECT seq FROM botwire_items WHERE {IN_HISTORY} AND seq > ? AND seq <= ?",
        (*here, op.after, op.until),
    )
    given = {item.seq for item in op.items}
    for (seq,) in found:
        if seq in given:
            continue
        if seq > op.state.last_seq and not resolve(
            op.conflict,
            f"history {op.state.name!r:.80} has item {seq}, which was appended later",
        ):
            tally.kept += 1
            continue
        removed.add(seq)
    tally.removed += len(removed)
    return removed


def _find_new(
    here: tuple[bytes, bytes], op: ops.RestoreHistory, removed: set[int], tally: Counts
) -> Steps[tuple[list[ops.HistoryItem], set[int]]]:
    """Returns the given items to write, and the stored items to delete for them."""
    stored: dict[int, ops.HistoryItem] = {}
    seqs: dict[str, int] = {}
    for numbers in chunks([item.seq for item in op.items]):
        found = yield Statement(
            f"SELECT {tables.HISTORY_ITEM} FROM botwire_items "
            f"WHERE {IN_HISTORY} AND seq IN ({marks(numbers)})",
            (*here, *numbers),
        )
        stored.update((row[0], tables.history_item(row)) for row in found)
    for ids in chunks([to_bytes(item.id) for item in op.items if item.id is not None]):
        found = yield Statement(
            f"SELECT id, seq FROM botwire_items WHERE {IN_HISTORY} AND id IN ({marks(ids)})",
            (*here, *ids),
        )
        seqs.update((from_bytes(id), seq) for id, seq in found)
    new: list[ops.HistoryItem] = []
    going: set[int] = set()
    for item in op.items:
        old = stored.get(item.seq)
        if old == item:
            continue
        elsewhere = None if item.id is None else seqs.get(item.id)
        # A later item may have taken the id of a deleted one.
        taken = {seq for seq in (old and item.seq, elsewhere) if seq is not None} - removed
        # The same item, which was updated at the source since.
        is_later = old is not None and old.id == item.id and old.version < item.version
        if taken - ({item.seq} if is_later else set()) and not resolve(
            op.conflict,
            f"history {op.state.name!r:.80} has another item {item.seq}, or its id elsewhere",
        ):
            tally.kept += 1
            continue
        going |= taken
        tally.written += 1
        new.append(item)
    return new, going


def _count(
    state: ops.HistoryState,
    before: tuple[int, int] | None,
    new: Sequence[int],
    gone: Sequence[int],
) -> tuple[int, int] | None:
    """Returns how many items are live and how many archived; None if they must be counted."""
    if before is None:
        return None
    put_away = sum(seq <= state.archived_seq for seq in new) - sum(
        seq <= state.archived_seq for seq in gone
    )
    return before[0] + len(new) - len(gone) - put_away, before[1] + put_away


def _save_history(
    context: Context, history: bytes, stat: history_rows.Stat, numbers: tuple[int, int] | None
) -> Steps[None]:
    if numbers is None:
        counted = yield Statement(
            "SELECT count(*), COALESCE(sum(CASE WHEN seq <= ? THEN 1 ELSE 0 END), 0) "
            f"FROM botwire_items WHERE {IN_HISTORY}",
            (stat.archived_seq, context.namespace, history),
        )
        total, archived = counted[0]
        numbers = (total - archived, archived)
    size, archived = numbers
    yield from history_rows.save(context, history, stat._replace(size=size, archived=archived))
