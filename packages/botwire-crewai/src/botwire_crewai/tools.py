"""Tools with which an agent remembers on its own, without an embedder."""

from __future__ import annotations

from typing import Any, Unpack

from crewai.memory.types import MemoryRecord
from crewai.tools import BaseTool
from crewai.types.callback import SerializableCallable
from pydantic import BaseModel, Field

from botwire import AsyncRecords, Record, Records
from botwire.connection import Connection, ConnectionOptions, takes_connection
from botwire_crewai.fitting import fit_scope
from botwire_crewai.storage import COLLECTION, BotWireStorage
from botwire_crewai.tenancy import Namespace

_LISTED = 50


class _Remember(BaseModel):
    text: str = Field(description="What to remember, as a sentence that stands by itself.")
    categories: list[str] = Field(default=[], description="A few words to find it by, optional.")


class _Recall(BaseModel):
    query: str = Field(description="Words that the memories may hold.")
    limit: int = Field(default=5, ge=1, le=100, description="How many memories at most.")


class _List(BaseModel):
    limit: int = Field(default=20, ge=1, le=_LISTED, description="How many memories at most.")


class _Forget(BaseModel):
    id: str = Field(description="The id of the memory, as recalled or listed.")


def _never(_arguments: Any = None, _result: Any = None) -> bool:
    return False


class _MemoryTool(BaseTool):
    # Answers change, so `Crew(cache=True)` must not cache them.
    cache_function: SerializableCallable = _never
    storage: Any = Field(exclude=True)
    scope: str = "/"

    @property
    def connection(self) -> Connection:
        """The connection to the current namespace."""
        connection: Connection = self.storage.connection
        return connection

    @property
    def _records(self) -> Records:
        return self.connection.memory.records(COLLECTION)

    @property
    def _async_records(self) -> AsyncRecords:
        return self.connection.async_memory.records(COLLECTION)


class RememberTool(_MemoryTool):
    """Keeps a memory."""

    name: str = "remember"
    description: str = "Keeps a fact for later conversations. Answers its id."
    args_schema: type[BaseModel] = _Remember

    def _new(self, text: str, categories: list[str] | None) -> MemoryRecord:
        return MemoryRecord(content=text, scope=self.scope, categories=categories or [])

    def _run(self, text: str, categories: list[str] | None = None) -> str:
        memory = self._new(text, categories)
        self.storage.save([memory])
        return f"Remembered under the id {memory.id}."

    async def _arun(self, text: str, categories: list[str] | None = None) -> str:
        memory = self._new(text, categories)
        await self.storage.asave([memory])
        return f"Remembered under the id {memory.id}."


class RecallTool(_MemoryTool):
    """Finds memories by their words."""

    name: str = "recall"
    description: str = "Finds what was remembered, by words that it may hold; the best first."
    args_schema: type[BaseModel] = _Recall

    def _run(self, query: str, limit: int = 5) -> str:
        found = self._records.search(
            text=query, scope=self.scope, limit=limit, filter=_PUBLIC, embeddings=False
        )
        return _shown([match.record for match in found])

    async def _arun(self, query: str, limit: int = 5) -> str:
        found = await self._async_records.search(
            text=query, scope=self.scope, limit=limit, filter=_PUBLIC, embeddings=False
        )
        return _shown([match.record for match in found])


class ListTool(_MemoryTool):
    """Lists memories."""

    name: str = "list_memories"
    description: str = "Lists what was remembered last, the newest first."
    args_schema: type[BaseModel] = _List

    def _run(self, limit: int = 20) -> str:
        found = self._records.list(scope=self.scope, limit=limit, filter=_PUBLIC, embeddings=False)
        return _shown(found)

    async def _arun(self, limit: int = 20) -> str:
        found = await self._async_records.list(
            scope=self.scope, limit=limit, filter=_PUBLIC, embeddings=False
        )
        return _shown(found)


class ForgetTool(_MemoryTool):
    """Deletes a memory."""

    name: str = "forget"
    description: str = "Deletes one memory for good, by its id."
    args_schema: type[BaseModel] = _Forget

    def _run(self, id: str) -> str:
        return _forgotten(self._records.delete(ids=[id], scope=self.scope, filter=_PUBLIC))

    async def _arun(self, id: str) -> str:
        count = await self._async_records.delete(ids=[id], scope=self.scope, filter=_PUBLIC)
        return _forgotten(count)


@takes_connection
def memory_tools(
    namespace: Namespace | None = None,
    *,
    scope: str = "/",
    **connection: Unpack[ConnectionOptions],
) -> list[BaseTool]:
    """Returns tools for an agent: remember, recall, list_memories and forget.

    They find memories by their words and need no embedder. They also find the records of a
    `BotWireStorage` in the same namespace, except private ones. A crew's own memory in that
    namespace recalls what they store, but cannot rank it, since it has no vectors.

    Args:
        namespace: A name, or a function or `ContextVar` that gives the name at each call. Defaults
            to the client's, then to ``BOTWIRE_NAMESPACE``, then to this project's own.
        scope: The path below which memories are stored and searched.
        **connection: Where memory lives; see `ConnectionOptions`.
    """
    storage = BotWireStorage(namespace, **connection)
    scope = fit_scope(scope)
    return [
        RememberTool(storage=storage, scope=scope),
        RecallTool(storage=storage, scope=scope),
        ListTool(storage=storage, scope=scope),
        ForgetTool(storage=storage, scope=scope),
    ]


_PUBLIC: dict[str, Any] = {"$not": {"private": True}}


def _shown(records: list[Record]) -> str:
    if not records:
        return "Nothing was remembered about that."
    return "\n".join([f"- {record.text} (id {record.id})" for record in records])


def _forgotten(count: int) -> str:
    return "Forgotten." if count else "There is no memory of that id."
