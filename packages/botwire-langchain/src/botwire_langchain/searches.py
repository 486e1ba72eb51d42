"""The searches of LangChain's vector stores, each blocking and asynchronous."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from botwire import ConfigurationError, Match
from botwire.arguments import check_type
from botwire.matching import Test
from botwire.names import shown
from botwire.off_loop import off_loop
from botwire.operations import check_count
from botwire_langchain.documents import Filter, diverse, to_document, to_filter

Scored = list[tuple[Document, float]]
"""Documents with their scores, best first."""


class Search(NamedTuple):
    """The arguments of a search, which are valid.

    Attributes:
        limit: The most matches to find.
        condition: A filter that records must match; None: all do.
        passes: A further test; None: all pass.
        k: The most documents to choose from them.
        lambda_mult: How much nearness counts in that choice.
    """

    limit: int
    condition: dict[str, Any] | None
    passes: Test | None
    k: int = 0
    lambda_mult: float = 0.5

    @classmethod
    def read(
        cls,
        limit: int,
        given: Filter | None,
        others: Mapping[str, Any],
        k: int | None = None,
        lambda_mult: float = 0.5,
    ) -> Search:
        """Returns checked arguments, before a query is embedded.

        Raises:
            ConfigurationError: An argument is not valid.
        """
        refuse_unknown(others, ("k", "filter", *(() if k is None else ("fetch_k", "lambda_mult"))))
        check_count(limit, "k" if k is None else "fetch_k")
        check_count(k or 0, "k")
        if not isinstance(lambda_mult, (int, float)) or not 0 <= lambda_mult <= 1:
            raise ConfigurationError(
                f"lambda_mult must be a number from 0 to 1, not {shown(lambda_mult)}"
            )
        return cls(limit, *to_filter(given), k or 0, lambda_mult)


class Searches(VectorStore):
    """A vector store that finds records by vector."""

    @property
    @abstractmethod
    def embeddings(self) -> Embeddings:
        """What embeds texts and queries."""

    @abstractmethod
    def _find(
        self, search: Search, vector: Sequence[float], *, embeddings: bool = False
    ) -> list[Match]:
        """Returns the matches nearest to a vector."""

    @abstractmethod
    async def _afind(
        self, search: Search, vector: Sequence[float], *, embeddings: bool = False
    ) -> list[Match]:
        """Like `_find`."""

    def _embed(self, query: str) -> Sequence[float]:
        return self.embeddings.embed_query(check_type(query, str, "query"))

    async def _aembed(self, query: str) -> Sequence[float]:
        return await self.embeddings.aembed_query(check_type(query, str, "query"))

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Returns the `k` documents nearest to a query, best first."""
        return documents_of(self.similarity_search_with_score(query, k, filter=filter, **kwargs))

    async def asimilarity_search(
        self,
        query: str,
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Like `similarity_search`."""
        found = await self.asimilarity_search_with_score(query, k, filter=filter, **kwargs)
        return documents_of(found)

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> Scored:
        """Returns the `k` documents nearest to a query with their similarity, -1 to 1."""
        search = Search.read(k, filter, kwargs)
        return scored(self._find(search, self._embed(query)))

    async def asimilarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> Scored:
        """Like `similarity_search_with_score`."""
        search = Search.read(k, filter, kwargs)
        vector = await self._aembed(query)
        return scored(await self._afind(search, vector))

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Returns the `k` documents nearest to an embedding, best first."""
        found = self.similarity_search_with_score_by_vector(embedding, k, filter=filter, **kwargs)
        return documents_of(found)

    async def asimilarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Like `similarity_search_by_vector`."""
        by_vector = self.asimilarity_search_with_score_by_vector
        return documents_of(await by_vector(embedding, k, filter=filter, **kwargs))

    def similarity_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> Scored:
        """Returns the `k` documents nearest to an embedding with their similarity, -1 to 1."""
        return scored(self._find(Search.read(k, filter, kwargs), embedding))

    async def asimilarity_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> Scored:
        """Like `similarity_search_with_score_by_vector`."""
        return scored(await self._afind(Search.read(k, filter, kwargs), embedding))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Returns `k` of the `fetch_k` documents nearest to a query that differ from one another.

        Args:
            query: The query.
            k: The most documents to return.
            fetch_k: The number of nearest documents to choose from.
            lambda_mult: 1 chooses the nearest, 0 those that differ most.
            filter: See the class.
            **kwargs: There are no other arguments.
        """
        search = Search.read(fetch_k, filter, kwargs, k, lambda_mult)
        vector = self._embed(query)
        return chosen(search, vector, self._find(search, vector, embeddings=True))

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Like `max_marginal_relevance_search`."""
        search = Search.read(fetch_k, filter, kwargs, k, lambda_mult)
        vector = await self._aembed(query)
        found = await self._afind(search, vector, embeddings=True)
        return await off_loop(chosen, search, vector, found)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Like `max_marginal_relevance_search`, for an embedding."""
        search = Search.read(fetch_k, filter, kwargs, k, lambda_mult)
        return chosen(search, embedding, self._find(search, embedding, embeddings=True))

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002 - named by LangChain
        **kwargs: Any,
    ) -> list[Document]:
        """Like `max_marginal_relevance_search_by_vector`."""
        search = Search.read(fetch_k, filter, kwargs, k, lambda_mult)
        found = await self._afind(search, embedding, embeddings=True)
        return await off_loop(chosen, search, embedding, found)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return _relevance


def refuse_unknown(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises `ConfigurationError` for an argument that is unknown, such as ``filters``."""
    unknown = given.keys() - set(known)
    if unknown:
        raise ConfigurationError(
            f"{min(unknown)!r} is not an argument here, and would have no effect: use "
            f"{', '.join(known)}"
        )


def _relevance(similarity: float) -> float:
    """Returns a score from 0 to 1, as LangChain requires: opposite is no less than unrelated."""
    return min(max(similarity, 0.0), 1.0)


def documents_of(found: Scored) -> list[Document]:
    """Returns the documents without their scores."""
    return [document for document, _ in found]


def scored(found: Sequence[Match]) -> Scored:
    """Returns the documents of matches, with their scores."""
    return [(to_document(match.record), match.score) for match in found]


def chosen(search: Search, vector: Sequence[float], found: Sequence[Match]) -> list[Document]:
    """Returns the documents of some matches, which differ from one another."""
    vectors = [match.record.embedding or () for match in found]
    indexes = diverse(vector, vectors, search.k, search.lambda_mult)
    return [to_document(found[i].record) for i in indexes]
