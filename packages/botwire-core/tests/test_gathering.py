"""Concurrent reads share a request, and get the same answers as alone."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from botwire import ConflictError, InvalidRequestError, Memory, Record, TransportError
from botwire.connection import Connection
from botwire.engines.gathering import GatheringEngine
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.operations import Batch, Results


class Far:
    """An engine that waits at a gate before it answers, as a network does."""

    def __init__(self) -> None:
        self.engine = SQLiteEngine(MEMORY)
        self.batches: list[Batch] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_down = False

    def apply(self, batch: Batch) -> Results:
        self.batches.append(batch)
        assert self.gate.wait(60)
        if self.is_down:
            raise TransportError("no answer", url="http://far.test")
        return self.engine.apply(batch)

    def sweep(self) -> None:
        self.engine.sweep()

    def close(self) -> None:
        self.engine.close()


@pytest.fixture
def far() -> Far:
    """The wrapped engine."""
    return Far()


@pytest.fixture
def gathering(far: Far) -> GatheringEngine:
    """The gathering engine."""
    return GatheringEngine(far)


def together(
    far: Far, gathering: GatheringEngine, reads: list[Callable[[], object]]
) -> list[object]:
    """Reads while another read is in flight; returns each result or error."""
    far.gate.clear()
    with ThreadPoolExecutor(len(reads)) as pool:
        found = []
        for i, read in enumerate(reads):
            found.append(pool.submit(read))
            deadline = time.monotonic() + 60
            while len(far.batches) < 1 or gathering.waiting < i:  # the first is in flight
                assert time.monotonic() < deadline
        far.gate.set()
        return [one.exception() or one.result() for one in found]


def test_reads_of_many_threads_are_one_request(far: Far, gathering: GatheringEngine) -> None:
    memory = Memory("n", engine=gathering)
    memory.set_many({f"k{i}": i for i in range(8)})
    far.batches.clear()
    reads = [lambda i=i: memory.get(f"k{i}") for i in range(8)]  # type: ignore[misc]
    assert together(far, gathering, reads) == list(range(8))
    assert [len(batch.operations) for batch in far.batches] == [1, 7]


def test_one_wrong_read_fails_alone(far: Far, gathering: GatheringEngine) -> None:
    notes = Memory("n", engine=gathering).records("notes")
    notes.put([Record("tea", embedding=[1.0, 0.0])])
    far.batches.clear()
    first, second, wrong, last = together(
        far,
        gathering,
        [lambda v=v: notes.search(vector=v) for v in ([1, 0], [1, 0], [1, 0, 0], [0, 1])],  # type: ignore[misc]
    )
    assert isinstance(wrong, InvalidRequestError)
    for found in (first, second, last):
        assert isinstance(found, list)
        assert [match.record.text for match in found] == ["tea"]


def test_who_is_down_fails_all_who_wait_at_once(far: Far, gathering: GatheringEngine) -> None:
    far.is_down = True
    memory = Memory("n", engine=gathering)
    for error in together(far, gathering, [lambda: memory.get("k")] * 4):
        assert isinstance(error, TransportError)
    assert len(far.batches) == 1


def test_namespaces_do_not_mix(far: Far, gathering: GatheringEngine) -> None:
    one, two = Memory("one", engine=gathering), Memory("two", engine=gathering)
    one.set("k", 1)
    two.set("k", 2)
    far.batches.clear()
    reads = [one.get, one.get, two.get, one.get, two.get, two.get]
    found = together(far, gathering, [lambda get=get: get("k") for get in reads])  # type: ignore[misc]
    assert found == [1, 1, 2, 1, 2, 2]


def test_writes_wait_for_nobody_and_are_conflicts_of_their_own(
    far: Far, gathering: GatheringEngine
) -> None:
    memory = Memory("n", engine=gathering)
    version = memory.set("k", 1)
    with pytest.raises(ConflictError):
        memory.set("k", 2, if_version=version + 1)
    far.batches.clear()
    memory.set_many({"a": 1, "b": 2})
    assert len(far.batches) == 1


def test_a_child_of_a_fork_does_not_wait_for_its_parent(
    far: Far, gathering: GatheringEngine
) -> None:
    memory = Memory("n", engine=gathering)
    far.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(memory.get, "k", "parent")
        deadline = time.monotonic() + 60
        while not far.batches:
            assert time.monotonic() < deadline
        child = multiprocessing.get_context("fork").Process(target=_reads, args=(gathering,))
        child.start()
        child.join(60)
        far.gate.set()
        assert held.result() == "parent"
    assert child.exitcode == 0


def _reads(gathering: GatheringEngine) -> None:
    far = gathering.engine
    assert isinstance(far, Far)
    far.gate = threading.Event()
    far.gate.set()
    assert Memory("n", engine=gathering).get("k", "child") == "child"


def test_a_connection_gathers_what_travels_and_nothing_else(
    far: Far, server_url: str, tmp_path: Path
) -> None:
    for connection in (
        Connection("n", url=server_url, gather_reads=True),
        Connection("n", client=Memory("n", engine=far), gather_reads=True),
    ):
        assert isinstance(connection.memory.engine, GatheringEngine)
    for connection in (
        Connection("n", url=server_url),
        Connection("n", url=f"sqlite:///{tmp_path / 'm.db'}", gather_reads=True),
    ):
        assert not isinstance(connection.memory.engine, GatheringEngine)
    shared = Connection("n", client=Memory("n", url=server_url), gather_reads=True)
    assert shared.async_memory.engine is not None  # the wrapped engine's twin
