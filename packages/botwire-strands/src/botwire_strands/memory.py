"""Memories that an agent searches and adds to."""

from __future__ import annotations

import hashlib
from typing import Any, Unpack

from strands.memory.types import AddMessagesContext, MemoryEntry, MemoryStore, SearchOptions
from strands.types.content import Message

from botwire import AsyncRecords, ConfigurationError, Record
from botwire.arguments import check_mapping
from botwire.client.encoding import encode_list
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_collection, to_bytes
from botwire.operations import check_page
from botwire.splitting import awrite_records

_RESULTS = 5


class BotWireMemoryStore(Connected, MemoryStore, framework="strands", shows="name"):
    """A `strands.memory.MemoryStore` on BotWire, for ``MemoryManager(stores=[…])``.

    A memory that is added twice is there once.

    Args:
        name: The name of the store, by which agents choose one, and of its collection of records.
        namespace: The namespace of the memories. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        description: What is in it, for the model.
        max_search_results: How many memories a search returns.
        writable: Whether agents may add to it.
        extraction: Whether the manager adds what is said to the store; see `MemoryStore`. True adds
            the messages as they are; with ``{"extractor": ModelExtractor()}`` a model says what
            is worth it.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        namespace: str | None = None,
        description: str | None = None,
        max_search_results: int | None = None,
        writable: bool = True,
        extraction: Any = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if max_search_results is not None:
            check_page(max_search_results, "max_search_results")
        super().__init__(namespace, **connection)
        self.name = check_collection(name)
        self.description = description
        self.max_search_results = max_search_results
        self.writable = writable
        self.extraction = extraction

    async def search(self, query: str, options: SearchOptions | None = None) -> list[MemoryEntry]:
        """Returns the memories that match the words of a query best."""
        asked = check_mapping(options or {}, "options").get("max_search_results")
        limit = asked or self.max_search_results or _RESULTS
        found = await self._records.search(text=query, limit=limit)
        return [
            MemoryEntry(match.record.text, self.name, dict(match.record.metadata) or None)
            for match in found
        ]

    async def add(self, content: str, metadata: dict[str, Any] | None = None) -> str:
        """Adds a memory and returns its id, the same for the same content.

        Raises:
            ConfigurationError: The store is not writable, or the content is empty.
        """
        if not self.writable:
            raise ConfigurationError(f"the store {self.name!r} is not writable")
        if not isinstance(content, str):
            raise ConfigurationError(f"content must be a string, not {type(content).__name__}")
        if not content.strip():
            raise ConfigurationError("content is empty: an empty memory could never be found")
        id = _id(content)
        await self._records.put([Record(id=id, text=content, metadata=metadata or {})])
        return id

    async def add_messages(
        self, messages: list[Message], context: AddMessagesContext | None = None
    ) -> None:
        """Adds what was said, a memory for each message, so that a search finds it word for word.

        A message that is added again is there once: its id is made of its role and text, as the
        manager's numbers start over with each run. Messages without a text are left out.

        Raises:
            ConfigurationError: The store is not writable.
        """
        if not self.writable:
            raise ConfigurationError(f"the store {self.name!r} is not writable")
        said: dict[tuple[str, str], None] = {}
        for i, message in enumerate(encode_list(messages, "messages", "messages")):
            if not {"role", "content"} <= check_mapping(message, f"messages[{i}]").keys():
                raise ConfigurationError(f"messages[{i}] needs a role and a content")
            said[message["role"], _text(message)] = None
        records = [
            Record(id=_id(f"{role}\n{text}"), text=text, metadata={"role": role})
            for role, text in said
            if text.strip()
        ]
        await awrite_records(records, self._records.put)

    @property
    def _records(self) -> AsyncRecords:
        return self.connection.async_memory.records(self.name)


def _text(message: Message) -> str:
    return "\n\n".join(block["text"] for block in message["content"] if "text" in block)


def _id(content: str) -> str:
    return hashlib.sha256(to_bytes(content)).hexdigest()
