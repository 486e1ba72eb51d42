"""CrewAI's knowledge, on BotWire's records."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Unpack

from crewai.knowledge.storage.base_knowledge_storage import BaseKnowledgeStorage
from crewai.memory import embed_texts
from crewai.rag.embeddings.factory import build_embedder
from crewai.rag.types import SearchResult
from pydantic import Field, PrivateAttr

from botwire import (
    BotWireError,
    ConfigurationError,
    InvalidRequestError,
    Match,
    Record,
)
from botwire.connection import ConnectionOptions, takes_connection
from botwire.splitting import awrite_records, write_records
from botwire.threads import in_thread
from botwire_crewai.failures import Doing, Failures, logger
from botwire_crewai.fitting import fit_tag, fit_text
from botwire_crewai.placed import Placed
from botwire_crewai.tenancy import Namespace, Tenancy


class BotWireKnowledgeStorage(Placed, BaseKnowledgeStorage):
    """Stores the chunks of a crew's or an agent's sources: ``Knowledge("docs", storage=…)``.

    Search is exact, and processes share the chunks. Saving a chunk again replaces it. Scores are
    those of CrewAI's own storage, (1 + cosine) / 2, so thresholds keep their meaning. A failure
    raises an error instead of returning an empty answer.

    Args:
        namespace: A name, or a function or `ContextVar` that gives the name at each call. Defaults
            to the client's, then to ``BOTWIRE_NAMESPACE``, then to this project's own.
        collection_name: Separates the knowledge of several crews or agents.
        embedder: A function that takes texts and returns their vectors, or a value of CrewAI's
            ``embedder=``. Defaults to CrewAI's own, which calls OpenAI.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    collection_name: str | None = None
    embedder: Any = Field(default=None, exclude=True)
    _failures: Failures = PrivateAttr()

    @takes_connection
    def __init__(
        self,
        namespace: Namespace | None = None,
        *,
        collection_name: str | None = None,
        embedder: Any = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        tenancy = Tenancy(namespace, **connection)
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
        """Returns the chunks nearest to the joined queries, best first.

        Args:
            query: The queries.
            limit: Maximum number of chunks.
            metadata_filter: A BotWire filter. The chunks of CrewAI's sources have no metadata.
            score_threshold: Lowest score to return, 0 to 1.

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
        """Like `search`. The embedder, which blocks, runs in a thread."""
        with self._told("reading"):
            ((_, vector),) = await in_thread(self._embed, [_joined(query)])
            records = self._connection.async_memory.records(self._collection)
            found = await records.search(**_search(vector, limit, metadata_filter, score_threshold))
        return [_result(match) for match in found]

    def save(self, documents: list[str]) -> None:
        """Stores chunks, many of them in several steps; after a failure, save them again.

        Raises:
            BotWireError: Memory cannot be reached, or the vectors have another dimension.
        """
        with self._told("writing"):
            records = self._connection.memory.records(self._collection)
            write_records(_records(self._embed(documents)), records.put)

    async def asave(self, documents: list[str]) -> None:
        """Like `save`. The embedder, which blocks, runs in a thread."""
        with self._told("writing"):
            new = _records(await in_thread(self._embed, documents))
            records = self._connection.async_memory.records(self._collection)
            await awrite_records(new, records.put)

    def reset(self) -> None:
        """Deletes the chunks of this collection, and nothing else."""
        self._connection.memory.records(self._collection).clear()

    async def areset(self) -> None:
        """Like `reset`."""
        await self._connection.async_memory.records(self._collection).clear()

    @contextlib.contextmanager
    def _told(self, doing: Doing) -> Iterator[None]:
        # CrewAI swallows the error, and the crew continues without its knowledge.
        try:
            yield
        except InvalidRequestError as error:
            self._failures.failed(doing, error)
            # Not crew.reset_memories(): it resets an agent's knowledge only after a kickoff, and
            # this error prevents the kickoff.
            named = {**self._connection.reference(), "collection_name": self.collection_name}
            arguments = ", ".join(f"{name}={value!r}" for name, value in named.items() if value)
            advice = (
                "if the embedder was changed, reset this knowledge, which is then rebuilt from its "
                f"sources: BotWireKnowledgeStorage({arguments}).reset()"
            )
            error.add_note(advice)
            logger.warning(advice)
            raise
        except BotWireError as error:
            self._failures.failed(doing, error)
            raise
        self._failures.succeeded(doing)

    @property
    def _collection(self) -> str:
        # CrewAI names an agent's knowledge after its role, which may be a paragraph.
        return f"crewai-knowledge/{fit_tag(self.collection_name or '')}"

    def _embed(self, texts: Sequence[str]) -> list[tuple[str, list[float]]]:
        """Returns each text that is not blank with its vector, without duplicates."""
        wanted = list(dict.fromkeys(fit_text(text) for text in texts if text.strip()))
        if wanted and not callable(self.embedder):
            self.embedder = build_embedder(self.embedder or {"provider": "openai", "config": {}})
        vectors = embed_texts(self.embedder, wanted)
        if not all(vectors):
            raise ConfigurationError(
                f"the embedder returned no vector for some of {len(wanted)} texts"
            )
        return list(zip(wanted, vectors, strict=True))


def _joined(query: Sequence[str]) -> str:
    text = " ".join(query)
    if not text.strip():
        raise ConfigurationError("the query is empty: give at least one word")
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
    # The id is a hash of the content, as in CrewAI's own storage, so saving again replaces it.
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
