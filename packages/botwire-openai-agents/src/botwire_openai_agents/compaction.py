"""The end of a session, for a compaction to replace in one step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agents.items import TResponseInputItem

from botwire import AsyncHistory, AsyncMemory, ConflictError, NotFoundError
from botwire.operations import PART
from botwire_openai_agents.convert import from_items, to_items


@dataclass(frozen=True)
class SessionTail:
    """The last items of a session.

    Attributes:
        items: The items, oldest first.
        complete: Whether these are all items.
        replace_suffix: Takes an index and new items, and replaces the items from there on. Returns
            False, and does nothing, if the session has changed since.
    """

    items: list[TResponseInputItem]
    complete: bool
    replace_suffix: Callable[[int, list[TResponseInputItem]], Awaitable[bool]]


async def take_snapshot(
    memory: AsyncMemory,
    session_id: str,
    limit: int,
    prune_prefix: Callable[[TResponseInputItem], bool] | None,
    wrote: Callable[[Sequence[int]], None],
) -> SessionTail | None:
    """Returns the last items of a session; None if one cannot be read.

    Args:
        memory: The memory that holds the session.
        session_id: The session.
        limit: The most items to return.
        prune_prefix: Called with each item before the replaced ones, from the oldest on; returns
            whether it has expired and is deleted too.
        wrote: Called with the numbers of the new items.
    """
    history = memory.history(session_id)
    last = (await history.info()).last_seq
    stored = []
    async for item in history.newest_first():
        stored.append(item)
        if len(stored) > limit:
            break
    complete = len(stored) <= limit
    stored = stored[:limit][::-1]
    groups = from_items(stored)
    if len(groups) != len(stored):
        return None
    items = [item for _, group in groups for item in group]
    newest = stored[-1] if stored else None
    # The number of the stored item that begins at an index of `items`.
    starts: dict[int, int] = {}
    index = 0
    for seq, group in groups:
        starts[index] = seq
        index += len(group)

    async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
        first = starts.get(start)
        if first is None or newest is None:
            return False
        expected = [item.seq for item in stored if item.seq >= first]
        expired = []
        if prune_prefix is not None:
            expired = await _expired(history, first, limit, prune_prefix)
        try:
            async with memory.transaction() as tx:
                suffix = tx.history(session_id)
                # The last item is still there: nothing was popped or cleared meanwhile.
                suffix.update(newest.seq, newest.value, if_value_version=newest.version)
                if complete and start == 0:
                    suffix.archive(expected[-1])  # superseded, but kept for people to read
                else:
                    suffix.delete_many([*expired, *expected])
                suffix.extend(to_items(output), if_last=last)
        except (ConflictError, NotFoundError):
            return False
        wrote(tx.results[-1])
        return True

    return SessionTail(items, complete, replace_suffix)


async def _expired(
    history: AsyncHistory, end: int, page: int, has_expired: Callable[[TResponseInputItem], bool]
) -> list[int]:
    """Returns the numbers of the oldest items, up to the first that has not expired.

    Args:
        history: The session's history.
        end: Where to stop: the first item that is replaced.
        page: How many items to read at a time.
        has_expired: Says whether an item has expired.
    """
    expired: list[int] = []
    while len(expired) < PART:  # a transaction has a limit, and the next compaction goes on
        after = expired[-1] if expired else 0
        items = await history.read(after=after, limit=page)
        for item in items:
            groups = from_items([item])
            if item.seq >= end or not groups or not all(map(has_expired, groups[0][1])):
                return expired
            expired.append(item.seq)
        if len(items) < page:
            break
    return expired
