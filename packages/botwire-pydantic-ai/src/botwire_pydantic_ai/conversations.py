"""Pydantic AI's conversation store: each conversation is a history."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from botwire import AsyncMemory, ConflictError, Item
from botwire.arguments import check_type
from botwire.client.encoding import encode_each
from botwire.connection import Connected
from botwire.deleting import adelete_in_parts
from botwire.off_loop import off_loop
from botwire.operations import check_count
from botwire_pydantic_ai import convert, reading
from botwire_pydantic_ai.reading import ENTRY, FORKS, RECORD, Kept

_PART = 1_000  # keys to delete in the transaction that deletes the conversation


class BotWireConversationStore(Connected, ConversationStore, framework="pydantic-ai"):
    """A `ConversationStore` on BotWire, for any number of processes.

    A conversation is the history with its id as the name, so the adapter of another framework
    continues it under that name, and this store continues theirs. Entries and record are stored in
    one transaction; a save that another one preceded is refused with a `ConversationConflict`.

    `delete` deletes a conversation's messages. If forks share them, they are hidden instead, until
    the last fork is deleted.

    Args:
        namespace: The namespace of the conversations. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    @property
    def _memory(self) -> AsyncMemory:
        return self.connection.async_memory

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Returns a conversation's record, or None.

        If another framework has written since the last save, the record ends with its messages.
        """
        return (await reading.read_kept(self._memory, conversation_id)).record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """Returns the records of conversations saved by this store, most recently saved first.

        Args:
            scope: Only those with this scope; None: all.
            limit: The most records to return; None: all.
        """
        where: dict[str, Any] = {"framework": convert.FRAMEWORK}
        if scope is not None:
            where["scope"] = scope
        infos = await self._memory.list_histories(
            order="updated", descending=True, limit=limit, where=where
        )
        values = await self._memory.get_many([RECORD + info.name for info in infos])
        records = []
        for info in infos:
            value = values.get(RECORD + info.name)
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
            new_entries: The new entries, each after its parent.
            expected_revision: The revision of the stored record; None: there is none.

        Raises:
            ConversationConflict: The stored record has another revision, or the record's last entry
                is missing.
            NotJSONError: An entry could not be read back; the error says which one and where.
        """
        check_type(record, ConversationRecord, "record")
        entries = encode_each(new_entries, ConversationEntry, "new_entries", "entries")
        groups = [
            await off_loop(convert.to_items, entry, f"new_entries[{i}].message")
            for i, entry in enumerate(entries)
        ]
        value = convert.record_to_value(record)
        added = list(zip(entries, groups, strict=True))
        while True:
            kept = await reading.read_kept(self._memory, record.conversation_id)
            if (kept.record.revision if kept.record else None) != expected_revision:
                raise ConversationConflict(record.conversation_id)
            try:
                return await self._write(record, value, kept, added)
            except ConflictError:
                continue  # another writer was faster: the revision tells whether it matters

    async def _write(
        self,
        record: ConversationRecord,
        value: Any,
        kept: Kept,
        added: list[tuple[ConversationEntry, list[dict[str, Any]]]],
    ) -> None:
        name, seq, uses = record.conversation_id, kept.info.last_seq, list(kept.uses)
        start = added[0][0].parent_id if added else record.head_id
        if record.head_id not in (start, *(entry.id for entry, _ in added)):
            start = record.head_id
        described = {"framework": convert.FRAMEWORK, "scope": record.scope}
        runs = [entry.message.run_id for entry, _ in added if entry.message.run_id is not None]
        connection = self.connection.during(run=runs[-1] if runs else None)
        async with connection.async_memory.transaction() as tx:
            history = tx.history(name)
            tx.check(RECORD + name, kept.version)
            if start is not None:
                place = convert.foreign_place(start) or await tx.get(ENTRY + start)
                if place is None:
                    raise ConversationConflict(name)
                if kept.record is None and place[0] not in (name, *uses):
                    uses.append(place[0])
                    tx.increment(FORKS + place[0])
            if kept.record is not None and start != kept.record.head_id:
                for item, moved in await self._moved(name, start):
                    history.update(item.seq, moved, if_value_version=item.version)
            for entry, items in added:
                tx.set(ENTRY + entry.id, [name, seq + 1])
                ids = [entry.id, *(f"{entry.id}/{i}" for i in range(1, len(items)))]
                history.extend(items, ids=ids, if_last=seq)
                seq += len(items)
            if not added or not described.items() <= kept.info.metadata.items():
                metadata = {**kept.info.metadata, **described}
                history.set_metadata(metadata, if_version=kept.info.metadata_version)
            tx.set(
                RECORD + name,
                {"record": value, "last_seq": seq, "uses": uses, "hidden": kept.hidden},
            )

    async def _moved(self, name: str, head_id: str | None) -> list[tuple[Item, Any]]:
        """Returns the items whose branch is left or resumed, each with its new value."""
        chain = {entry.id for entry in await self.read_history(head_id)}
        moved = []
        for item in await self._memory.history(name).read():
            stored = await reading.stored_in(item, name)
            if stored is not None and stored.is_left == (stored.id in chain):
                value = convert.original(item) if stored.is_left else convert.left(item)
                moved.append((item, value))
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
            kept = await reading.read_kept(self._memory, conversation_id)
            if kept.record is None or kept.record.revision != expected_revision:
                raise ConversationConflict(conversation_id)
            with suppress(ConflictError):
                return await self._delete(conversation_id, kept)

    async def _delete(self, name: str, kept: Kept) -> None:
        items = await self._memory.history(name).read(archived=True)
        keys = [ENTRY + item.id for item in items if item.id is not None]
        async with self._memory.transaction() as tx:
            tx.check(RECORD + name, kept.version)
            forks = await tx.get(FORKS + name, 0)
            if forks:
                last = kept.info.last_seq
                tx.history(name).archive(last)
                tx.history(name).set_metadata({})
                value = {"record": None, "last_seq": last, "uses": kept.uses, "hidden": last}
                tx.set(RECORD + name, value)
            else:
                for key in keys[:_PART]:
                    tx.delete(key)
                tx.history(name).clear()
                for key in (RECORD + name, FORKS + name):
                    tx.delete(key)
                for used in kept.uses:
                    tx.increment(FORKS + used, -1)
        if forks:
            return
        # The entries went with the history; these keys only say where they were.
        await adelete_in_parts(self._memory, keys[_PART:])
        for used in kept.uses:
            await self._release(used)

    async def _release(self, name: str) -> None:
        """Deletes the entries of a deleted conversation once no fork shares them."""
        while True:
            kept = await reading.read_kept(self._memory, name)
            if kept.record is not None or not kept.version or await self._memory.get(FORKS + name):
                return None
            with suppress(ConflictError):
                return await self._delete(name, kept)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Returns an entry.

        Raises:
            LookupError: No entry has this id.
        """
        (entry,) = await self.read_history(check_type(entry_id, str, "entry_id"), limit=1)
        return entry

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """Returns the entries up to one, oldest first: a range of one history, or of each fork.

        Args:
            head_id: The last entry; None: there are none.
            limit: How many of the last ones; None: all.

        Raises:
            LookupError: An entry is missing.
        """
        if head_id is not None:
            check_type(head_id, str, "head_id")
        if limit is not None:
            check_count(limit, "limit")
        return await reading.entries_up_to(self._memory, head_id, limit)
