"""Pydantic AI's conversation store: each conversation is a history."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from botwire import AsyncHistory, AsyncMemory, ConflictError, HistoryInfo, Item
from botwire.connection import Connected
from botwire.messages import UnreadableItemError, is_native_alone
from botwire.names import check_history
from botwire.off_loop import off_loop
from botwire_pydantic_ai import convert
from botwire_pydantic_ai.convert import Stored

logger = logging.getLogger("botwire.pydantic_ai")

_RECORD = "pydantic-ai/record/"  # and a conversation: its record, and what the record covers
_ENTRY = "pydantic-ai/entry/"  # and an entry: where it is
_FORKS = "pydantic-ai/forks/"  # and a conversation: how many others begin with its entries


class _Kept(NamedTuple):
    """What is stored of a conversation.

    Attributes:
        record: Its record, continued by what other frameworks have written since; None if there is
            no conversation.
        version: The version of the record's key; 0 if there is none.
        uses: The conversations whose entries it shares.
        hidden: The last number that was deleted, but is kept for forks.
        info: The history's.
    """

    record: ConversationRecord | None
    version: int
    uses: list[str]
    hidden: int
    info: HistoryInfo


class BotWireConversationStore(Connected, ConversationStore, framework="pydantic-ai"):
    """A `ConversationStore` on BotWire, for any number of processes.

    A conversation is the history with its id as the name, so the adapter of another framework
    continues it under that name, and this store continues theirs. Entries and record are stored in
    one transaction; a save after another one is refused with a `ConversationConflict`.

    `delete` deletes a conversation's messages. If forks share them, they are hidden instead, until
    the last fork is deleted.

    Args:
        namespace: Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    @property
    def _memory(self) -> AsyncMemory:
        return self.connection.async_memory

    def _history(self, conversation_id: str) -> AsyncHistory:
        return self._memory.history(check_history(conversation_id))

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Returns a conversation's record, or None.

        If another framework has written since the last save, the record ends with its messages.
        """
        return (await self._kept(conversation_id)).record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """Returns the records of conversations that were saved here, last saved first.

        Args:
            scope: Only those with this scope; None: all.
            limit: How many at most; None: all.
        """
        where: dict[str, Any] = {"framework": convert.FRAMEWORK}
        if scope is not None:
            where["scope"] = scope
        infos = await self._memory.list_histories(
            order="updated", descending=True, limit=limit, where=where
        )
        values = await self._memory.get_many([_RECORD + info.name for info in infos])
        records = []
        for info in infos:
            value = values.get(_RECORD + info.name)
            if value is not None and value["last_seq"] == info.last_seq:
                records.append(convert.record_from_value(value["record"]))
            elif (found := await self.read_record(info.name)) is not None:
                records.append(found)
        return sorted(records, key=lambda record: record.updated_at, reverse=True)

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Stores a record and its new entries, all or none.

        Args:
            record: The record.
            new_entries: Entries, each after the one it points at.
            expected_revision: The revision of the stored record; None: there is none.

        Raises:
            ConversationConflict: The stored record has another revision, or the entry that the
                record ends with is not there.
            NotJSONError: An entry could not be read back; the error says which one and where.
        """
        groups = [
            await off_loop(convert.to_items, entry, f"new_entries[{i}].message")
            for i, entry in enumerate(new_entries)
        ]
        value = convert.record_to_value(record)
        added = list(zip(new_entries, groups, strict=True))
        while True:
            kept = await self._kept(record.conversation_id)
            if (kept.record.revision if kept.record else None) != expected_revision:
                raise ConversationConflict(record.conversation_id)
            try:
                return await self._write(record, value, kept, added)
            except ConflictError:
                continue  # another writer: the revision tells whether it matters

    async def _write(
        self,
        record: ConversationRecord,
        value: Any,
        kept: _Kept,
        added: list[tuple[ConversationEntry, list[dict[str, Any]]]],
    ) -> None:
        name, seq, uses = record.conversation_id, kept.info.last_seq, list(kept.uses)
        start = added[0][0].parent_id if added else record.head_id
        if record.head_id not in (start, *(entry.id for entry, _ in added)):
            start = record.head_id
        described = {"framework": convert.FRAMEWORK, "scope": record.scope}
        async with self._memory.transaction() as tx:
            history = tx.history(name)
            tx.check(_RECORD + name, kept.version)
            if start is not None:
                place = convert.foreign_place(start) or await tx.get(_ENTRY + start)
                if place is None:
                    raise ConversationConflict(name)
                if kept.record is None and place[0] not in (name, *uses):
                    uses.append(place[0])
                    tx.increment(_FORKS + place[0])
            if kept.record is not None and start != kept.record.head_id:
                for item, moved in await self._moved(name, start):
                    history.update(item.seq, moved, if_value_version=item.version)
            for entry, items in added:
                tx.set(_ENTRY + entry.id, [name, seq + 1])
                ids = [entry.id, *(f"{entry.id}/{i}" for i in range(1, len(items)))]
                history.extend(items, ids=ids, if_last=seq)
                seq += len(items)
            if not added or not described.items() <= kept.info.metadata.items():
                metadata = {**kept.info.metadata, **described}
                history.set_metadata(metadata, if_version=kept.info.metadata_version)
            tx.set(
                _RECORD + name,
                {"record": value, "last_seq": seq, "uses": uses, "hidden": kept.hidden},
            )

    async def _moved(self, name: str, head_id: str | None) -> list[tuple[Item, Any]]:
        """Returns the items whose branch is left or taken up, each with its new value."""
        chain = {entry.id for entry in await self.read_history(head_id)}
        moved = []
        for item in await self._history(name).read():
            stored = await self._stored(item, name)
            if stored is not None and stored.is_left == (stored.id in chain):
                value, is_left = convert.original(item.value)
                moved.append((item, value if is_left else convert.left(value)))
        return moved

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Deletes a conversation, with the entries that no fork shares.

        Args:
            conversation_id: The conversation.
            expected_revision: The revision of the stored record.

        Raises:
            ConversationConflict: The stored record has another revision.
        """
        while True:
            kept = await self._kept(conversation_id)
            if kept.record is None or kept.record.revision != expected_revision:
                raise ConversationConflict(conversation_id)
            with suppress(ConflictError):
                return await self._delete(conversation_id, kept)

    async def _delete(self, name: str, kept: _Kept) -> None:
        items = await self._history(name).read(archived=True)
        async with self._memory.transaction() as tx:
            tx.check(_RECORD + name, kept.version)
            forks = await tx.get(_FORKS + name, 0)
            if forks:
                last = kept.info.last_seq
                tx.history(name).archive(last)
                tx.history(name).set_metadata({})
                value = {"record": None, "last_seq": last, "uses": kept.uses, "hidden": last}
                tx.set(_RECORD + name, value)
            else:
                for item in items:
                    if item.id is not None:
                        tx.delete(_ENTRY + item.id)
                tx.history(name).clear()
                for key in (_RECORD + name, _FORKS + name):
                    tx.delete(key)
                for used in kept.uses:
                    tx.increment(_FORKS + used, -1)
        for used in () if forks else kept.uses:
            await self._release(used)

    async def _release(self, name: str) -> None:
        """Deletes the entries of a deleted conversation if no fork shares them any more."""
        while True:
            kept = await self._kept(name)
            if kept.record is not None or not kept.version or await self._memory.get(_FORKS + name):
                return None
            with suppress(ConflictError):
                return await self._delete(name, kept)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Returns an entry.

        Raises:
            LookupError: There is none with this id.
        """
        (entry,) = await self.read_history(entry_id, limit=1)
        return entry

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """Returns the entries up to one, oldest first: a range of one history, or of each fork.

        Args:
            head_id: The last entry; None: there are none.
            limit: How many of the last ones; None: all.

        Raises:
            LookupError: An entry is not there.
        """
        entries: list[ConversationEntry] = []
        wanted = head_id
        while wanted is not None and (limit is None or len(entries) < limit):
            missing = wanted
            place = convert.foreign_place(wanted) or await self._memory.get(_ENTRY + wanted)
            if place is None:
                raise LookupError(f"there is no entry {wanted!r}")
            name, seq = place
            async for entry in self._upwards(name, seq, wanted):
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

    async def _upwards(
        self, name: str, seq: int, entry_id: str | None
    ) -> AsyncIterator[ConversationEntry]:
        """Yields an entry and those before it, as long as they are in one history."""
        waiting: Stored | None = None  # another framework's: it follows the item before it
        hidden = 0
        async for item in self._history(name).newest_first(before=seq + 1, archived=True):
            stored = await self._stored(item, name)
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
                hidden = (await self._memory.get(_RECORD + name, {})).get("hidden", 0)
                continue
            yield _entry(stored, stored.parent_id)
            entry_id = stored.parent_id
            if entry_id is None:
                return
        if waiting is not None:
            yield _entry(waiting, None)

    async def _stored(self, item: Item, name: str) -> Stored | None:
        try:
            return await off_loop(convert.read, item, name)
        except UnreadableItemError as error:
            if not is_native_alone(item.value):
                logger.warning("skipped item %d of conversation %r: %s", item.seq, name, error)
            return None

    async def _kept(self, name: str) -> _Kept:
        info = await self._history(name).info()
        entry = await self._memory.entry(_RECORD + name)
        value = {} if entry is None else entry.value
        found = value.get("record")
        record = None if found is None else convert.record_from_value(found)
        async for item in self._history(name).newest_first(page_size=1):
            if item.seq <= value.get("last_seq", 0):
                break
            if convert.is_foreign(item.value):
                record = replace(
                    record or ConversationRecord(conversation_id=name, head_id=None, revision=""),
                    head_id=convert.foreign_id(name, item.seq),
                    revision=f"{record.revision if record else ''}+{item.seq}",
                    deferred_tool_requests=None,
                    updated_at=item.created_at,
                )
                break
        version = 0 if entry is None else entry.version
        return _Kept(record, version, value.get("uses", []), value.get("hidden", 0), info)


def _entry(stored: Stored, parent_id: str | None) -> ConversationEntry:
    assert stored.message is not None
    return ConversationEntry(id=stored.id, parent_id=parent_id, message=stored.message)
