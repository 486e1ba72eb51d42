"""What is stored of a conversation, and under which names."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple

from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord

from botwire import AsyncMemory, HistoryInfo, Item
from botwire.messages import UnreadableItemError, is_native_alone
from botwire.off_loop import off_loop
from botwire_pydantic_ai import convert
from botwire_pydantic_ai.convert import StoredEntry

logger = logging.getLogger("botwire.pydantic_ai")

RECORD = "pydantic-ai/record/"  # followed by a conversation: its record, and what the record covers
ENTRY = "pydantic-ai/entry/"  # followed by an entry: where it is
FORKS = "pydantic-ai/forks/"  # followed by a conversation: how many others begin with its entries


class Kept(NamedTuple):
    """The stored parts of a conversation.

    Attributes:
        record: Its record, extended by what other frameworks have written since; None if there is
            no conversation.
        version: The version of the record's key; 0 if there is none.
        uses: The conversations whose entries it shares.
        hidden: The last item number that was deleted but is kept for forks.
        info: The counts and metadata of the history.
    """

    record: ConversationRecord | None
    version: int
    uses: list[str]
    hidden: int
    info: HistoryInfo


async def read_kept(memory: AsyncMemory, name: str) -> Kept:
    """Returns what is stored of a conversation."""
    info = await memory.history(name).info()
    entry = await memory.entry(RECORD + name)
    value = {} if entry is None else entry.value
    found = value.get("record")
    record = None if found is None else convert.record_from_value(found)
    async for item in memory.history(name).newest_first(page_size=1):
        if item.seq <= value.get("last_seq", 0):
            break
        if convert.is_foreign(item):
            record = replace(
                record or ConversationRecord(conversation_id=name, head_id=None, revision=""),
                head_id=convert.foreign_id(name, item.seq),
                revision=f"{record.revision if record else ''}+{item.seq}",
                deferred_tool_requests=None,
                updated_at=item.created_at,
            )
            break
    version = 0 if entry is None else entry.version
    return Kept(record, version, value.get("uses", []), value.get("hidden", 0), info)


async def entries_up_to(
    memory: AsyncMemory, head_id: str | None, limit: int | None
) -> list[ConversationEntry]:
    """Returns the entries up to one, oldest first; see `BotWireConversationStore.read_history`."""
    entries: list[ConversationEntry] = []
    wanted = head_id
    while wanted is not None and (limit is None or len(entries) < limit):
        missing = wanted
        place = convert.foreign_place(wanted) or await memory.get(ENTRY + wanted)
        if place is None:
            raise LookupError(f"there is no entry {wanted!r}")
        name, seq = place
        async for entry in _upwards(memory, name, seq, wanted):
            entries.append(entry)
            wanted = entry.parent_id
            if len(entries) == limit:
                break
        if wanted == missing:
            raise LookupError(f"there is no entry {missing!r}")
    entries.reverse()
    convert.name_answers(entries)
    if entries and convert.foreign_place(entries[-1].id):
        entries[-1] = replace(entries[-1], message=convert.closed(entries[-1].message))
    return entries


async def stored_in(item: Item, name: str) -> StoredEntry | None:
    """Returns what an item holds; None, with a warning, if it cannot be read."""
    try:
        return await off_loop(convert.read, item, name)
    except UnreadableItemError as error:
        if not is_native_alone(item.value):
            logger.warning("skipped item %d of conversation %r: %s", item.seq, name, error)
        return None


async def _upwards(
    memory: AsyncMemory, name: str, seq: int, entry_id: str | None
) -> AsyncIterator[ConversationEntry]:
    """Yields an entry and its ancestors, as far as they are in one history."""
    waiting: StoredEntry | None = None  # of another framework: it follows the item before it
    hidden = 0
    async for item in memory.history(name).newest_first(before=seq + 1, archived=True):
        stored = await stored_in(item, name)
        if stored is None:
            continue
        if waiting is not None:
            if item.seq <= hidden or stored.is_left > waiting.is_left:
                continue
            yield _entry(waiting, stored.id)
            entry_id, waiting = stored.id, None
        if stored.id != entry_id or stored.message is None:
            continue
        if stored.is_foreign:
            waiting = stored
            hidden = (await memory.get(RECORD + name, {})).get("hidden", 0)
            continue
        yield _entry(stored, stored.parent_id)
        entry_id = stored.parent_id
        if entry_id is None:
            return
    if waiting is not None:
        yield _entry(waiting, None)


def _entry(stored: StoredEntry, parent_id: str | None) -> ConversationEntry:
    assert stored.message is not None
    return ConversationEntry(id=stored.id, parent_id=parent_id, message=stored.message)
