"""Forking a history in SQL; see `engines.sql.history_rows`."""

from __future__ import annotations

from botwire import operations as ops
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.history_rows import (
    Shared,
    Stat,
    count_items,
    enter,
    save,
    share,
)
from botwire.engines.sql.steps import Context, Steps
from botwire.errors import ConflictError, NotFoundError
from botwire.names import to_bytes


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
    """Returns how many items have numbers up to `up_to`, without reading most of them."""
    total = stat.size + stat.archived
    first = stat.shared[-1].after if stat.shared else stat.dead_seq
    if up_to >= stat.last_seq:
        return total
    if stat.last_seq - first == total:  # no item was deleted
        return max(0, up_to - first)
    if stat.last_seq - up_to < up_to - first:
        return total - (yield from count_items(context, history, stat, up_to, stat.last_seq))
    return (yield from count_items(context, history, stat, stat.dead_seq, up_to))
