"""A failing memory: reported once, raised on request, and nothing lost when it is back."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai.memory import Memory
from crewai.memory.types import MemoryRecord

from botwire import BotWireError, RequestTimeoutError, TransportError
from botwire.engines.retry import Outage
from botwire_crewai import BotWireStorage
from conftest import read_url, start_server
from tests.crews import ScriptedLLM, embed, make_crew, make_memory

# CrewAI looks at every attribute of an agent that it makes, the outdated ones too.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "botwire.crewai"]


class Silent:
    """A server that accepts connections, reads requests and never answers."""

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.asked: list[str] = []
        self._listener = listener
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.ExitStack() as held:
            while not self._stopped.is_set():
                connection = held.enter_context(self._listener.accept()[0])
                self.asked.append(connection.recv(100).split(b" HTTP")[0].decode())

    def stop(self) -> None:
        """Ends it."""
        self._stopped.set()
        with socket.create_connection(self._listener.getsockname()):
            pass
        self._thread.join()


@pytest.fixture
def silent() -> Iterator[Silent]:
    """A server that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Silent(listener)
        yield silent
        silent.stop()


def test_a_crew_goes_on_without_its_memory_and_says_so_once(
    unused_tcp_port: int, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    storage = BotWireStorage(namespace, url=url, timeout=0.2)
    memory = Memory(storage=storage, llm=ScriptedLLM(model="scripted"), embedder=embed)
    with caplog.at_level(logging.WARNING, logger="botwire.crewai"):
        answer = make_crew(memory).kickoff({"message": "My cat is called Turing."})
    assert str(answer) == "Noted."
    (line,) = told(caplog)  # of several failed searches; without those CrewAI does not write
    assert f"reading CrewAI's memory {namespace!r} fails" in line
    assert f"CrewAI continues without it: no answer from {url}" in line


def test_a_strict_memory_ends_the_kickoff(unused_tcp_port: int, namespace: str) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    memory = make_memory(namespace, url, strict=True, timeout=0.2)
    with pytest.raises(TransportError, match=str(unused_tcp_port)) as caught:
        make_crew(memory).kickoff({"message": "My cat is called Turing."})
    assert not isinstance(caught.value, RuntimeError)  # which CrewAI drops silently
    with pytest.raises(TransportError):
        memory.recall("cat")
    with pytest.raises(TransportError):
        memory.health()


def test_a_strict_kickoff_raises_in_a_handler_of_the_callers_too(
    unused_tcp_port: int, namespace: str
) -> None:
    memory = make_memory(namespace, f"http://127.0.0.1:{unused_tcp_port}", strict=True, timeout=0.2)
    try:
        {}["the caller's own"]
    except KeyError:
        with pytest.raises(TransportError):
            make_crew(memory).kickoff({"message": "My cat is called Turing."})


def test_a_strict_memory_that_works_is_as_any(place_url: str, namespace: str) -> None:
    memory = make_memory(namespace, place_url, strict=True)
    memory.health()
    make_crew(memory).kickoff({"message": "My cat is called Turing."})
    answer = make_crew(memory).kickoff({"message": "What is my cat called?"})
    assert "My cat is called Turing." in str(answer)


def test_a_server_that_hangs_is_paid_for_once(
    silent: Silent, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    memory = make_memory(namespace, silent.url, timeout=0.5)
    with caplog.at_level(logging.WARNING, logger="botwire.crewai"):
        for _ in range(2):
            answer = make_crew(memory).kickoff({"message": "My cat is called Turing."})
            assert str(answer) == "Noted."
    # The first call uses its time limit. Later calls cost at most one second in three, until the
    # server responds again.
    assert len([one for one in silent.asked if one.startswith("POST")]) == 1, silent.asked
    (line,) = told(caplog)
    assert "within 0.5 s" in line
    storage = BotWireStorage(namespace, url=silent.url, timeout=0.5)
    with pytest.raises(RequestTimeoutError):
        storage.save([MemoryRecord(content="x", embedding=[1.0])])
    with pytest.raises(RequestTimeoutError):
        storage.search([1.0])


def test_a_server_that_refuses_is_paid_for_once(unused_tcp_port: int, namespace: str) -> None:
    limits: list[float] = []

    class Counting(Outage):
        def limit(self, timeout: float) -> float:
            limits.append(super().limit(timeout))
            return limits[-1]

    memory: Any = make_memory(namespace, f"http://127.0.0.1:{unused_tcp_port}", timeout=1)
    engine = memory._storage.connection.memory.engine.engine
    engine._outage = Counting()
    assert str(make_crew(memory).kickoff({"message": "My cat is called Turing."})) == "Noted."
    assert limits[0] == 1
    assert len(limits) > 2
    assert max(limits[1:]) <= 0.25


class Restarting:
    """A server that can be killed and started again at the same address."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._process = start_server(database)
        self.url = read_url(self._process)

    def kill(self) -> None:
        self._process.kill()
        with self._process:
            pass

    def start(self) -> None:
        self._process = start_server(self._database, "--port", self.url.rsplit(":", 1)[1])
        assert read_url(self._process) == self.url


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restarting]:
    """A server of this test's own."""
    server = Restarting(tmp_path / "memory.db")
    yield server
    server.kill()


def test_a_server_that_restarts_loses_nothing(
    server: Restarting, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = BotWireStorage(namespace, url=server.url, strict=True)
    storage.save([MemoryRecord(content="before", embedding=[1.0])])
    server.kill()
    impatient = BotWireStorage(namespace, url=server.url, strict=True, timeout=0.5)
    with caplog.at_level(logging.INFO, logger="botwire.crewai"):
        for _ in range(3):
            with pytest.raises(BotWireError):
                impatient.save([MemoryRecord(content="lost", embedding=[1.0])])
        server.start()
        with pytest.raises(TransportError):
            impatient.health()  # the failures swallowed in between
        storage.health()
        storage.save([MemoryRecord(content="after", embedding=[1.0])])
        assert {record.content for record, _ in storage.search([1.0])} == {"before", "after"}
    (failed,) = told(caplog)
    assert failed.startswith(f"writing CrewAI's memory {namespace!r} fails")


def test_a_memory_that_works_again_says_so(
    server: Restarting, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = BotWireStorage(namespace, url=server.url, timeout=1)
    server.kill()
    with caplog.at_level(logging.INFO, logger="botwire.crewai"):
        with pytest.raises(BotWireError):
            storage.save([MemoryRecord(content="lost", embedding=[1.0])])
        server.start()
        storage.save([MemoryRecord(content="after", embedding=[1.0])])
    assert [one.content for one in storage.list_records()] == ["after"]
    assert told(caplog)[-1] == f"writing CrewAI's memory {namespace!r} works again"


def test_a_server_that_restarts_while_a_crew_works_is_waited_for(
    server: Restarting, namespace: str
) -> None:
    class Meanwhile(ScriptedLLM):
        """A model: the server dies at its first answer, and is back at the next."""

        def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            answer = super().call(messages, *args, **kwargs)
            if kwargs.get("response_model") is None:
                server.kill()
                server.start()
            return answer

    memory = make_memory(namespace, server.url, strict=True, timeout=60)
    crew = make_crew(memory, Meanwhile(model="scripted"))
    crew.kickoff({"message": "My cat is called Turing."})
    memory.health()
    (kept,) = memory.list_records()
    assert kept.content == "My cat is called Turing."


def test_a_strict_kickoff_gives_its_result_and_the_next_one_works(
    server: Restarting, namespace: str
) -> None:
    # Long enough for a server that shares the machine with other tests.
    memory = make_memory(namespace, server.url, strict=True, timeout=3)
    server.kill()
    with pytest.raises(TransportError) as caught:
        make_crew(memory).kickoff({"message": "My cat is called Turing."})
    assert str(caught.value.result) == "Noted."  # type: ignore[attr-defined]
    server.start()
    answer = make_crew(memory).kickoff({"message": "My cat is called Turing."})
    assert str(answer) == "Noted."


def test_a_callers_own_error_is_of_no_kickoff(place_url: str, namespace: str) -> None:
    memory = make_memory(namespace, place_url, strict=True)
    with pytest.raises(TypeError):
        memory.remember("x", scope="/", categories=[], metadata={"o": object()}, importance=0.5)
    assert str(make_crew(memory).kickoff({"message": "My cat is called Turing."})) == "Noted."
