"""Long-term memory: what users and agents said, found again by its words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Unpack

from google.adk.events import Event
from google.adk.memory import BaseMemoryService
from google.adk.memory.base_memory_service import SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions import Session
from google.genai import types

from botwire import AsyncRecords, Record
from botwire.arguments import check_type
from botwire.client.encoding import encode_each
from botwire.names import check_collection, join_parts, to_bytes
from botwire.operations import RECORDS_PART, check_page
from botwire.splitting import awrite, in_batches, size_of_record
from botwire_google_adk.convert import dump, revive, text_of
from botwire_google_adk.opening import Service, ServiceOptions

_FORGOTTEN = "google-adk/forgotten"


class BotWireMemoryService(Service, BaseMemoryService):
    """ADK's memory service on BotWire: ``Runner(memory_service=BotWireMemoryService("my-app"))``.

    Each event with a text becomes a record, once, however often its session is added. A search
    finds texts that share words with the query, in any form, of this user of this app only.

    Args:
        namespace: The namespace of the memories. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        collection: The collection of records.
        max_results: How many memories a search returns.
        **place: Where memory lives; see `ServiceOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        collection: str = "google-adk",
        max_results: int = 10,
        **place: Unpack[ServiceOptions],
    ) -> None:
        self.collection = check_collection(collection)
        check_page(max_results, "max_results")
        self.max_results = max_results
        super().__init__(namespace, **place)

    async def add_session_to_memory(self, session: Session) -> None:
        """Adds the events of a session; those that are there already stay as they are."""
        check_type(session, Session, "session")
        await self.add_events_to_memory(
            app_name=session.app_name,
            user_id=session.user_id,
            events=session.events,
            session_id=session.id,
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Adds events that hold a text, each once, unless they were deleted before."""
        user = join_parts(app_name, user_id)
        given = encode_each(events, Event, "events", "events")
        said = [event for event in given if text_of(event.content)]
        forgotten = await self._memory.get_many(_forgotten(user, event.id) for event in said)
        records = [
            _record(
                user,
                (session_id or "", event.id),
                _entry(event, {**(custom_metadata or {})}),
                session_id,
            )
            for event in said
            if _forgotten(user, event.id) not in forgotten
        ]
        await self._put(records)

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Adds memories; one without an id is there once, however often it is added."""
        user = join_parts(app_name, user_id)
        records = []
        for memory in encode_each(memories, MemoryEntry, "memories", "memories"):
            given = {**(custom_metadata or {}), **memory.custom_metadata}
            text = text_of(memory.content)
            named = memory.id or hashlib.sha256(to_bytes(text)).hexdigest()[:32]
            entry = memory.model_copy(update={"id": named, "custom_metadata": given})
            records.append(_record(user, ("", named), entry, None))
        await self._put(records)

    async def search_memory(
        self, *, app_name: str, user_id: str, query: str
    ) -> SearchMemoryResponse:
        """Returns the user's memories that match the words of a query best."""
        if not check_type(query, str, "query").strip():
            return SearchMemoryResponse()
        found = await self._records.search(
            text=query,
            scope=join_parts(app_name, user_id),
            limit=self.max_results,
            embeddings=False,
        )
        entries = [match.record.metadata["entry"] for match in found]
        return SearchMemoryResponse(memories=[revive(MemoryEntry, json.loads(e)) for e in entries])

    async def delete_memory(
        self, *, app_name: str, user_id: str, memory_id: str | None = None
    ) -> None:
        """Deletes a memory, given the id that a search returned; its event is not added again."""
        if not memory_id:
            return
        user = join_parts(app_name, user_id)
        async with self._memory.transaction() as tx:
            records = tx.records(self.collection)
            records.delete(scope=user, filter={"id": memory_id})
            tx.set(_forgotten(user, memory_id), True)

    async def _put(self, records: Iterable[Record]) -> None:
        new = list({record.id: record for record in records}.values())
        for part in in_batches(new, RECORDS_PART, size_of_record):
            stored = await self._records.get([record.id for record in part])
            known = {record.id: record.metadata for record in stored if record is not None}
            changed = [record for record in part if known.get(record.id) != record.metadata]
            if changed:
                await awrite(changed, self._records.put)

    @property
    def _records(self) -> AsyncRecords:
        return self.connection.async_memory.records(self.collection)


def _entry(event: Event, metadata: dict[str, Any]) -> MemoryEntry:
    said = datetime.fromtimestamp(event.timestamp, UTC)
    return MemoryEntry(
        id=event.id,
        content=event.content or types.Content(),
        author=event.author or None,
        timestamp=said.isoformat(),
        custom_metadata=metadata,
    )


def _record(user: str, name: tuple[str, str], entry: MemoryEntry, session_id: str | None) -> Record:
    """Returns the record of a memory.

    Args:
        user: The scope.
        name: What tells the memory from all others of the user.
        entry: What a search returns.
        session_id: Where it was said.
    """
    metadata = {"id": entry.id, "entry": json.dumps(dump(entry))}
    if session_id is not None:
        metadata["session"] = session_id
    id = hashlib.sha256(to_bytes(join_parts(user, *name))).hexdigest()
    return Record(id=id, text=text_of(entry.content), metadata=metadata, scope=user)


def _forgotten(user: str, memory_id: str) -> str:
    return f"{_FORGOTTEN}/{user}/{join_parts(memory_id)}"
