"""AutoGen's memory: what an agent is shown at the beginning of each run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar, Unpack, get_args

from autogen_core import (
    CancellationToken,
    Component,
    ComponentBase,
    ComponentLoader,
    ComponentModel,
)
from autogen_core.memory import Memory, MemoryContent, MemoryQueryResult, UpdateContextResult
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import LLMMessage, SystemMessage, UserMessage
from pydantic import BaseModel

from botwire import AsyncRecords, ConfigurationError, Record, RequestTimeoutError
from botwire.arguments import check_seconds, check_type
from botwire.connection import Connected, ConnectionOptions
from botwire.embedders import Embedder, check_embedder, embed
from botwire.filters import compile_filter
from botwire.names import check_collection
from botwire.off_loop import off_loop
from botwire.operations import check_choice, check_page, check_score
from botwire.places import without_password
from botwire_autogen.acting import acting
from botwire_autogen.convert import from_record, json_safe, to_record, to_text

logger = logging.getLogger("botwire.autogen")

T = TypeVar("T")

Retrieval = Literal["auto", "recent", "keyword", "vector", "hybrid"]
Role = Literal["system", "user"]

_HEADER = "Relevant memory content (in chronological order):"
_SOURCE = "memory"  # the source of the message if its role is `user`


class BotWireMemoryConfig(BaseModel):
    """The configuration of a `BotWireMemory` in a component, without secrets.

    An embedder decides what its own component holds.
    """

    namespace: str
    url: str | None = None
    name: str = "memories"
    k: int = 20
    retrieval: Retrieval = "auto"
    score_threshold: float | None = None
    filter: dict[str, Any] | None = None
    embedder: ComponentModel | None = None
    role: Role = "system"
    recall_timeout: float = 2.0
    strict: bool = False


class BotWireMemory(
    Connected,
    Memory,
    Component[BotWireMemoryConfig],
    framework="autogen",
    acting=acting,
    shows="_name",
):
    """An AutoGen memory on BotWire: pass it in ``AssistantAgent(memory=[…])``.

    Each run of an agent gets one message with the memories that are not yet in its context. If the
    store does not answer in time, the run continues without it, and a warning is logged.

    `retrieval` selects how memories are found:

    - ``auto`` (the default): a query returns the memories that match its text best, by words and,
      with an `embedder`, by meaning. A run gets those that match the user's last message and, if
      they are fewer than `k`, the newest others.
    - ``recent``: the newest memories, whatever the query is.
    - ``keyword``, ``vector``, ``hybrid``: only memories that match, by words (BM25), by meaning or
      by both.

    Args:
        namespace: The namespace of the memories.
        name: The collection of records that holds the memories.
        k: Maximum number of memories that a query returns, up to 1,000.
        retrieval: How memories are found.
        score_threshold: Lowest score to return, 0 to 1.
        filter: A filter on the content's JSON, with the operators of `botwire.filters`. Paths begin
            with a field of the content: ``{"metadata.topic": "tea"}``,
            ``{"content.city": {"$in": ["Oslo"]}}``, ``{"mime_type": "text/plain"}``.
        embedder: Returns a vector for each text, awaited or not. To be part of a component's dump
            it must be one of AutoGen's components itself. Needs the extra ``vector``.
        role: The role of the message: ``system``, or ``user`` for models that accept only one
            system message, such as Anthropic's.
        recall_timeout: Seconds that a run waits for its memories.
        strict: Whether a run fails, instead of continuing, if its memories cannot be read.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    component_type = "memory"
    component_config_schema = BotWireMemoryConfig
    component_provider_override = "botwire_autogen.BotWireMemory"

    def __init__(
        self,
        namespace: str,
        *,
        name: str = "memories",
        k: int = 20,
        retrieval: Retrieval = "auto",
        score_threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        embedder: Embedder | None = None,
        role: Role = "system",
        recall_timeout: float = 2.0,
        strict: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_choice(retrieval, get_args(Retrieval), "retrieval")
        check_choice(role, get_args(Role), "role")
        if retrieval in ("vector", "hybrid") and embedder is None:
            raise ConfigurationError(f"retrieval={retrieval!r} needs embedder=")
        check_page(k, "k")
        if score_threshold is not None:
            check_score(score_threshold, "score_threshold")
        check_embedder(embedder)
        check_seconds(recall_timeout, "recall_timeout")
        super().__init__(namespace, **connection)
        self._name = check_collection(name)
        self._k = k
        self._retrieval: Retrieval = retrieval
        self._score_threshold = score_threshold
        self._filter = _check_filter(filter)
        self._embedder = embedder
        self._role: Role = role
        self._recall_timeout = recall_timeout
        self._strict = strict

    @property
    def name(self) -> str:
        """The collection of records that holds the memories."""
        return self._name

    @property
    def _records(self) -> AsyncRecords:
        return self.connection.async_memory.records(self._name)

    async def add(
        self, content: MemoryContent, cancellation_token: CancellationToken | None = None
    ) -> None:
        """Stores a content.

        Raises:
            NotJSONError: The content holds something that cannot be restored; the error says where.
            asyncio.CancelledError: The token was cancelled.
        """
        _check_token(cancellation_token)
        await _cancellable(self._add(content), cancellation_token)

    async def _add(self, content: MemoryContent) -> None:
        record = await off_loop(to_record, check_type(content, MemoryContent, "content"))
        # Bytes and images have no meaningful text to embed.
        if isinstance(content.content, (str, dict)):
            record = replace(record, embedding=await self._embed(record.text))
        await self._records.put([record])

    async def query(
        self,
        query: str | MemoryContent = "",
        cancellation_token: CancellationToken | None = None,
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> MemoryQueryResult:
        """Returns the contents that match a text, best first, as they were added.

        A content's score is in its ``metadata["score"]``, unless it was added with a score.

        Without a text, or if `retrieval` is ``recent``, returns the newest contents in the order in
        which they were added.

        Args:
            query: The text to search for.
            cancellation_token: Cancels the call.
            k: Maximum number of contents. Defaults to the memory's own.
            filter: A filter that contents must pass in addition to the memory's own.
            score_threshold: Lowest score to return. Defaults to the memory's own.
            **kwargs: None are accepted, because ignoring another memory's option could mislead.

        Raises:
            ConfigurationError: An argument is not valid or not known.
        """
        if kwargs:
            raise ConfigurationError(
                f"query takes k, filter and score_threshold, not {', '.join(sorted(kwargs))}"
            )
        _check_token(cancellation_token)
        if not isinstance(query, str):
            query = to_text(check_type(query, MemoryContent, "query", "a text or a MemoryContent"))
        if k is not None:
            check_page(k, "k")
        if score_threshold is not None:
            check_score(score_threshold, "score_threshold")
        parts = [part for part in (self._filter, _check_filter(filter)) if part]
        chosen = {"$and": parts} if len(parts) > 1 else (parts[0] if parts else None)
        threshold = self._score_threshold if score_threshold is None else score_threshold
        finding = self._find(query, k or self._k, chosen, threshold)
        found = await _cancellable(finding, cancellation_token)
        return MemoryQueryResult(results=await off_loop(_scored, found))

    async def _find(
        self, text: str, k: int, chosen: Mapping[str, Any] | None, threshold: float | None
    ) -> list[tuple[Record, float | None]]:
        if self._retrieval == "recent" or not text.strip():
            newest = await self._records.list(filter=chosen, limit=k, embeddings=False)
            return [(record, None) for record in _in_order(newest)]
        matches = await self._records.search(
            text=text if self._retrieval != "vector" else None,
            vector=await self._embed(text) if self._retrieval != "keyword" else None,
            filter=chosen,
            limit=k,
            min_score=threshold,
            embeddings=False,
        )
        return [(match.record, match.score) for match in matches]

    async def _in_time(self, question: str) -> list[Record]:
        try:
            async with asyncio.timeout(self._recall_timeout) as budget:
                return await self._recall(question)
        except TimeoutError as error:
            if not budget.expired():
                raise
            place = self.connection.async_memory.place
            url = without_password(place.url) if place is not None else "an open engine"
            raise RequestTimeoutError(
                f"{self!r} at {url} was not read within recall_timeout={self._recall_timeout} s",
                url=url,
            ) from error

    async def _recall(self, question: str) -> list[Record]:
        """Returns the memories for a run, in the order in which they were added."""
        if self._retrieval == "auto" and self._score_threshold is None:
            return await self._records.recall(
                question,
                vector=await self._embed(question) if question.strip() else None,
                filter=self._filter,
                limit=self._k,
            )
        found = await self._find(question, self._k, self._filter, self._score_threshold)
        return _in_order([record for record, _ in found])

    async def _embed(self, text: str) -> Sequence[float] | None:
        return None if self._embedder is None else await embed(self._embedder, text)

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Adds one message with the memories that are not in the context yet, if there are any.

        The query is the user's last message.
        """
        messages = await model_context.get_messages()
        try:
            found = await off_loop(_contents, await self._in_time(_question(messages)))
        except Exception as error:
            if self._strict:
                raise
            # Catches every error, even an embedder's, because AutoGen would end the run.
            logger.warning("a run continues without what %r holds: %r", self, error)
            return UpdateContextResult(memories=MemoryQueryResult(results=[]))
        told = {entry for message in messages for entry in _entries(message)}
        new = {entry: content for content in found if (entry := _entry(content)) not in told}
        if new:
            text = "\n".join(["", _HEADER, *new, ""])
            await model_context.add_message(
                SystemMessage(content=text)
                if self._role == "system"
                else UserMessage(content=text, source=_SOURCE)
            )
        contents = [await off_loop(json_safe, content) for content in new.values()]
        return UpdateContextResult(memories=MemoryQueryResult(results=contents))

    async def clear(self) -> None:
        """Deletes the memories of this object, and nothing else in the namespace."""
        await self._records.clear()

    async def close(self) -> None:
        """Does nothing: what is stored stays, and connections close with their event loop."""

    def _to_config(self) -> BotWireMemoryConfig:
        reference = self.connection.reference()
        embedder = self._embedder
        if embedder is not None and not isinstance(embedder, ComponentBase):
            raise ConfigurationError(
                "the embedder is a plain function, which no component can hold: make it a "
                "Component of AutoGen, with __call__, or make the memory in code"
            )
        return BotWireMemoryConfig(
            namespace=reference["namespace"],
            url=reference.get("url"),
            name=self._name,
            k=self._k,
            retrieval=self._retrieval,
            score_threshold=self._score_threshold,
            filter=self._filter,
            embedder=None if embedder is None else embedder.dump_component(),
            role=self._role,
            recall_timeout=self._recall_timeout,
            strict=self._strict,
        )

    @classmethod
    def _from_config(cls, config: BotWireMemoryConfig) -> Self:
        embedder: Any = config.embedder and ComponentLoader.load_component(
            config.embedder, ComponentBase
        )
        return cls(**{**config.model_dump(), "embedder": embedder})


def _check_filter(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    compile_filter(given)
    return dict(given)


def _contents(records: Iterable[Record]) -> list[MemoryContent]:
    return [from_record(record) for record in records]


def _scored(found: Iterable[tuple[Record, float | None]]) -> list[MemoryContent]:
    contents = []
    for record, score in found:
        content = from_record(record)
        if score is not None:
            content.metadata = {"score": score, **(content.metadata or {})}
        contents.append(content)
    return contents


def _in_order(records: Sequence[Record]) -> list[Record]:
    """Returns records in the order in which any process added them."""
    return sorted(records, key=lambda record: record.version)


def _question(messages: Sequence[LLMMessage]) -> str:
    for message in reversed(messages):
        if isinstance(message, UserMessage) and not _entries(message):
            content = message.content
            if isinstance(content, str):
                return content
            return " ".join(part for part in content if isinstance(part, str))
    return ""


def _entry(content: MemoryContent) -> str:
    """Returns a memory as a list entry; lines after the first are indented."""
    return "- " + "\n  ".join(to_text(content).splitlines())


def _entries(message: LLMMessage) -> list[str]:
    """Returns the entries of the memories in a message."""
    if not isinstance(message, (SystemMessage, UserMessage)):
        return []
    content = message.content
    if not isinstance(content, str) or not content.startswith(f"\n{_HEADER}\n- "):
        return []
    _, *told = content.removesuffix("\n").split("\n- ")
    return ["- " + entry for entry in told]


def _check_token(token: CancellationToken | None) -> None:
    if token is not None:
        check_type(token, CancellationToken, "cancellation_token")


async def _cancellable(work: Coroutine[Any, Any, T], token: CancellationToken | None) -> T:
    if token is None:
        return await work
    task = asyncio.ensure_future(work)
    token.link_future(task)
    return await task
