"""A vector store passes LangChain's own suite, finds the nearest, and refuses wrong arguments."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from botwire import AsyncMemory, ConfigurationError, EmbedderMismatchError, Memory, NotJSONError
from botwire_langchain import BotWireVectorStore
from botwire_langchain.documents import diverse
from tests.zygote import Zygote

pytestmark = pytest.mark.anyio


class TestVectorStore(VectorStoreIntegrationTests):
    """LangChain's suite, blocking and awaited."""

    @pytest.fixture
    def vectorstore(self, place_url: str, namespace: str) -> BotWireVectorStore:
        """An empty store."""
        return BotWireVectorStore(namespace, embedding=self.get_embeddings(), url=place_url)


class Compass(Embeddings):
    """Embeds a number of degrees as a direction; counts the texts."""

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self.embedded = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Returns directions."""
        self.embedded += len(texts)
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Returns a direction."""
        angle = math.radians(float(text))
        return [math.cos(angle), math.sin(angle), *([0.0] * (self.size - 2))]


@pytest.fixture
def store(place_url: str, namespace: str) -> BotWireVectorStore:
    """An empty store of directions."""
    return BotWireVectorStore(namespace, embedding=Compass(), url=place_url)


def texts(found: Sequence[Document]) -> list[str]:
    return [document.page_content for document in found]


async def test_the_nearest_come_first_with_their_similarity(store: BotWireVectorStore) -> None:
    await store.aadd_texts(["0", "60", "90", "180"])
    for found in (
        store.similarity_search_with_score("0", 4),
        await store.asimilarity_search_with_score("0", 4),
        store.similarity_search_with_score_by_vector([2, 0], 4),
        await store.asimilarity_search_with_score_by_vector([2, 0], 4),
    ):
        assert texts([document for document, _ in found]) == ["0", "60", "90", "180"]
        assert [score for _, score in found] == pytest.approx([1, 0.5, 0, -1], abs=1e-6)
    with warnings.catch_warnings(action="error"):  # LangChain warns of scores that are not in 0 … 1
        for found in (
            store.similarity_search_with_relevance_scores("0", 4),
            await store.asimilarity_search_with_relevance_scores("0", 4),
        ):
            assert [score for _, score in found] == pytest.approx([1, 0.5, 0, 0], abs=1e-6)
    assert texts(store.similarity_search_by_vector([0, 1], 1)) == ["90"]
    assert texts(await store.asimilarity_search_by_vector([0, 1], 1)) == ["90"]
    assert len(store.similarity_search("0")) == len(await store.asimilarity_search("0")) == 4
    assert store.similarity_search("0", 0) == []


async def test_retrievers(store: BotWireVectorStore) -> None:
    store.add_texts(["0", "1", "60", "180"], [{"even": n != 1} for n in (0, 1, 60, 180)])
    wanted: list[tuple[str, dict[str, Any], list[str]]] = [
        ("similarity", {"k": 2}, ["0", "1"]),
        ("similarity", {"k": 2, "filter": {"even": True}}, ["0", "60"]),
        ("similarity_score_threshold", {"score_threshold": 0.4}, ["0", "1", "60"]),
        ("mmr", {"k": 2, "fetch_k": 3, "lambda_mult": 0.1}, ["0", "60"]),
        ("mmr", {"k": 2, "fetch_k": 3, "filter": lambda one: not one.metadata["even"]}, ["1"]),
    ]
    for search_type, search_kwargs, expected in wanted:
        retriever = store.as_retriever(search_type=search_type, search_kwargs=search_kwargs)
        assert texts(retriever.invoke("0")) == texts(await retriever.ainvoke("0")) == expected


DOCUMENTS = [
    ("0", {"year": 2020, "topic": "tea", "ok": True, "at": datetime(2020, 1, 1, tzinfo=UTC)}),
    ("10", {"year": 2021, "topic": "coffee", "ok": 1, "home": {"city": "Oslo"}}),
    ("20", {"year": 2022.5, "topic": None, "tags": ["a", "b"]}),
    ("30", {"topic": "tea", "year": "2020"}),
    ("40", {}),
]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "0 10 20 30 40"), ({}, "0 10 20 30 40"), ({"topic": "tea"}, "0 30"),
        ({"year": 2020}, "0"), ({"ok": True}, "0"), ({"ok": 1}, "10"), ({"topic": None}, "20"),
        ({"year": {"$gte": 2021}}, "10 20"), ({"year": {"$lt": 2021}}, "0"),
        ({"year": {"$between": [2020, 2021]}}, "0 10"), ({"year": {"$between": ("2", "3")}}, "30"),
        ({"year": {"$not": {"$between": [2020, 2021]}}}, "20 30 40"),
        ({"year": {"$between": [2020, 2023], "$ne": 2021}}, "0 20"),
        ({"topic": {"$in": ("tea", "coffee")}}, "0 10 30"), ({"topic": {"$nin": {"tea"}}}, "10 20"),
        ({"topic": {"$ne": "tea"}}, "10 20"), ({"ok": {"$exists": False}}, "20 30 40"),
        ({"$or": [{"year": 2020}, {"home.city": "Oslo"}]}, "0 10"),
        ({"$and": ({"topic": "tea"}, {"year": {"$gt": 0}})}, "0"),
        ({"$not": {"topic": "tea"}}, "10 20 40"), ({"year": {"$lt": math.inf}}, "0 10 20"),
        ({"home": {"city": "Oslo"}}, "10"), ({"tags": ["a", "b"]}, "20"),
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, "0"),
        ({"at": datetime(2021, 1, 1, tzinfo=UTC)}, ""),
        (lambda one: one.metadata.get("year") == "2020", "30"),
        (lambda one: one.page_content > "2", "20 30 40"),
        (lambda one: False, ""),
    ],
)  # fmt: skip
async def test_filters(store: BotWireVectorStore, given: Any, expected: str) -> None:
    store.add_documents([Document(text, metadata=metadata) for text, metadata in DOCUMENTS])
    assert texts(store.similarity_search("0", 9, filter=given)) == expected.split()
    assert texts(await store.asimilarity_search("0", 9, filter=given)) == expected.split()
    by_mmr = store.max_marginal_relevance_search("0", 9, lambda_mult=1, filter=given)
    assert texts(by_mmr) == expected.split()
    if given and not callable(given) and expected:
        store.delete(filter=given)
        left = [text for text, _ in DOCUMENTS if text not in expected.split()]
        assert texts(await store.asimilarity_search("0", 9)) == left


def test_a_function_reads_until_enough_pass(store: BotWireVectorStore) -> None:
    store.add_texts([str(number / 10) for number in range(900)], ids=[str(n) for n in range(900)])
    found = store.similarity_search("0", 3, filter=lambda one: int(one.id or 0) % 400 == 0)
    assert [document.id for document in found] == ["0", "400", "800"]


async def test_metadata_and_texts_come_back_equal(store: BotWireVectorStore) -> None:
    metadata = {
        "when": datetime(2020, 1, 1, tzinfo=UTC), "nan": float("-inf"), "bytes": b"\x00",
        "tuple": (1, 2), "set": {1}, "$odd": {"$x": 1}, "none": None, "int": 10**40,
        "a.b": {"c": [1.0, {"d": True}]},
    }  # fmt: skip
    given = [Document("0", metadata=metadata, id="a/b %"), Document("90", id="2")]
    assert store.add_documents(given) == ["a/b %", "2"]
    assert store.get_by_ids(["2", "never", "a/b %"]) == [given[1], given[0]]
    assert await store.aget_by_ids(["a/b %"]) == given[:1]
    assert type(store.get_by_ids(["a/b %"])[0].metadata["tuple"]) is tuple
    assert store.similarity_search("0") == given
    await store.aadd_documents([Document("45", id="2")])  # replaces all of it
    assert store.get_by_ids(["2"]) == [Document("45", id="2")]
    assert texts(store.similarity_search("45", 1)) == ["45"]
    assert store.add_texts(["1", "2", "3"], ids=["x", "y", "x"]) == ["x", "y", "x"]
    assert texts(store.get_by_ids(["x", "y"])) == ["3", "2"]


async def test_deleting(store: BotWireVectorStore, namespace: str, place_url: str) -> None:
    store.add_texts(["0", "1", "2", "3"], [{"n": n} for n in range(4)], ids=list("abcd"))
    for call in (store.delete, store.adelete):
        with pytest.raises(ConfigurationError, match=r"ids or a filter; clear\(\) deletes all"):
            await _done(call())
        assert await _done(call([])) is True
    assert await store.adelete(["a", "never"])
    assert store.delete(["b", "c"], filter={"n": 1})
    assert texts(store.similarity_search("0")) == ["2", "3"]
    many = [str(number) for number in range(30_001)]  # more than one selection may have
    assert store.delete(many)
    other = BotWireVectorStore(namespace, embedding=Compass(), url=place_url, collection="other")
    other.add_texts(["9"])
    store.clear()
    await store.aclear()
    assert store.similarity_search("0") == []
    assert texts(other.similarity_search("0")) == ["9"]


async def _done(result: Any) -> Any:
    return await result if isinstance(result, Awaitable) else result


async def test_another_dimension_is_an_error_that_says_what_to_do(
    store: BotWireVectorStore, namespace: str, place_url: str
) -> None:
    store.add_texts(["0"], ids=["kept"])
    other = BotWireVectorStore(namespace, embedding=Compass(3), url=place_url)
    calls: list[Callable[[], Any]] = [
        lambda: other.add_texts(["1"]),
        lambda: other.aadd_texts(["1"]),
        lambda: other.similarity_search("1"),
        lambda: other.asimilarity_search("1"),
        lambda: other.max_marginal_relevance_search_by_vector([1.0, 0.0, 0.0]),
        lambda: other.amax_marginal_relevance_search("1"),
    ]
    for call in calls:
        with pytest.raises(EmbedderMismatchError, match=r"dimension 2, and .* dimension 3"):
            await _done(call())
    assert texts(store.similarity_search("0")) == ["0"]
    other.clear()
    other.add_texts(["1"])
    assert texts(other.similarity_search("1")) == ["1"]


async def test_the_choice_is_langchains(store: BotWireVectorStore) -> None:
    chance = random.Random(7)
    for _ in range(30):
        vectors = [[chance.gauss(0, 1) for _ in range(4)] for _ in range(12)]
        query, lambda_mult = [chance.gauss(0, 1) for _ in range(4)], chance.choice([0, 0.3, 0.5, 1])
        theirs = maximal_marginal_relevance(np.array(query), vectors, lambda_mult, 5)
        assert diverse(query, vectors, 5, lambda_mult) == theirs
    angles = [str(chance.randrange(360)) for _ in range(60)]
    theirs_store = InMemoryVectorStore.from_texts(angles, Compass())
    store.add_texts(angles)
    seven = Compass().embed_query("7")
    for found in (
        store.max_marginal_relevance_search("7", 6, 30, 0.3),
        await store.amax_marginal_relevance_search("7", 6, 30, 0.3),
        store.max_marginal_relevance_search_by_vector(seven, 6, 30, 0.3),
        await store.amax_marginal_relevance_search_by_vector(seven, 6, 30, 0.3),
    ):
        assert texts(found) == texts(theirs_store.max_marginal_relevance_search("7", 6, 30, 0.3))


async def test_a_store_is_made_of_texts(place_url: str, namespace: str) -> None:
    where: dict[str, Any] = {"namespace": namespace, "url": place_url}
    made = BotWireVectorStore.from_texts(["0"], Compass(), [{"a": 1}], ids=["1"], **where)
    again = await BotWireVectorStore.afrom_texts(["90"], Compass(), ids=["2"], **where)
    await BotWireVectorStore.afrom_documents([Document("45", id="3")], Compass(), **where)
    found = [Document("0", id="1", metadata={"a": 1}), Document("45", id="3")]
    assert made.get_by_ids(["1", "3"]) == again.similarity_search("0", 2) == found
    async with AsyncMemory(namespace, url=place_url) as memory:
        awaited = BotWireVectorStore(client=memory, embedding=Compass())
        assert texts(await awaited.asimilarity_search("0")) == ["0", "45", "90"]
        assert texts(awaited.similarity_search("0")) == ["0", "45", "90"]
    assert made.embeddings is made.embedding
    assert repr(made) == f"BotWireVectorStore(namespace={namespace!r}, collection='langchain')"


def test_langchain_indexes_into_it(store: BotWireVectorStore) -> None:
    manager = InMemoryRecordManager("n")
    manager.create_schema()
    first = [Document(str(number), metadata={"source": "a"}) for number in range(5)]
    by_source = partial(index, cleanup="full", source_id_key="source", key_encoder="sha256")
    assert by_source(first, manager, store)["num_added"] == 5
    result = by_source(first[:2], manager, store)
    assert (result["num_skipped"], result["num_deleted"]) == (2, 3)
    assert sorted(texts(store.similarity_search("0", 9))) == ["0", "1"]


async def test_more_than_a_server_takes_at_once(server_url: str, namespace: str) -> None:
    model = DeterministicFakeEmbedding(size=64)
    store = BotWireVectorStore(namespace, embedding=model, url=server_url)
    many = [f"{number} " + "x" * 60_000 for number in range(300)]
    ids = await store.aadd_texts(many)
    assert len(store.get_by_ids(ids)) == 300


def test_documents_expire(place_url: str, namespace: str) -> None:
    store = BotWireVectorStore(namespace, embedding=Compass(), url=place_url, ttl=3600)
    store.add_texts(["0"], ids=["a"])
    (record,) = store.connection.memory.records(store.collection).list()
    assert record.expires_at is not None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"filter": {"a": {"$like": "x"}}}, r"filter\['a'\]\['\$like'\] is not an operator"),
        ({"filter": {"$nor": [{"a": 1}]}}, r"filter\['\$nor'\] is not an operator"),
        ({"filter": {"$or": {"a": 1}}}, "must be a non-empty list"),
        ({"filter": "a"}, "filter must be a dict, or a function of a document, not str"),
        ({"filter": {"a": {"$gt": datetime(2020, 1, 1, tzinfo=UTC)}}}, "store a time as a number"),
        ({"filter": {"a": {"$in": "ab"}}}, "must be a list of values"),
        ({"filter": {"a": {"$between": [1]}}}, "the lowest and the highest"),
        ({"filter": {"a": {"$between": [1, 2], "$gte": 1}}}, r"leave out \$gte and \$lte"),
        ({"filters": {"a": 1}}, "'filters' is not an argument"),
        ({"k": "4"}, "k must be an int, not str"),
        ({"k": -1}, "k must be at least 0"),
        ({"query": 5}, "query must be a string, not int"),
    ],
)
async def test_a_wrong_search_is_refused_before_anything_is_embedded(
    store: BotWireVectorStore, wrong: dict[str, Any], says: str
) -> None:
    for call in (
        store.similarity_search, store.asimilarity_search, store.max_marginal_relevance_search,
        store.amax_marginal_relevance_search,
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match=says):
            await _done(call(**{"query": "0", **wrong}))


async def test_a_wrong_argument_is_named(store: BotWireVectorStore) -> None:
    wrong: Any = 5
    compass = cast("Compass", store.embedding)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: store.add_texts("ab"), "texts must be a list of strings, not a single string"),
        (lambda: store.add_texts([wrong]), r"texts\[0\] must be a string, not int: 5"),
        (lambda: store.add_texts(["1"], [wrong]), r"metadatas\[0\] must be a dict, not int: 5"),
        (lambda: store.add_texts(["1", "2"], [{}]), "2 texts were given with 1 metadatas"),
        (lambda: store.aadd_texts(["1", "2"], ids=["a"]), "2 texts were given with 1 ids"),
        (lambda: store.add_texts(["1"], ids=[wrong]), "an id must be a string, not int: 5"),
        (lambda: store.add_texts(["1"], namespaces=["a"]), "'namespaces' is not an argument"),
        (lambda: store.delete("ab"), "ids must be a list of strings, not a single string"),  # type: ignore[arg-type]
        (lambda: store.delete([wrong]), r"ids\[0\] must be a string, not int: 5"),
        (lambda: store.delete(filter=wrong), "filter must be a dict"),
        (lambda: store.delete(filter=lambda one: True), "delete takes a dict"),  # type: ignore[arg-type]
        (lambda: store.adelete(where={"a": 1}), "'where' is not an argument"),
        (lambda: store.get_by_ids([wrong]), "an id must be a string, not int: 5"),
        (lambda: store.max_marginal_relevance_search("0", lambda_mult=2), "from 0 to 1, not 2"),
        (lambda: store.max_marginal_relevance_search("0", fetch_k=wrong * 1.0), "fetch_k must be"),
        (lambda: BotWireVectorStore(embedding=wrong), "embedding must be an Embeddings"),
        (lambda: BotWireVectorStore(embedding=compass, collection=""), "must not be empty"),
        (lambda: BotWireVectorStore(embedding=compass, ttl=0), "ttl must be"),
    ]
    for call, says in calls:
        with pytest.raises(ConfigurationError, match=says):
            await _done(call())
    with pytest.raises(NotJSONError, match=r"metadatas\[0\]\['a'\]"):
        store.add_texts(["1"], [{"a": object()}])
    assert compass.embedded == 0


class Odd(Compass):
    """Returns what it is told to."""

    def __init__(self, returned: Any) -> None:
        super().__init__()
        self.returned = returned

    def embed_documents(self, texts: list[str]) -> Any:
        """Returns it."""
        return self.returned


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ([[1.0, 0.0]], "1 vectors of dimension 2 for 2 texts"),
        ([[1.0], [1.0, 0.0]], "2 vectors of dimension 1 and 2 for 2 texts"),
        ([[1.0, 0.0], [1.0, math.nan]], r"the embedding of texts\[1\]\[1\] is not a finite number"),
        ([[1.0, 0.0], None], r"the embedding of texts\[1\] must be a list of numbers"),
        (None, "what the embedding model returned must be a list of vectors"),
    ],
)
async def test_what_an_odd_model_returns_is_not_stored(
    store: BotWireVectorStore, returned: Any, says: str
) -> None:
    store.embedding = Odd(returned)
    for call in (store.add_texts, store.aadd_texts):
        with pytest.raises(ConfigurationError, match=says):
            await _done(call(["1", "2"]))
    assert store.similarity_search("1") == []


async def test_a_model_may_return_arrays(store: BotWireVectorStore) -> None:
    store.embedding = Odd(np.array([[1, 0], [0, 1]]))
    store.add_texts(["0", "90"])
    await store.aadd_texts(["0", "90"])
    assert texts(store.similarity_search_by_vector(np.array([0, 1]), 2)) == ["90", "90"]  # type: ignore[arg-type]
    varied = store.max_marginal_relevance_search_by_vector(np.array([0, 1]), 2)  # type: ignore[arg-type]
    assert texts(varied)[0] == "90"


SEARCH = """
import json, sys
from langchain_core.embeddings import DeterministicFakeEmbedding
from botwire_langchain import BotWireVectorStore

namespace, url, texts, query = sys.argv[1:]
store = BotWireVectorStore(namespace, embedding=DeterministicFakeEmbedding(size=6), url=url)
store.add_texts(json.loads(texts))
print(json.dumps([document.page_content for document in store.similarity_search(query, 1)]))
"""


def test_processes_share_a_store(zygote: Zygote, place_url: str, namespace: str) -> None:
    zygote.read(SEARCH, namespace, place_url, json.dumps(["tea", "coffee"]), "tea")
    for query in ("tea", "milk"):
        said = zygote.read(SEARCH, namespace, place_url, json.dumps(["milk"]), query)
        assert json.loads(said) == [query]
    memory = Memory(namespace, url=place_url)
    assert memory.records("langchain").count() == 4
