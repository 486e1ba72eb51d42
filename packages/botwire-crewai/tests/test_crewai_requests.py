"""The number of requests per recall over a network; sharing requests changes no answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from crewai.memory import Memory as CrewMemory
from crewai.memory.types import MemoryRecord

from botwire import Memory, TransportError
from botwire.engines.opening import open_engine
from botwire.operations import Batch, Results, SearchRecords
from botwire.places import find_place
from botwire_crewai import BotWireStorage

SCOPES = 27


class Counting:
    """An engine over a network that counts requests, each with its own latency."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(find_place(url))
        self.batches: list[Batch] = []
        self.answers: list[Results] = []

    def apply(self, batch: Batch) -> Results:
        self.batches.append(batch)
        answer = self.engine.apply(batch)
        self.answers.append(answer)
        return answer

    def sweep(self) -> None:
        self.engine.sweep()

    def close(self) -> None:
        self.engine.close()


@pytest.fixture
def counting(server_url: str) -> Counting:
    """What counts."""
    return Counting(server_url)


@pytest.fixture
def storage(counting: Counting, namespace: str) -> BotWireStorage:
    """A storage with a record in each of many scopes, over it."""
    storage = BotWireStorage(client=Memory(namespace, engine=counting))
    storage.save([
        MemoryRecord(content=f"fact {i}", scope=f"/s{i:02}", embedding=[1.0, float(i)])
        for i in range(SCOPES)
    ])  # fmt: skip
    counting.batches.clear()
    counting.answers.clear()
    return storage


def test_a_server_that_is_down_fails_all_at_once(unused_tcp_port: int, namespace: str) -> None:
    storage = BotWireStorage(namespace, url=f"http://127.0.0.1:{unused_tcp_port}", timeout=0.5)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(storage.search, [1.0]) for _ in range(8)]
        for search in found:
            with pytest.raises(TransportError):
                search.result()
    assert time.monotonic() - started < 4  # eight limits one after the other


def test_a_deep_recall_costs_few_requests_and_no_vector(
    storage: BotWireStorage, counting: Counting
) -> None:
    memory: Any = CrewMemory(storage=storage, embedder=lambda texts: [[1.0, 0.0]] * len(texts))
    memory.llm = None
    found = memory.recall("fact", limit=5)
    assert [match.record.content for match in found][:1] == ["fact 0"]
    sent = [operation for batch in counting.batches for operation in batch.operations]
    searches = [operation for operation in sent if isinstance(operation, SearchRecords)]
    # CrewAI searches each of twenty scopes, four at a time; beside that it lists the scopes, and
    # notes which records it recalled.
    assert len(searches) == 20
    assert len(sent) == 23  # once, whether there are memories without a vector
    # With one request per search, 22; usually 11, and more where a thread of the four is slow.
    assert len(counting.batches) < 22
    assert not any(search.embeddings for search in searches)
    assert all(match.record.embedding is None for match in found)
