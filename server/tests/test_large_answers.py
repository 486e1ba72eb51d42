"""Answers are bounded however much is stored, and clients still get everything."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from botwire import Memory, PayloadTooLargeError, Record
from botwire import operations as ops
from botwire.engines.sqlite import SQLiteEngine
from botwire.exact import Json
from conftest import read_url, running
from tests.zygote import Program

MB = 1024 * 1024
LARGE = Json.of("x" * (2 * MB))
COUNT = 40
FEW = [f"n{i:02}" for i in range(8)]
OPTIONS = ("--max-answer", str(8 * MB))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a history of 80 MB, and keys and records of 16 MB."""
    path = tmp_path / "memory.db"
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    for _ in range(COUNT):
        engine.apply(ops.Batch("n", (ops.ExtendHistory("h", (LARGE,)),)))
    for name in FEW:
        engine.apply(ops.Batch("n", (ops.PutKey(name, LARGE),)))
        memory.records().put([Record("note", name, {"text": LARGE.value})])
    engine.close()
    return path


def check(memory: Memory) -> None:
    """Reads everything in every possible way."""
    history = memory.history("h")
    assert len(history.tail(COUNT)) == COUNT
    assert [item.seq for item in history.read(after=3, limit=9)] == list(range(4, 13))
    assert [item.seq for item in reversed(history)] == list(range(COUNT, 0, -1))
    assert list(memory.get_many([*FEW, "none"])) == FEW
    assert [entry.key for entry in memory.iter_entries(descending=True)] == FEW[::-1]
    notes = memory.records()
    assert sorted(record.id for record in notes.list()) == FEW
    assert [record and record.id for record in notes.get([*FEW, "none"])] == [*FEW, None]
    assert [match.record.id for match in notes.search(text="note", limit=1_000)] == FEW


def peak(server: Program) -> int:
    """Returns the peak memory of a process, in bytes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_all_is_read_and_the_servers_memory_stays_bounded(path: Path) -> None:
    with running(path, *OPTIONS) as server, Memory("n", url=read_url(server), timeout=60) as memory:
        assert memory.get("none") is None
        before = peak(server)
        check(memory)
        # A few copies of 8 MB in different forms take 92 MB; of 80 MB they would take 352 MB.
        assert peak(server) - before < 200 * MB
        server.terminate()


def test_a_person_is_told_to_ask_for_fewer(path: Path) -> None:
    with running(path, *OPTIONS) as server, httpx.Client(base_url=read_url(server)) as client:
        base = "/v1/namespaces/n"
        page = client.get(f"{base}/entries").json()
        assert ([entry["key"] for entry in page["entries"]], page["more"]) == (FEW[:3], True)
        page = client.get(f"{base}/entries", params={"after": FEW[2]}).json()
        assert [entry["key"] for entry in page["entries"]] == FEW[3:6]
        refused = client.post(f"{base}/entries/get", json={"keys": FEW})
        assert refused.status_code == 413
        assert refused.json()["type"] == "urn:botwire:problem:payload-too-large"
        assert "8,388,608 bytes: ask for fewer at a time" in refused.json()["detail"]
        search = {"text": "note", "limit": 8}
        assert client.post(f"{base}/collections/default/search", json=search).status_code == 413
        search["limit"] = 3
        found = client.post(f"{base}/collections/default/search", json=search)
        assert len(found.json()["result"]) == 3
        server.terminate()


def test_a_batch_of_many_reads_is_divided_and_one_that_writes_is_not(path: Path) -> None:
    reads = tuple(ops.GetKeys((name,)) for name in FEW)
    with running(path, *OPTIONS) as server, Memory("n", url=read_url(server), timeout=60) as memory:
        answers = memory.engine.apply(ops.Batch("n", (ops.CountKeys(), *reads, ops.CountKeys())))
        assert [answer if isinstance(answer, int) else answer[0].key for answer in answers] == [
            len(FEW), *FEW, len(FEW)
        ]  # fmt: skip
        with pytest.raises(PayloadTooLargeError, match="ask for fewer"):
            memory.engine.apply(ops.Batch("n", (ops.PutKey("new", Json.of(1)), *reads)))
        assert not memory.exists("new")
        server.terminate()
