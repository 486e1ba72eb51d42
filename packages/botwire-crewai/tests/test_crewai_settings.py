"""CrewAI's own settings lead to BotWire: ``memory=True``, specs, dumps; failures are reported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.flow import Flow, start
from crewai.flow.persistence.factory import default_flow_persistence
from crewai.memory import Memory
from crewai.memory.storage.factory import resolve_memory_storage, set_memory_storage_factory
from crewai.memory.types import MemoryRecord

from botwire import ConfigurationError
from botwire import Memory as BotWire
from botwire_crewai import BotWireMemory, BotWireStorage, install, memory_tools, uninstall
from tests.crews import ScriptedLLM

# CrewAI looks at every attribute of an agent that it makes, the outdated ones too.
OUTDATED = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def installed(place_url: str, namespace: str) -> Iterator[str]:
    """BotWire as the memory of this process, in a namespace of its own."""
    install(namespace, url=place_url)
    yield namespace
    uninstall()


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


@OUTDATED
def test_memory_true_is_on_botwire(installed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "unused")  # a model's name makes a client, never asked
    agent = Agent(role="a", goal="b", backstory="c", llm="gpt-4o-mini")
    task = Task(description="d", expected_output="e", agent=agent)
    crew = Crew(agents=[agent], tasks=[task], memory=True, name="my crew")
    storage: Any = crew._memory._storage
    assert isinstance(storage, BotWireStorage)
    assert storage.connection.namespace == installed
    assert Memory(llm=None)._storage is storage
    assert Memory(storage="botwire", llm=None)._storage.connection.namespace == installed


@OUTDATED
def test_agents_and_flows_are_on_botwire_too(installed: str) -> None:
    class Steps(Flow[dict[str, Any]]):
        @start()
        def first(self) -> None:
            pass

    agent: Any = Agent(role="a", goal="b", backstory="c", llm=ScriptedLLM(model="s"), memory=True)
    flow: Any = Steps()
    for memory in (agent.memory, flow.memory):
        assert isinstance(memory._storage, BotWireStorage)
        assert memory._storage.connection.namespace == installed


@OUTDATED
def test_resetting_a_crews_memories_is_of_its_namespace(installed: str, place_url: str) -> None:
    other = BotWireStorage(f"{installed}-other", url=place_url)
    for storage in (other, Memory(llm=None)._storage):
        storage.save([MemoryRecord(content="kept")])
    agent = Agent(role="a", goal="b", backstory="c", llm=ScriptedLLM(model="s"))
    task = Task(description="d", expected_output="e", agent=agent)
    crew = Crew(agents=[agent], tasks=[task], memory=True, name="my crew")
    crew.reset_memories("memory")  # as `crewai reset-memories -m`
    assert (Memory(llm=None)._storage.count(), other.count()) == (0, 1)


def test_install_answers_what_memory_is_now(place_url: str, namespace: str) -> None:
    client = BotWire(namespace, url=place_url)
    try:
        storage = install(namespace, client=client)
        assert Memory(llm=None)._storage is storage
        storage.health()
        default_flow_persistence().save_state("f", "one", {"n": 1})
        assert client.count() == 1
        with pytest.raises(ConfigurationError, match="score"):
            install(namespace, score="dot")
        assert Memory(llm=None)._storage is storage  # the one before is still in effect
    finally:
        uninstall()


def test_a_client_or_the_environment_says_whose_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'm.db'}"
    client = BotWire("of-client", url=url)
    for kept in (
        BotWireStorage(client=client).connection,
        BotWireMemory(client=client, llm=None)._storage.connection,
        memory_tools(client=client)[0].connection,  # type: ignore[attr-defined]
    ):
        assert kept.namespace == "of-client"
    monkeypatch.setenv("BOTWIRE_NAMESPACE", "of-environment")
    assert BotWireStorage(url=url).connection.namespace == "of-environment"
    assert BotWireStorage("said", client=client).connection.namespace == "said"


def test_a_spec_names_another_namespace(installed: str) -> None:
    other = resolve_memory_storage("botwire://Other%2Fnamespace?score=cosine")
    assert isinstance(other, BotWireStorage)
    assert other.connection.namespace == "Other/namespace"
    again = BotWireStorage.from_spec(other.spec)
    assert (again.spec, again.connection.namespace) == (other.spec, "Other/namespace")
    for spec in ("botwire://a/b", "botwire://a?key=b", "lancedb", "botwire://a?score=dot"):
        with pytest.raises(ConfigurationError):
            BotWireStorage.from_spec(spec)


def test_install_leaves_what_is_not_its_own() -> None:
    mine = BotWireStorage("mine", url="sqlite://")
    set_memory_storage_factory(lambda spec: mine if spec == "theirs" else None)
    try:
        install("n", url="sqlite://", takeover=False)
        install("m", url="sqlite://", takeover=False)
        assert resolve_memory_storage("theirs") is mine
        assert resolve_memory_storage("lancedb") is None
        assert resolve_memory_storage("some/path") is None
        found = resolve_memory_storage("botwire")
        assert isinstance(found, BotWireStorage)
        assert found.connection.namespace == "m"
        uninstall()
        uninstall()
        assert resolve_memory_storage("theirs") is mine
        assert resolve_memory_storage("botwire") is None
    finally:
        set_memory_storage_factory(None)


def test_a_memory_dumps_without_secrets_and_is_found_again(
    place_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = {"provider": "openai", "config": {"model": "m"}}
    memory = BotWireMemory(namespace, url=place_url, api_key="bw_secret", embedder=embedder)
    memory._storage.save([MemoryRecord(content="kept")])
    dump = memory.model_dump(mode="json")
    assert "bw_secret" not in json.dumps(dump)
    assert dump["storage"].startswith(f"botwire://{namespace}?")
    again = BotWireMemory.model_validate(dump)
    assert [record.content for record in again.list_records()] == ["kept"]
    install("elsewhere", url="sqlite://")
    try:
        plain = Memory.model_validate(dump)  # as CrewAI restores it from a checkpoint
        assert [record.content for record in plain.list_records()] == ["kept"]
    finally:
        uninstall()


def test_a_memory_is_on_botwire_or_not_at_all() -> None:
    storage = BotWireStorage("n", url="sqlite://")
    assert BotWireMemory(storage=storage, llm=None)._storage is storage
    with pytest.raises(ConfigurationError, match="spec, not 'lancedb'"):
        BotWireMemory(storage="lancedb", llm=None)
    with pytest.raises(ConfigurationError, match="storage says where memory lives"):
        BotWireMemory("another", storage=storage, llm=None)


@OUTDATED
def test_copies_of_a_crew_share_their_memory(place_url: str, namespace: str) -> None:
    memory = BotWireMemory(namespace, url=place_url, embedder=embed, llm=None)
    agent = Agent(role="a", goal="b", backstory="c", llm=None, memory=memory)
    task = Task(description="d", expected_output="e", agent=agent)
    crew = Crew(agents=[agent], tasks=[task], memory=memory).copy()
    memory._storage.save([MemoryRecord(content="kept")])
    for one in (crew._memory, agent.copy().memory):
        assert [record.content for record in one.list_records()] == ["kept"]  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_tools_need_no_embedder(place_url: str, namespace: str) -> None:
    remember, recall, listing, forget = memory_tools(namespace, url=place_url, scope="/agent")
    answer = remember.run(text="Ada drinks green tea.", categories=["drinks"])
    id = re.findall(r"[0-9a-f-]{36}", answer)[0]
    await remember.arun(text="Bob drinks coffee.")
    assert recall.run(query="what TEA?") == f"- Ada drinks green tea. (id {id})"
    assert (await recall.arun(query="coffee")).startswith("- Bob drinks coffee.")
    assert len(listing.run().splitlines()) == 2
    storage = BotWireStorage(namespace, url=place_url)
    assert storage.list_categories("/agent") == {"drinks": 1}
    storage.save(
        [
            MemoryRecord(content="tea elsewhere", scope="/other"),
            MemoryRecord(content="secret tea", scope="/agent", private=True, source="bob"),
        ]
    )
    assert "secret" not in recall.run(query="tea") + await listing.arun(limit=50)
    assert forget.run(id=storage.list_records("/other")[0].id) == "There is no memory of that id."
    assert await forget.arun(id=id) == "Forgotten."
    assert recall.run(query="tea") == "Nothing was remembered about that."
