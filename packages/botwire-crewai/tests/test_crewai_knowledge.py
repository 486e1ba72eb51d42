"""Every crew finds knowledge as with CrewAI's own storage."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from crewai.knowledge.knowledge import Knowledge
from crewai.knowledge.source.string_knowledge_source import StringKnowledgeSource
from crewai.knowledge.storage.knowledge_storage import KnowledgeStorage
from crewai.rag.chromadb.client import ChromaDBClient

from botwire import ConfigurationError, InvalidRequestError, TransportError
from botwire_crewai import BotWireKnowledgeStorage, install, uninstall
from botwire_crewai.project import project_name
from tests.crews import embed, make_crew

# CrewAI looks at every attribute of an agent that it makes, the outdated ones too.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FACTS = ["The cat is called Turing.", "The dog is called Ada.", "Tea is at four."]


def make(namespace: str, url: str, **options: Any) -> BotWireKnowledgeStorage:
    return BotWireKnowledgeStorage(namespace, url=url, **{"embedder": embed, **options})


def test_what_is_saved_is_found_by_another(place_url: str, namespace: str) -> None:
    make(namespace, place_url).save([*FACTS, FACTS[0], " ", ""])
    other = make(namespace, place_url)
    other.save(FACTS)  # again, and no chunk twice
    found = other.search(["cat", "called"], score_threshold=0.0, limit=10)
    assert [one["content"] for one in found] == FACTS
    best = other.search(["The cat is called Turing."], limit=1)
    assert best[0]["score"] == pytest.approx(1.0)
    assert make(namespace, place_url, collection_name="c").search(["cat"]) == []
    assert other.search(["cat"], limit=0) == []
    other.reset()
    assert make(namespace, place_url).search(["cat"], score_threshold=0.0) == []


def test_copies_find_the_same(place_url: str, namespace: str) -> None:
    storage = make(namespace, place_url)
    storage.save(FACTS)
    pickled = pickle.loads(pickle.dumps(storage))
    for again in (storage.model_copy(deep=True), copy.deepcopy(storage), pickled):
        assert len(again.search(["cat"], score_threshold=0.0)) == len(FACTS)


async def test_awaited_it_is_the_same(place_url: str, namespace: str) -> None:
    storage = make(namespace, place_url)
    await storage.asave(FACTS)
    found = await storage.asearch(["dog"], limit=1)
    assert [one["content"] for one in found] == ["The dog is called Ada."]
    await storage.areset()
    assert await storage.asearch(["dog"]) == []


async def test_a_book_is_more_than_a_server_takes_at_once(server_url: str, namespace: str) -> None:
    storage = make(namespace, server_url)
    chunks = [f"{i} " + "x" * 1_000_000 for i in range(20)]
    storage.save(chunks[:17])
    await storage.asave(chunks)
    found = storage.search(["x"], score_threshold=0.0, limit=100)
    assert sorted(one["content"] for one in found) == sorted(chunks)


class _Embedder:
    """The same function in the form that CrewAI's own storage expects."""

    def __call__(self, input: Any) -> Any:  # noqa: A002 - chromadb's name
        import numpy as np

        return [np.array(vector, dtype=np.float32) for vector in embed(list(input))]

    @staticmethod
    def name() -> str:
        return "words"

    def embed_query(self, input: Any) -> Any:  # noqa: A002
        return self(input)


def test_the_same_is_found_as_by_crewais_own(tmp_path: Path, namespace: str) -> None:
    from chromadb import PersistentClient
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False)
    theirs = KnowledgeStorage(collection_name="same")
    theirs._client = ChromaDBClient(
        PersistentClient(tmp_path / "chroma", settings),
        _Embedder(),  # type: ignore[arg-type]
    )
    ours = make(namespace, f"sqlite:///{tmp_path / 'm.db'}", embedder=_Embedder())
    for storage in (theirs, ours):
        storage.save(FACTS)
    for threshold in (0.0, 0.6, 0.7):
        for query in (["cat"], ["called", "Ada"], ["tea at four"]):
            expected = theirs.search(query, score_threshold=threshold)
            found = ours.search(query, score_threshold=threshold)
            assert {one["content"]: round(one["score"], 5) for one in found} == {
                one["content"]: round(one["score"], 5) for one in expected
            }


def test_a_crew_knows_its_sources(place_url: str, namespace: str) -> None:
    install(namespace, url=place_url)
    try:
        source = StringKnowledgeSource(content="The cat is called Turing.")
        crew = make_crew(memory=False)
        crew.knowledge = Knowledge("crew", [source], embedder=embed)  # type: ignore[arg-type]
        storage: Any = crew.knowledge.storage
        assert isinstance(storage, BotWireKnowledgeStorage)
        crew.knowledge.add_sources()
        (found,) = crew.query_knowledge(["the cat is called"])  # type: ignore[misc]
        assert found["content"] == "The cat is called Turing."
        named = make(namespace, place_url, collection_name=f"{project_name()}/crew")
        assert named.search(["cat"], 1)
        crew.reset_memories("knowledge")
        assert storage.search(["cat"], score_threshold=0.0) == []
    finally:
        uninstall()


def test_the_name_may_be_as_long_as_an_agents_role(place_url: str, namespace: str) -> None:
    roles = ["資料を調べる" * 60 + end for end in ("人", "家")]
    for role in roles:
        make(namespace, place_url, collection_name=role).save([f"Known to {role[-1]}"])
    for role in roles:
        (found,) = make(namespace, place_url, collection_name=role).search(["known"])
        assert found["content"] == f"Known to {role[-1]}"


def test_what_is_wrong_is_said(place_url: str, namespace: str, unused_tcp_port: int) -> None:
    storage = make(namespace, place_url, api_key=None)
    storage.save(FACTS)
    with pytest.raises(InvalidRequestError, match="dimension"):
        make(namespace, place_url, embedder=lambda texts: [[1.0] for _ in texts]).save(["x"])
    with pytest.raises(ConfigurationError, match="empty"):
        storage.search([" "])
    with pytest.raises(ConfigurationError, match="no vector"):
        make(namespace, place_url, embedder=lambda texts: []).save(["x"])
    with pytest.raises(TransportError):
        make(namespace, f"http://127.0.0.1:{unused_tcp_port}", timeout=0.5).save(["x"])
    dump = BotWireKnowledgeStorage(namespace, url=place_url, api_key="bw_secret").model_dump()
    assert dump["namespace"] == namespace
    assert "bw_secret" not in str(dump)
