"""Limits: counted exactly, over all workers, and across a restart."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from botwire import ConfigurationError, Memory, QuotaExceededError
from botwire import operations as ops
from botwire.engines.opening import open_async_engine
from botwire.engines.protocol import AsyncEngine
from botwire.places import find_place
from botwire_server import Settings, limits
from botwire_server.api_keys import KeyStore
from botwire_server.app import create_app
from botwire_server.limits import RateTable
from botwire_server.turns import WriteTurns
from botwire_server.workers import Supervisor
from conftest import read_url, running


@pytest.fixture(autouse=True)
def _own_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file in which this process and its children count requests."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


@contextlib.asynccontextmanager
async def serving(engine: AsyncEngine, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process."""
    transport = httpx.ASGITransport(create_app(engine, settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http
    await engine.aclose()


def states(answer: httpx.Response) -> dict[str, tuple[int, int]]:
    """Returns what is left of each limit, and the seconds until it is full again."""
    found = re.findall(r'"([a-z-]+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    return {name: (int(left), int(reset)) for name, left, reset in found}


def test_a_namespace_has_so_many_writes_a_day_also_after_a_restart(database: Path) -> None:
    options = ("--namespace-writes", "3", "--namespace-bytes", "300")
    with running(database, *options) as process:
        url = f"{read_url(process)}/v1/namespaces/n"
        for left in (2, 1):
            headers = {"Idempotency-Key": f"write {left}"}
            for _ in range(2):  # a retry counts once
                answer = httpx.put(f"{url}/keys/k", json={"value": left}, headers=headers)
                assert answer.headers["ratelimit-policy"] == '"namespace-writes";q=3;w=86400'
                assert states(answer)["namespace-writes"][0] == left
        answer = httpx.put(f"{url}/keys/big", json={"value": "x" * 300})
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:botwire:problem:quota-exceeded"
        assert "300 bytes" in answer.json()["detail"]
        assert "ratelimit" not in httpx.get(f"{url}/keys/k").headers  # reads are unlimited
        process.terminate()
    with running(database, *options) as process:
        server = read_url(process)
        url = f"{server}/v1/namespaces/n"
        assert httpx.get(f"{url}/usage").json()["writes"] == 2
        with Memory("n", url=server) as memory:
            memory.history("h").append("third")
            with pytest.raises(QuotaExceededError, match="midnight UTC") as refused:
                memory.set("k", "lost")
            assert refused.value.retry_after is not None
            assert 0 < refused.value.retry_after <= 86_400
            assert memory.get("k") == 1
            assert memory.delete("k")  # removals are always allowed
            with memory.with_namespace("other") as other:
                other.set("k", 1)
        answer = httpx.put(f"{url}/keys/k", json={"value": "lost"})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 86_400
        assert states(answer)["namespace-writes"][0] == 0
        process.terminate()


async def test_a_key_has_so_many_writes_a_day_in_all_its_namespaces(database: Path) -> None:
    engine = open_async_engine(find_place(f"sqlite:///{database}"))
    fields: Any = {"label": "", "namespaces": ("*",), "right": "write", "writes": 5}
    _, key = await KeyStore(engine).create(who="a test", **fields)
    async with serving(engine, Settings(key_writes=1)) as http:

        async def write(i: int) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            path = f"/v1/namespaces/n{i}/keys/k"
            return (await http.put(path, json={"value": i}, headers=headers)).status_code

        answers = await asyncio.gather(*map(write, range(8)))
    assert sorted(answers) == [200] * 5 + [429] * 3


def test_workers_count_requests_together(database: Path) -> None:
    limit = 30
    options = ("--workers", "2", "--namespace-rate", str(limit), "--namespace-writes", "20")
    with running(database, *options) as process:
        url = read_url(process)
        started = time.monotonic()

        def ask(_: int) -> list[httpx.Response]:
            with httpx.Client(base_url=url, timeout=30) as http:  # one connection per worker
                path = "/v1/namespaces/n"
                return [http.post(f"{path}/keys/k/increment", json={}) for _ in range(10)]

        with ThreadPoolExecutor(6) as pool:
            answers = [answer for some in pool.map(ask, range(6)) for answer in some]
        brought_back = int((time.monotonic() - started) * limit / 60) + 1
        written = [answer for answer in answers if answer.status_code == 200]
        slow_down = [answer for answer in answers if "requests per minute" in answer.text]
        assert len(written) == 20
        assert 60 - limit - brought_back <= len(slow_down) <= 60 - limit
        assert all(int(answer.headers["retry-after"]) <= 60 for answer in slow_down)
        assert states(slow_down[-1])["namespace-requests"][0] == 0
        with Memory("n", url=url) as memory, pytest.raises(QuotaExceededError):
            for _ in range(limit + 1):  # some may have been refilled meanwhile
                memory.get("k")
        with Memory("other", url=url) as memory:
            assert memory.get("k") is None
        process.terminate()
        assert process.wait(30) == 0


def test_a_restart_brings_no_request_back(database: Path) -> None:
    statuses = []
    for _ in range(2):
        with running(database, "--namespace-rate", "2") as process:
            url = read_url(process)
            statuses += [httpx.get(f"{url}/v1/namespaces/n/keys").status_code for _ in range(2)]
            process.terminate()
            process.wait(30)
    assert statuses[:2] == [200, 200]
    assert 429 in statuses[2:]  # at most one was refilled during the restart


async def test_a_batch_has_so_many_operations(database: Path) -> None:
    engine = open_async_engine(find_place(f"sqlite:///{database}"))
    async with serving(engine, Settings(max_batch=2)) as http:
        for count, status in ((2, 200), (3, 413)):
            body = {"namespace": "n", "operations": [{"op": "count_keys"}] * count}
            answer = await http.post("/v1/batch", json=body)
            assert answer.status_code == status
        assert "split it" in answer.json()["detail"]


def test_a_file_that_others_put_there_is_not_followed(tmp_path: Path) -> None:
    place = find_place(f"sqlite:///{tmp_path / 'memory.db'}")
    path = limits.rates_path(place)
    assert path is not None
    victim = tmp_path / "victim"
    victim.write_text("mine")
    Path(path).symlink_to(victim)
    with pytest.raises(ConfigurationError, match="TMPDIR"):
        RateTable(path).take("s", 1, "x")
    assert victim.read_text() == "mine"


# --- inside ---------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the rate tables."""
    seconds = [1000.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


@pytest.mark.parametrize("quota", [1, 7, 60, 1000])
def test_a_minutes_requests_may_come_at_once_and_come_back_evenly(
    clock: list[float], tmp_path: Path, quota: int
) -> None:
    tables = [RateTable(str(tmp_path / "rates")) for _ in range(2)]
    taken = [tables[i % 2].take("s", quota, "x") for i in range(quota + 1)]
    assert [policy.left for policy, _ in taken] == [*reversed(range(quota)), 0]
    assert [wait is None for _, wait in taken] == [True] * quota + [False]
    assert taken[-1][1] == pytest.approx(60 / quota)
    assert tables[0].take("other", quota, "x")[1] is None
    for _ in range(3):
        clock[0] += 60 / quota
        assert tables[0].take("s", quota, "x")[1] is None
        assert tables[1].take("s", quota, "x")[1] is not None
    clock[0] += 600
    assert tables[0].take("s", quota, "x")[0].left == quota - 1  # at most one minute's
    clock[0] = 0.0  # the machine rebooted
    assert tables[0].take("s", quota, "x")[0].left == quota - 1
    for table in tables:
        table.close()


def test_a_thousand_subjects_do_not_disturb_one_another(clock: list[float]) -> None:
    table = RateTable()
    for _ in range(2):
        for i in range(1000):
            assert table.take(f"subject {i}", 2, "x")[1] is None
    assert all(table.take(f"subject {i}", 2, "x")[1] is not None for i in range(1000))
    table.close()


def test_a_caller_has_so_many_streams_open(database: Path) -> None:
    with (
        running(database, "--max-streams", "2") as process,
        httpx.Client(base_url=read_url(process), timeout=30) as http,
    ):

        def watch(namespace: str) -> contextlib.AbstractContextManager[httpx.Response]:
            return http.stream("GET", f"/v1/namespaces/{namespace}/watch")

        with watch("a") as first, watch("b"):
            assert first.status_code == 200
            with watch("c") as third:
                assert third.status_code == 429
                assert int(third.headers["retry-after"]) > 0
                third.read()
                assert "2 watch streams" in third.json()["detail"]
        # Ended streams make room once the server notices, when it next sends something.
        deadline = time.monotonic() + 30
        while True:
            with watch("c") as again, watch("d") as another:
                if again.status_code == another.status_code == 200:
                    break
            assert time.monotonic() < deadline
        process.terminate()


async def test_long_writes_take_turns_by_caller() -> None:
    turns = WriteTurns()
    done: list[str] = []
    first = asyncio.Event()

    async def write(caller: str, until: asyncio.Event | None = None) -> None:
        async with turns.turn(caller):
            if until is not None:
                await until.wait()
            done.append(caller)

    async def start(caller: str, until: asyncio.Event | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(write(caller, until))
        await asyncio.sleep(0)  # it is in the queue
        return task

    tasks = [await start("many", first)]
    tasks += [await start("many") for _ in range(3)]
    gone = await start("gone")
    tasks.append(await start("one"))
    gone.cancel()
    assert done == []
    first.set()
    await asyncio.gather(*tasks)
    assert done == ["many", "many", "one", "many", "many"]
    async with asyncio.timeout(10), turns.turn("later"):
        pass


class SlowEngine:
    """Applies writes when released, and records them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.given: list[str] = []
        self.was_given_short = asyncio.Event()
        self.may_write = asyncio.Event()

    async def apply(self, batch: ops.Batch) -> ops.Results:
        if batch.writes:
            self.given.append(batch.namespace)
            if batch.namespace == "short":
                self.was_given_short.set()
            await self.may_write.wait()
        return await self._engine.apply(batch)

    async def sweep(self) -> None:
        await self._engine.sweep()

    async def aclose(self) -> None:
        await self._engine.aclose()


async def test_a_short_write_does_not_wait_for_all_long_ones(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SlowEngine(open_async_engine(find_place(f"sqlite:///{database}")))
    waiting: list[object] = []
    are_waiting = asyncio.Event()
    turn = WriteTurns.turn

    def note_turn(turns: WriteTurns, caller: object) -> Any:
        waiting.append(caller)
        if len(waiting) == 4:
            are_waiting.set()
        return turn(turns, caller)

    monkeypatch.setattr(WriteTurns, "turn", note_turn)
    async with serving(engine, Settings()) as http, asyncio.timeout(30):

        async def put(namespace: str, value: str) -> int:
            path = f"/v1/namespaces/{namespace}/keys/k"
            return (await http.put(path, json={"value": value})).status_code

        async def clear(namespace: str) -> int:
            path = f"/v1/namespaces/{namespace}/collections/c/delete"
            once = {"Idempotency-Key": namespace}  # without it, the work is done in parts
            where = {"where": {"tags": ["t"]}}
            return (await http.post(path, json=where, headers=once)).status_code

        long = [asyncio.create_task(put(f"long {i}", "x" * 100_000)) for i in range(3)]
        long.append(asyncio.create_task(clear("long too")))
        await are_waiting.wait()
        short = asyncio.create_task(put("short", "x"))
        await engine.was_given_short.wait()
        assert len(engine.given) == 2
        engine.may_write.set()
        assert set(await asyncio.gather(short, *long)) == {200}
        assert len(engine.given) == 5


def test_a_server_without_a_folder_for_temporary_files_counts_by_itself(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose files are all read-only."""

    def find_none() -> str:
        raise FileNotFoundError("No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", find_none)
    assert limits.rates_path(find_place(f"sqlite:///{database}")) is None
    table = RateTable()
    assert [table.take("s", 1, "x")[1] is None for _ in range(2)] == [True, False]
    table.close()
    settings = Settings(database=f"sqlite:///{database}", workers=2)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ConfigurationError, match="set TMPDIR to one, or omit --workers"),
    ):
        Supervisor(settings, listener, "").run()
