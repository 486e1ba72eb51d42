"""How projects and tenants are told apart, and what CrewAI's own commands reach."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from crewai.flow import Flow, persist, start
from crewai.flow.persistence.factory import default_flow_persistence
from crewai.knowledge.knowledge import Knowledge
from crewai.knowledge.source.string_knowledge_source import StringKnowledgeSource
from crewai.knowledge.storage.factory import resolve_knowledge_storage
from crewai.memory import Memory
from crewai.memory.types import MemoryRecord

from botwire import ConfigurationError, InvalidRequestError, TransportError
from botwire_crewai import (
    BotWireFlowPersistence,
    BotWireKnowledgeStorage,
    BotWireMemory,
    BotWireStorage,
    install,
    memory_tools,
    uninstall,
)
from botwire_crewai.factory import reinstall
from botwire_crewai.project import read_installed
from tests.crews import embed

TENANT: ContextVar[str] = ContextVar("tenant")

RESET = """
import sys
sys.orig_argv = ["crewai", "reset-memories", "-m"]
import botwire_crewai_startup
from crewai.utilities.reset_memories import reset_memories_command
reset_memories_command(True, False, False, False, False)
"""

CREW = """
from typing import Any
from crewai import Agent, Crew, Task
from tests.crews import ScriptedLLM

def build() -> Crew:
    agent = Agent(role="a", goal="b", backstory="c", llm=ScriptedLLM(model="s"))
    task = Task(description="d", expected_output="e", agent=agent)
    return Crew(name="proj", agents=[agent], tasks=[task], memory=True)
"""


@pytest.fixture(autouse=True)
def _own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    uninstall()


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'm.db'}"


def reset(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "crew.py").write_text(CREW)
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", RESET],
        env={**os.environ, "PYTHONPATH": path, "CREWAI_DISABLE_TELEMETRY": "true"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_crewais_command_empties_what_another_module_installed(tmp_path: Path) -> None:
    install("ns", url=url_in(tmp_path)).save([MemoryRecord(content="x")])
    done = reset(Path.cwd())
    assert "Memory has been reset" in done.stdout, done
    assert BotWireStorage("ns", url=url_in(tmp_path)).count() == 0


def test_crewais_command_claims_nothing_it_cannot_reach(tmp_path: Path) -> None:
    install(lambda: "one", url=url_in(tmp_path)).save([MemoryRecord(content="x")])
    done = reset(Path.cwd())
    assert (done.returncode, "has been reset" in done.stdout) == (1, False)
    assert "python -m botwire_crewai reset" in done.stderr
    assert BotWireStorage("one", url=url_in(tmp_path)).count() == 1


def test_what_was_uninstalled_is_not_installed_again(tmp_path: Path) -> None:
    install("ns", url="sqlite://")
    with pytest.raises(ConfigurationError, match="nothing was reset"):
        reinstall()
    uninstall()
    reinstall()
    assert not isinstance(Memory(storage=str(tmp_path / "own"), llm=None)._storage, BotWireStorage)


def test_each_project_has_a_namespace_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for folder in ("a/crew", "b/crew", "c"):
        (tmp_path / folder).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / folder)
        parts: list[Any] = [
            install(url=url_in(tmp_path)).connection.namespace,
            BotWireMemory(url=url_in(tmp_path), llm=None)._storage.connection.namespace,
            BotWireFlowPersistence(url=url_in(tmp_path)).namespace,
            BotWireKnowledgeStorage(url=url_in(tmp_path)).namespace,
            memory_tools(url=url_in(tmp_path))[0].connection.namespace,  # type: ignore[attr-defined]
        ]
        assert len(set(parts)) == 1
        names.add(parts[0])
    assert len(names) == 3
    (tmp_path / "c" / "pyproject.toml").write_text("[tool.crewai]\ntype = 'crew'\n")
    (tmp_path / "c" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "c" / "below")
    assert BotWireStorage(url=url_in(tmp_path)).connection.namespace in names
    monkeypatch.setenv("BOTWIRE_NAMESPACE", "chosen")
    assert BotWireStorage(url=url_in(tmp_path)).connection.namespace == "chosen"


def test_a_project_can_say_its_namespace_in_a_file_that_moves_with_it(tmp_path: Path) -> None:
    (Path.cwd() / "pyproject.toml").write_text('[tool.botwire]\nnamespace = "ours"\n')
    assert BotWireStorage(url=url_in(tmp_path)).connection.namespace == "ours"
    (Path.cwd() / "pyproject.toml").write_text("[tool.botwire]\nnamespace = 3\n")
    with pytest.raises(ConfigurationError, match="is a string, not 3"):
        BotWireStorage(url=url_in(tmp_path))


def test_a_project_that_was_moved_is_told_where_its_memory_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = install(url=url_in(tmp_path)).connection.namespace
    moved = tmp_path / "elsewhere" / "project"
    moved.parent.mkdir()
    Path.cwd().rename(moved)
    monkeypatch.chdir(moved)
    with pytest.raises(ConfigurationError, match=f"namespace '{old}'.*reset NAMESPACE"):
        reinstall()  # nothing is reported as reset that is not
    with caplog.at_level(logging.WARNING, logger="botwire.crewai"):
        install(url=url_in(tmp_path))
        install(url=url_in(tmp_path))
    (line,) = [one.getMessage() for one in caplog.records]
    assert repr(old) in line
    reinstall()


def test_projects_whose_folders_have_one_name_reset_their_own_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("first", url=url_in(tmp_path))
    other = tmp_path / "other" / "project"
    other.mkdir(parents=True)
    monkeypatch.chdir(other)
    assert read_installed() == {}
    install("second", url=url_in(tmp_path))
    place = read_installed()
    assert place is not None
    assert place["namespace"] == "second"
    monkeypatch.chdir(tmp_path / "project")
    place = read_installed()
    assert place is not None
    assert place["namespace"] == "first"


def test_knowledge_of_two_projects_in_one_namespace_is_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        install("shared", url=url_in(tmp_path))
        storage: Any = resolve_knowledge_storage(embed, "crew")  # type: ignore[arg-type]
        if folder == "a":
            storage.save(["Tea is at four."])
        found.append(len(storage.search(["Tea is at four."])))
    assert found == [1, 0]


def test_one_process_serves_many_tenants(tmp_path: Path) -> None:
    install(TENANT, url=url_in(tmp_path))
    memory = Memory(llm=None, embedder=embed)
    with pytest.raises(ConfigurationError, match="'tenant'"):
        memory.list_records()
    given: Any = {"scope": "/", "categories": ["c"], "metadata": {}, "importance": 0.5}
    for name in ("ada", "bo"):
        TENANT.set(name)
        memory.remember(f"I am {name}", **given)
        memory.remember_many([f"{name} has a cat"], **given)
        default_flow_persistence().save_state("f", "m", {"who": name})
    for name in ("ada", "bo"):
        TENANT.set(name)
        found = {one.record.content for one in memory.recall("I am a cat", depth="shallow")}
        assert found == {f"I am {name}", f"{name} has a cat"}
        assert default_flow_persistence().load_state("f") == {"who": name}
    TENANT.set(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not NoneType"):
        memory.list_records()


def test_install_moves_memories_made_before_and_tells_what_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = Memory(llm=None)

    @persist()
    class Steps(Flow[dict[str, Any]]):
        @start()
        def first(self) -> None:
            pass

    with caplog.at_level(logging.WARNING, logger="botwire.crewai"):
        storage = install("ns", url=url_in(tmp_path))
    assert before._storage is storage
    assert any("@persist" in one.getMessage() for one in caplog.records), Steps


def test_flows_and_knowledge_heed_the_time_limit(unused_tcp_port: int) -> None:
    install("ns", url=f"http://127.0.0.1:{unused_tcp_port}", timeout=0.2)
    started = time.monotonic()
    with pytest.raises(TransportError):
        default_flow_persistence().load_state("f")
    storage: Any = resolve_knowledge_storage(embed, "crew")  # type: ignore[arg-type]
    with pytest.raises(TransportError):
        storage.search(["x"])
    assert time.monotonic() - started < 5  # the default is ten seconds


def test_what_tools_keep_is_recalled(place_url: str, namespace: str) -> None:
    remember = memory_tools(namespace, url=place_url)[0]
    remember.run(text="Ada lives in Oslo.")
    memory = BotWireMemory(namespace, url=place_url, embedder=embed, llm=None)
    remember.run(text="Bo lives in Rome.")
    for _ in range(2):
        found = memory.recall("Where does Ada live?", depth="shallow")
        assert {one.record.content for one in found} == {"Ada lives in Oslo.", "Bo lives in Rome."}
    remember.run(text="Cy lives in Bonn.")
    assert len(memory.recall("Where does Ada live?", depth="shallow")) == 3


def test_a_changed_embedder_of_knowledge_is_told(
    place_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    BotWireKnowledgeStorage(namespace, url=place_url, embedder=embed).save(["Tea."])
    storage = BotWireKnowledgeStorage(
        namespace, url=place_url, embedder=lambda texts: [[1.0] for _ in texts]
    )
    with (
        caplog.at_level(logging.WARNING, logger="botwire.crewai"),
        pytest.raises(Exception, match=r"dimension|numbers"),
    ):
        storage.search(["Tea?"])
    assert "embedder" in caplog.text


def test_an_agents_knowledge_is_rebuilt_after_a_change_of_the_embedder_as_the_error_says(
    place_url: str, namespace: str
) -> None:
    install(namespace, url=place_url)
    try:
        for dimension in (2, 3):
            sources = [StringKnowledgeSource(content="Tea is at four.")]
            knowledge = Knowledge(
                "Assistant",
                [*sources],
                embedder=lambda texts, n=dimension: [[1.0] * n for _ in texts],  # type: ignore[arg-type,misc]
            )
            try:
                knowledge.add_sources()
            except InvalidRequestError as error:
                (advice,) = error.__notes__
                call = advice[advice.index("BotWireKnowledgeStorage") :]
                eval(call, {"BotWireKnowledgeStorage": BotWireKnowledgeStorage})
                knowledge.add_sources()
                assert dimension == 3
        assert knowledge.query(["tea"])[0]["content"] == "Tea is at four."
    finally:
        uninstall()


MADE_UP: list[dict[str, Any]] = [
    {"categories": ["z" * 600]},
    {"categories": ["ü" * 600, "", " "]},
    {"categories": ["\ud83d\ude00"]},
    {"scope": "/" + "s" * 3000},
    {"scope": "/" + "/".join(["s" * 200] * 20)},
    {"scope": "  /a/b "},
    {"scope": ""},
    {"metadata": {"n": float("nan"), "kept": 1}},
    {"metadata": {"long": "x" * 20_000_000, "kept": 1}},
    {"metadata": {"many": [0] * 200_000, "kept": 1}},
    {"metadata": {"\ud83d\ude00": "\ud83d\ude00"}},
    {"content": "\ud83d\ude00"},
    {"source": "\ud83d\ude00"},
]


@pytest.mark.parametrize("made_up", MADE_UP, ids=range(len(MADE_UP)))
def test_what_a_model_makes_up_loses_no_memory(
    made_up: dict[str, Any], place_url: str, namespace: str
) -> None:
    storage = BotWireStorage(namespace, url=place_url)
    odd = MemoryRecord(**{"content": "odd", "embedding": [1.0], **made_up})
    storage.save([MemoryRecord(content="good", embedding=[1.0]), odd])
    assert storage.count() == 2
    found = [one.id for one, _ in storage.search([1.0], odd.scope, odd.categories or None)]
    assert odd.id in found
    kept = storage.get_record(odd.id)
    assert kept is not None
    assert "kept" not in odd.metadata or kept.metadata == {"kept": 1}
