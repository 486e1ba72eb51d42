"""CrewAI's knowledge, on BotWire's records."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from crewai.knowledge.storage.base_knowledge_storage import BaseKnowledgeStorage
from crewai.memory import embed_texts
from crewai.rag.embeddings.factory import build_embedder
from crewai.rag.types import SearchResult
from pydantic import Field, PrivateAttr

from botwire import (
    AsyncMemory,
    BotWireError,
    ConfigurationError,
    InvalidRequestError,
    Match,
    Memory,
    Record,
)
from botwire.places import DEFAULT_TIMEOUT
from botwire_crewai.failures import Doing, Failures, logger
from botwire_crewai.fitting import fit_text
from botwire_crewai.placed import Placed
from botwire_crewai.tenancy import Namespace, Tenancy


class BotWireKnowledgeStorage(Placed, BaseKnowledgeStorage):
    """Keeps the chunks of a crew's or an agent's sources: ``Knowledge("docs", storage=…)``.

    Exact search, shared by processes. A chunk that is saved again replaces itself. Scores are those
    of CrewAI's own storage, (1 + cosine) / 2, so its thresholds mean what they mean; a failure is
    raised, and not an empty answer.

    Args:
        namespace: Whose knowledge: a name, or a function or `ContextVar` that says it at each call.
            Unset: the client's, else ``BOTWIRE_NAMESPACE``, else one of this project's own.
        collection_name: Keeps the knowledge of several crews or agents apart.
        embedder: A function that takes texts and returns their vectors, or what CrewAI's
            ``embedder=`` takes. Unset: CrewAI's own default, which asks OpenAI.
        client: A `Memory` or `AsyncMemory` to use.
        url: Where memory lives, as for `Memory`.
        api_key: For a server, as for `Memory`; never part of a dump.
        timeout: Seconds that a call to a server may take in all.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    collection_name: str | None = None
    embedder: Any = Field(default=None, exclude=True)
    _failures: Failures = PrivateAttr()

    def __init__(
        self,
        namespace: Namespace | None = None,
        *,
        collection_name: str | None = None,
        embedder: Any = None,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        tenancy = Tenancy(namespace, client=client, url=url, api_key=api_key, timeout=timeout)
        named: dict[str, Any] = {"collection_name": collection_name, "embedder": embedder}
        super().__init__(**tenancy.reference(), **named)
        self._tenancy = tenancy
        self._failures = Failures(tenancy.label, "knowledge")

    def search(
        self,
        query: list[str],
        limit: int = 5,
        metadata_filter: dict[str, Any] | None = None,
        score_threshold: float = 0.6,
    ) -> list[SearchResult]:
        """Returns the chunks nearest to the queries, taken together; the best first.

        Args:
            query: What is asked.
            limit: How many at most.
            metadata_filter: As BotWire's filters; the chunks of CrewAI's sources have no metadata.
            score_threshold: Only chunks with at least this score, 0 to 1.

        Raises:
            BotWireError: Memory cannot be reached, or the vectors have another dimension.
        """
        with self._told("reading"):
            ((_, vector),) = self._embed([_joined(query)])
            records = self._connection.memory.records(self._collection)
            found = records.search(**_search(vector, limit, metadata_filter, score_threshold))
        return [_result(match) for match in found]

    async def asearch(
        self,
        query: list[str],
        limit: int = 5,
        metadata_filter: dict[str, Any] | None = None,
        score_threshold: float = 0.6,
    ) -> list[SearchResult]:
        """As `search`; the embedder, which blocks, is called in a thread."""
        with self._told("reading"):
            ((_, vector),) = await asyncio.to_thread(self._embed, [_joined(query)])
            records = self._connection.async_memory.records(self._collection)
            found = await records.search(**_search(vector, limit, metadata_filter, score_threshold))
        return [_result(match) for match in found]

    def save(self, documents: list[str]) -> None:
        """Keeps chunks, all or none.

        Raises:
            BotWireError: Memory cannot be reached, or the vectors have another dimension.
        """
        with self._told("writing"):
            new = _records(self._embed(documents))
            self._connection.memory.records(self._collection).put(new)

    async def asave(self, documents: list[str]) -> None:
        """As `save`; the embedder, which blocks, is called in a thread."""
        with self._told("writing"):
            new = _records(await asyncio.to_thread(self._embed, documents))
            await self._connection.async_memory.records(self._collection).put(new)

    def reset(self) -> None:
        """Deletes the chunks of this collection, and nothing else."""
        self._connection.memory.records(self._collection).clear()

    async def areset(self) -> None:
        """As `reset`."""
        await self._connection.async_memory.records(self._collection).clear()

    @contextlib.contextmanager
    def _told(self, doing: Doing) -> Iterator[None]:
        # A crew whose knowledge fails goes on without it: CrewAI swallows the error.
        try:
            yield
        except InvalidRequestError as error:
            self._failures.failed(doing, error)
            error.add_note(
                "After a change of the embedder, the knowledge is to be made anew: call reset(), "
                "or 'crewai reset-memories --knowledge'."
            )
            logger.warning(
                "was the embedder changed? Then reset this knowledge, which is made anew from its "
                "sources: crew.reset_memories('knowledge')"
            )
            raise
        except BotWireError as error:
            self._failures.failed(doing, error)
            raise
        self._failures.succeeded(doing)

    @property
    def _collection(self) -> str:
        return f"crewai-knowledge/{self.collection_name or ''}"

    def _embed(self, texts: Sequence[str]) -> list[tuple[str, list[float]]]:
        """Returns the texts that are not blank, each once, with their vectors."""
        wanted = list(dict.fromkeys(fit_text(text) for text in texts if text.strip()))
        if wanted and not callable(self.embedder):
            self.embedder = build_embedder(self.embedder or {"provider": "openai", "config": {}})
        vectors = embed_texts(self.embedder, wanted)
        if not all(vectors):
            raise ConfigurationError(f"the embedder made no vector for some of {len(wanted)} texts")
        return list(zip(wanted, vectors, strict=True))


def _joined(query: Sequence[str]) -> str:
    text = " ".join(query)
    if not text.strip():
        raise ConfigurationError("a query is not empty")
    return text


def _search(
    vector: list[float], limit: int, metadata: dict[str, Any] | None, threshold: float
) -> dict[str, Any]:
    return {
        "vector": vector,
        "limit": max(0, limit),
        "filter": metadata or None,
        "min_score": 2 * threshold - 1,
        "embeddings": False,
    }


def _records(embedded: list[tuple[str, list[float]]]) -> list[Record]:
    # An id of the content, as CrewAI's own storage makes it: saved again it is the same chunk.
    return [
        Record(text, id=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), embedding=v)
        for text, v in embedded
    ]


def _result(match: Match) -> SearchResult:
    return {
        "id": match.record.id,
        "content": match.record.text,
        "metadata": dict(match.record.metadata),
        "score": (1 + match.score) / 2,
    }
