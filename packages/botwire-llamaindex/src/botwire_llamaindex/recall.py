"""A memory block on BotWire's own records, which searches messages older than the window."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory.memory import BaseMemoryBlock
from pydantic import (
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from botwire import (
    AsyncMemory,
    AsyncRecords,
    ConfigurationError,
    ConflictError,
    Memory,
    Record,
)
from botwire.connection import Connection
from botwire.names import join_parts
from botwire.operations import check_ttl
from botwire.places import DEFAULT_TIMEOUT
from botwire.splitting import awrite, in_batches, latest
from botwire_llamaindex.acting import acting
from botwire_llamaindex.kvstore import RENEWED, key_of
from botwire_llamaindex.place import refuse_unknown

_BATCH = 500
_PLACE, _OWNER = "place", "owner"  # of a dump, beside the fields
_LONGEST_QUERY = 2_000  # characters of a message to search for


class BotWireMemoryBlock(BaseMemoryBlock[str]):
    """Recalls messages that a conversation's window has dropped, if they match what is said now.

    The block needs no second database. In a `BotWireMemory` it stores the messages next to the
    conversation, in the user's own namespace, unless it has a place of its own. One block can serve
    the memories of all users, and no user is shown another's messages.

    Args:
        namespace: The namespace for the messages. Without `namespace`, `client` and `url`, the
            block uses the place of the memory that has it.
        client: A `botwire.Memory` or `AsyncMemory`, instead of `url` and `api_key`.
        url: Where memory lives, as for `botwire.Memory`.
        api_key: The server's API key, as for `botwire.Memory`.
        timeout: Seconds that a call to a server may take, retries included.
        **fields: `per`: ``"session"`` recalls what was said in the same conversation, ``"user"``
            what was said in any conversation of the same namespace. `embed_model` searches by
            meaning; without one, the block searches by words. `similarity_top_k`: maximum number of
            messages to recall. `collection`: tells several blocks apart. `ttl`: seconds after the
            conversation's last message when its messages are no longer recalled; defaults to the
            ttl of the `BotWireMemory`. Also the fields of every block: `name`, `priority`, ….

    Raises:
        ConfigurationError: An argument is not valid.
    """

    name: str = "recalled"
    per: Literal["session", "user"] = "session"
    embed_model: BaseEmbedding | None = None
    similarity_top_k: int = 5
    collection: str = "llamaindex/recalled"
    ttl: float | None = None

    _connection: Connection | None = PrivateAttr(default=None)
    _owner: tuple[str, str] | None = PrivateAttr(default=None)  # namespace and session

    def __init__(
        self,
        namespace: str | None = None,
        *,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        **fields: Any,
    ) -> None:
        refuse_unknown(type(self), fields, type(self).model_fields)
        super().__init__(**fields)
        if self.ttl is not None:
            check_ttl(self.ttl)
        if (namespace, client, url, api_key) != (None, None, None, None):
            self._connection = Connection(
                namespace,
                framework="llamaindex",
                acting=acting,
                client=client,
                url=url,
                api_key=api_key,
                timeout=timeout,
            )

    @model_validator(mode="wrap")
    @classmethod
    def _find_again(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Reads a dump: a block in a workflow's state is saved and restored without other calls."""
        place = data.get(_PLACE) if isinstance(data, dict) else None
        if place is None:
            return handler(data)
        block = handler({k: part for k, part in data.items() if k not in (_PLACE, _OWNER)})
        block._open(place, data.get(_OWNER))  # noqa: SLF001 - a new one
        return block

    def _open(self, place: Any, owner: Any) -> None:
        memory = Connection.from_reference(place).memory
        self._connection = Connection(framework="llamaindex", acting=acting, client=memory)
        self._owner = None if owner is None else tuple(owner)

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Returns the fields and the place, without any key."""
        fields: dict[str, Any] = handler(self)
        if self._connection is None:
            return fields
        return {**fields, _PLACE: self._connection.reference(), _OWNER: self._owner}

    def owned_by(self, connection: Connection, session_id: str, ttl: float | None) -> Self:
        """Returns a copy of this block for one conversation, at its place unless it has its own.

        Args:
            connection: The conversation's place.
            session_id: The conversation.
            ttl: When the conversation expires, unless this block says so itself.
        """
        block = self.model_copy()
        if block.ttl is None:
            block.ttl = ttl
        block._set_owner(connection, session_id)  # noqa: SLF001 - a copy of this one
        return block

    def _set_owner(self, connection: Connection, session_id: str) -> None:
        self._connection = self._connection or connection
        self._owner = (connection.namespace, session_id)

    async def aput(
        self,
        messages: list[ChatMessage],
        from_short_term_memory: bool = False,
        session_id: str | None = None,
    ) -> None:
        """Stores the texts of messages, each text only once.

        Args:
            messages: The messages, which stay unchanged.
            from_short_term_memory: Whether they come from a memory's queue.
            session_id: The conversation; not needed if the block belongs to a `BotWireMemory`.

        Raises:
            ConfigurationError: The conversation is unknown.
        """
        if from_short_term_memory and not self.accept_short_term_memory:
            return
        scope = self._scope(session_id, per="session")
        records = latest(
            Record(
                text,
                _id_of(scope, message.role.value, text),
                {"role": message.role.value},
                scope=scope,
            )
            for message in messages
            if (text := message.content)
        )
        if self.embed_model is not None and records:
            texts = [record.text for record in records]
            vectors = await self.embed_model.aget_text_embedding_batch(texts)
            records = [
                replace(record, embedding=vector)
                for record, vector in zip(records, vectors, strict=True)
            ]
        for batch in in_batches(records, _BATCH, lambda record: len(record.text) + 40_000):
            await awrite(batch, partial(self._records().put, ttl=self.ttl))

    async def arenew(self) -> None:
        """Lets the stored messages of this block's conversation live on, after it was written to.

        They are renewed at most once in a quarter of their time to live, by any process.
        """
        if self.ttl is None:
            return
        scope = self._scope(None, per="session")
        mark = key_of(RENEWED, _id_of(self.collection, scope))
        try:
            await self._place().async_memory.set(mark, None, ttl=self.ttl / 4, if_version=0)
        except ConflictError:
            return
        records = self._records()
        ids = [one.id for one in await records.list(scope=scope, embeddings=False)]
        for batch in in_batches(ids, _BATCH, len):
            await records.patch(batch, {}, ttl=self.ttl)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        await self.aput(messages)

    async def _aget(
        self,
        messages: list[ChatMessage] | None = None,
        session_id: str | None = None,
        **block_kwargs: Any,
    ) -> str:
        """Returns the stored messages that match the last one said, oldest first."""
        said = next((text for one in reversed(messages or []) if (text := one.content)), None)
        if said is None:
            return ""
        scope = self._scope(session_id)
        query: dict[str, Any] = {"text": said[:_LONGEST_QUERY]}
        if self.embed_model is not None:
            query = {"vector": await self.embed_model.aget_query_embedding(said)}
        found = await self._records().search(
            **query, scope=scope, limit=self.similarity_top_k, embeddings=False
        )
        records = sorted((match.record for match in found), key=_age)
        return "\n".join(f"{one.metadata.get('role', 'user')}: {one.text}" for one in records)

    async def areset(self) -> None:
        """Deletes the stored messages of this block's conversation."""
        await self._records().delete(scope=self._scope(None, per="session"))

    def reset(self) -> None:
        """Like `areset`."""
        scope = self._scope(None, per="session")
        self._place().memory.records(self.collection).delete(scope=scope)

    def _place(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(framework="llamaindex", acting=acting)
        return self._connection

    def _records(self) -> AsyncRecords:
        return self._place().async_memory.records(self.collection)

    def _scope(self, session_id: str | None, per: str | None = None) -> str:
        namespace, session = self._owner or ("", session_id)
        parts = [f"user {namespace}"]
        if session is None and self.per == "session":
            raise ConfigurationError(
                f"memory block {self.name!r} keeps what was said apart by session: give "
                'session_id, or make it with per="user"'
            )
        if session is not None and (per or self.per) == "session":
            parts.append(f"session {session}")
        return join_parts(*parts)


def _age(record: Record) -> tuple[datetime | None, int | None]:
    return record.created_at, record.version


def _id_of(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
