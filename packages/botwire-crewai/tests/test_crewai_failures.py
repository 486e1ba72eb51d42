"""A memory that fails: told once, raised on request, and nothing lost when it is back."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.memory import Memory
from crewai.memory.types import MemoryRecord

from botwire import BotWireError, RequestTimeoutError, TransportError
from botwire_crewai import BotWireMemory, BotWireStorage
from conftest import read_url, start_server

sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))
from scripted.crewai import ScriptedLLM, embed

# CrewAI looks at every attribute of an agent that it makes, the outdated ones too.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def crew(memory: Any) -> Crew:
    llm = ScriptedLLM(model="scripted")
    agent = Agent(role="Assistant", goal="Help.", backstory="You help.", llm=llm)
    task = Task(description="{message}", expected_output="An answer.", agent=agent)
    return Crew(agents=[agent], tasks=[task], memory=memory)


def remembering(url: str, namespace: str, **options: Any) -> BotWireMemory:
    llm = ScriptedLLM(model="scripted")
    return BotWireMemory(namespace, url=url, llm=llm, embedder=embed, **options)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "botwire.crewai"]


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []
        stopped = threading.Event()

        def accept() -> None:
            while not stopped.is_set():
                connection, _ = listener.accept()
                held.append(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        port = listener.getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        stopped.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()
        for connection in held:
            connection.close()


def test_a_crew_goes_on_without_its_memory_and_says_so_once(
    unused_tcp_port: int, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    storage = BotWireStorage(namespace, url=url, timeout=0.2)
    memory = Memory(storage=storage, llm=ScriptedLLM(model="scripted"), embedder=embed)
    with caplog.at_level(logging.WARNING, logger="botwire.crewai"):
        answer = crew(memory).kickoff({"message": "My cat is called Turing."})
    assert str(answer) == "Noted."
    (line,) = told(caplog)  # of several failed searches; without those CrewAI does not write
    assert f"reading CrewAI's memory {namespace!r} fails" in line
    assert f"CrewAI goes on without it: no answer from {url}" in line


def test_a_strict_memory_ends_the_kickoff(unused_tcp_port: int, namespace: str) -> None:
    memory = remembering(f"http://127.0.0.1:{unused_tcp_port}", namespace, strict=True, timeout=0.2)
    with pytest.raises(TransportError, match=str(unused_tcp_port)) as caught:
        crew(memory).kickoff({"message": "My cat is called Turing."})
    assert not isinstance(caught.value, RuntimeError)  # which CrewAI drops without a word
    with pytest.raises(TransportError):
        memory.recall("cat")
    with pytest.raises(TransportError):
        memory.health()


def test_a_strict_memory_that_works_is_as_any(place_url: str, namespace: str) -> None:
    memory = remembering(place_url, namespace, strict=True)
    memory.health()
    crew(memory).kickoff({"message": "My cat is called Turing."})
    answer = crew(memory).kickoff({"message": "What is my cat called?"})
    assert "My cat is called Turing." in str(answer)


def test_a_slow_server_costs_its_time_limit_and_no_more(silent_url: str, namespace: str) -> None:
    storage = BotWireStorage(namespace, url=silent_url, timeout=0.5)
    started = time.monotonic()
    with pytest.raises(RequestTimeoutError, match=r"within 0\.5 s"):
        storage.save([MemoryRecord(content="x", embedding=[1.0])])
    with pytest.raises(RequestTimeoutError, match=r"within 0\.5 s"):
        storage.search([1.0])
    assert time.monotonic() - started < 5


def test_a_server_that_restarts_loses_nothing(
    tmp_path: Path, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "memory.db"
    with start_server(database) as server:
        url = read_url(server)
        storage = BotWireStorage(namespace, url=url, timeout=0.5, strict=True)
        storage.save([MemoryRecord(content="before", embedding=[1.0])])
        server.kill()
    with caplog.at_level(logging.INFO, logger="botwire.crewai"):
        for _ in range(3):
            with pytest.raises(BotWireError):
                storage.save([MemoryRecord(content="lost", embedding=[1.0])])
        with start_server(database, "--port", url.rsplit(":", 1)[1]) as server:
            assert read_url(server) == url
            storage.save([MemoryRecord(content="after", embedding=[1.0])])
            found = {record.content for record, _ in storage.search([1.0])}
            with pytest.raises(TransportError):
                storage.health()  # what was swallowed in between
            storage.health()
            server.terminate()
    assert found == {"before", "after"}
    failed, works = told(caplog)
    assert failed.startswith(f"writing CrewAI's memory {namespace!r} fails")
    assert works == f"writing CrewAI's memory {namespace!r} works again"
