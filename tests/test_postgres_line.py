"""PostgreSQL over a network: the number of round trips, and the effects of failures."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from botwire import (
    AsyncMemory,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    Memory,
    Record,
    RequestTimeoutError,
    TransportError,
)
from botwire import operations as ops
from botwire.engines.postgres import PostgresEngine
from botwire.engines.postgres._async import runner as awaited
from botwire.engines.postgres._sync import runner as blocking
from botwire.engines.sql.steps import WAIT, Statement, Steps, has_rows
from botwire.exact import Json
from botwire.operations.terms import BatchTerms
from botwire.threads import in_thread
from botwire.work import Work as Limits
from conftest import read_url, running
from tests.chaos.processes import Postgres, own_postgres
from tests.chaos.proxy import Proxy
from tests.clients import Awaited, open_client
from tests.waiting import PATIENCE, until

Work = Callable[[Any], Awaitable[None]]


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with own_postgres() as database:
        yield database


@pytest.fixture
def line(database: Postgres) -> Iterator[Proxy]:
    line = Proxy(database.port)
    yield line
    line.close()


def url_of(line: Proxy) -> str:
    return f"postgresql://postgres@127.0.0.1:{line.port}/postgres"


# --- round trips ----------------------------------------------------------------------------


async def _get(memory: Any) -> None:
    assert await memory.get("k") == 1


async def _set(memory: Any) -> None:
    await memory.set("k", 1)


async def _set_many(memory: Any) -> None:
    await memory.set_many({f"k{i}": i for i in range(100)})


async def _append(memory: Any) -> None:
    await memory.history("h").append("item")


async def _append_once(memory: Any) -> None:
    await memory.history("h").append("item", id=random.randbytes(8).hex())


async def _be_refused(memory: Any) -> None:
    with pytest.raises(ConflictError):
        await memory.set("k", 2, if_version=10**9)


async def _transact(memory: Any) -> None:
    async with Awaited(memory.transaction()) as tx:
        await tx.check("never", 0)
        await tx.set("a", 1)
        await tx.set("b", 2)
        await tx.history("h").append("item")
        await tx.records("r").put([Record("green tea", id="1")])


async def _search(memory: Any) -> None:
    assert await memory.records("r").search(text="green tea")


async def _read_several(memory: Any) -> None:
    engine = memory.engine
    reads = (ops.GetKeys(("k",)), ops.ReadHistory("h"), ops.StatHistory("h"), ops.ListKeys())
    results = engine.apply(ops.Batch(memory.namespace, reads))
    entries, items, stat, keys = await results if inspect.isawaitable(results) else results
    assert (entries[0].key, len(items.items)) == ("k", stat.count)
    assert "k99" in keys.keys


@pytest.mark.parametrize("flavor", ["blocking", "awaited"])
async def test_what_nobody_reads_is_not_waited_for(
    line: Proxy, namespace: str, flavor: str
) -> None:
    memory = open_client(flavor, namespace, url_of(line))
    trips: dict[str, int] = {}
    works: list[Work] = [
        _set, _get, _set_many, _append, _append_once, _be_refused, _transact, _search,
        _read_several,
    ]  # fmt: skip
    for work in works:
        for _ in range(7):  # connected, all statements prepared
            await work(memory)
        counts = []
        for _ in range(5):
            before = line.turns
            await work(memory)
            counts.append(line.turns - before)
        # A round trip that the proxy notices late counts with the next one.
        trips[work.__name__] = statistics.median_low(counts)
    await memory.aclose()
    assert trips == {
        "_get": 1,
        # The lock with the request; what the operation looks at; the rest with the commit.
        "_set": 3,
        "_set_many": 3,
        "_append": 3,
        "_append_once": 4,  # it looks up the id before it assigns a number
        "_be_refused": 3,
        "_transact": 4,  # it reads the history's number and the existing records
        "_search": 5,  # the collection, forms, words, records; the end
        "_read_several": 2,  # all at once; the end
    }


# --- waiting for others ---------------------------------------------------------------------


def test_waiting_for_another_writer_is_not_a_requests_own_work(
    database: Postgres, namespace: str
) -> None:
    memory = Memory(namespace, url=database.url)
    memory.set("k", 1)
    batch = ops.Batch(
        namespace,
        (ops.PutKey("k", Json.of(2)),),
        terms=BatchTerms(work=Limits(1.0)),
    )
    waits = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND now() - query_start > interval '1.2 s'"
    )
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(database.url) as other,
        psycopg.connect(database.url, autocommit=True) as watcher,
    ):
        other.execute("SELECT 1 FROM botwire_namespaces FOR UPDATE")
        writing = pool.submit(memory.engine.apply, batch)
        while not watcher.execute(waits).fetchall():
            assert not writing.done(), writing.result()
        other.rollback()
        writing.result()
    assert memory.get("k") == 2


# --- silence --------------------------------------------------------------------------------


async def _times_out(call: Awaitable[object], match: str) -> None:
    with pytest.raises(RequestTimeoutError, match=match):
        await call


@pytest.mark.parametrize("flavor", ["blocking", "awaited"])
async def test_a_database_that_is_silent_is_waited_for_once(
    line: Proxy, namespace: str, flavor: str
) -> None:
    client = {"blocking": Memory, "awaited": AsyncMemory}[flavor]
    memory: Any = client(namespace, url=url_of(line), timeout=0.5)
    async with memory if flavor == "awaited" else Awaited(memory) as memory:
        await memory.set("k", 1)
        line.hold()
        # On an open connection.
        await _times_out(memory.set("k", 2), "may or may not have been applied")
        await _times_out(memory.get("k"), "nothing was sent")
        memory.engine._outage._until = 0
        # On a new connection.
        await _times_out(memory.get("k"), "no answer")
        await _times_out(memory.get("k"), "nothing was sent")
        memory.engine._outage._until = 0
        line.release()

        async def is_back() -> bool:
            with contextlib.suppress(RequestTimeoutError):
                return await memory.get("k") in (1, 2)
            return False

        await until(is_back)


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("flavor", ["blocking", "awaited"])
@pytest.mark.parametrize(
    ("user", "name", "reason"),
    [
        ("postgres", "missing", 'database "missing" does not exist'),
        ("nobody", "postgres", 'role "nobody" does not exist'),
    ],
)
async def test_a_wrong_url_is_not_waited_for(
    database: Postgres, flavor: str, user: str, name: str, reason: str
) -> None:
    url = f"postgresql://{user}@127.0.0.1:{database.port}/{name}"
    memory = open_client(flavor, "ada", url)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=reason):
            await memory.get("k")
    await memory.aclose()


@pytest.mark.parametrize("flavor", ["blocking", "awaited"])
async def test_a_database_that_is_replaced_is_waited_for(
    database: Postgres, flavor: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An administrator renames it, and then another one to its name."""
    database.run("CREATE DATABASE served")
    url = f"postgresql://postgres@127.0.0.1:{database.port}/served"
    memory: Any = {"blocking": Memory, "awaited": AsyncMemory}[flavor]("ada", url=url, timeout=60)

    async def put(value: int) -> None:
        await (memory.set("k", value) if flavor == "awaited" else in_thread(memory.set, "k", value))

    await put(1)
    database.cut_connections()
    database.run("ALTER DATABASE served RENAME TO renamed")
    writing = asyncio.create_task(put(2))

    async def is_refused() -> bool:
        return 'database "served" does not exist' in caplog.text

    await until(is_refused)
    assert not writing.done()
    database.run("ALTER DATABASE renamed RENAME TO served")
    await writing
    assert await (memory.get("k") if flavor == "awaited" else in_thread(memory.get, "k")) == 2
    await (memory.aclose() if flavor == "awaited" else in_thread(memory.close))
    database.run("DROP DATABASE served WITH (FORCE)")


# --- poolers --------------------------------------------------------------------------------


class Pooler:
    """Looks like a pooler, and forwards all else.

    See https://www.postgresql.org/docs/current/protocol-message-formats.html.

    Args:
        port: The database's.
        refuses: Whether it refuses settings in the first packet, as PgBouncer does, or reports
            another process than the database's, as every pooler does.
    """

    def __init__(self, port: int, *, refuses: bool) -> None:
        self._to = port
        self._refuses = refuses
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        while True:
            head = client.recv(4, socket.MSG_WAITALL)
            if len(head) < 4:
                return
            packet = head + client.recv(int.from_bytes(head) - 4, socket.MSG_WAITALL)
            if int.from_bytes(packet[4:8]) >> 16 != 1234:  # a request for encryption: none here
                break
            client.sendall(b"N")
        if self._refuses and b"options\0" in packet:
            self.refused += 1
            fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            client.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)
            client.close()
            return
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            server.sendall(packet)
            if not self._refuses:
                self._greet(server, client)
            back = threading.Thread(target=self._forward, args=(server, client), daemon=True)
            back.start()
            self._forward(client, server)
            back.join()

    @staticmethod
    def _greet(server: socket.socket, client: socket.socket) -> None:
        """Forwards all until the database is ready, with another process id."""
        while True:
            head = server.recv(5, socket.MSG_WAITALL)
            rest = server.recv(int.from_bytes(head[1:]) - 4, socket.MSG_WAITALL)
            if head[:1] == b"K":
                rest = bytes(reversed(rest[:4])) + rest[4:]
            client.sendall(head + rest)
            if head[:1] == b"Z":
                return

    @staticmethod
    def _forward(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end may go first
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("flavor", ["blocking", "awaited"])
@pytest.mark.parametrize("refuses", [True, False])
async def test_a_poolers_sessions_keep_no_settings_and_no_statements(
    database: Postgres, namespace: str, flavor: str, refuses: bool
) -> None:
    with contextlib.closing(Pooler(database.port, refuses=refuses)) as pooler:
        url = f"postgresql://postgres@127.0.0.1:{pooler.port}/postgres"
        memory = open_client(flavor, namespace, url)
        for _ in range(10):
            await memory.increment("k")
        assert await memory.get("k") == 10
        assert pooler.refused == refuses  # and not once a connection
        await memory.aclose()
        engine = PostgresEngine(url, timeout=7)
        with engine._pools.use() as pool, pool.lend(PATIENCE) as connection:
            for _ in range(10):
                inside = blocking.transact(connection, blocking.WRITING, _settings())
            outside = connection.execute(_SETTINGS).fetchone()
            prepared = connection.execute("SELECT name FROM pg_prepared_statements").fetchall()
        engine.close()
    assert inside == [("7s", "7s")]
    if refuses:
        assert outside == ("0", "0")
    assert prepared == []


_SETTINGS = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"


def _settings() -> Steps:
    return (yield Statement(_SETTINGS))


# --- without pipelines ----------------------------------------------------------------------


def test_it_works_without_pipelines_and_knows_which_statements_have_rows(
    database: Postgres, line: Proxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libpq before 14 does, where each answer comes before the next statement."""
    send = blocking._send

    def watch(connection: Any, statement: Statement) -> Any:
        cursor = send(connection, statement)
        if not statement.many:
            assert has_rows(statement.sql) == (cursor.description is not None), statement.sql
        return cursor

    monkeypatch.setattr(blocking, "_send", watch)
    monkeypatch.setattr(psycopg.capabilities, "has_pipeline", lambda check=False: False)
    with Memory(namespace, url=url_of(line)) as memory:
        assert memory.set_many({"a": 1, "b": 2}) == {"a": 1, "b": 2}
        before = line.turns
        memory.set("a", 3, if_version=1)
        assert line.turns - before > 6
        memory.increment("b", 5)
        with pytest.raises(ConflictError):
            memory.set("a", 3, if_version=1)
        memory.history("h").extend(["x", "y"], ids=["1", "2"])
        memory.history("h").archive(up_to=1)
        memory.history("h").pop()
        memory.records("r").put([Record("green tea", id="1"), Record("black tea", id="2")])
        memory.records("r").delete(ids=["1"])
        memory.delete("a")
        assert memory.get_many(["a", "b"]) == {"b": 7}
        assert memory.history("h").count() == 0
        assert [match.record.id for match in memory.records("r").search(text="tea")] == ["2"]
        memory.history("h").clear()
        memory.clear()
        assert memory.count() == 0
    assert not _open_transactions(database)


# --- failures -------------------------------------------------------------------------------


def _inserts(count: int, bad: int | None, *, look: bool = False, big: bool = False) -> Steps:
    """Inserts numbers, one of which is there already; none is waited for."""
    for i in range(count):
        number = 0 if i == bad else random.randrange(1, 2**60)
        yield Statement("INSERT INTO numbers VALUES (?, ?)", (number, "x" * (big * 20_000)))
    if look:
        yield Statement("SELECT 1")
    yield Statement("INSERT INTO numbers VALUES (?, '')", [(-1,), (-2,)], many=True)
    return "done"


async def test_a_failure_among_what_is_not_waited_for_is_told_as_itself(
    database: Postgres, line: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    database.run("CREATE TABLE numbers (number BIGINT PRIMARY KEY, text TEXT)")
    database.run("INSERT INTO numbers VALUES (0, '')")
    connection = await psycopg.AsyncConnection.connect(url_of(line), autocommit=True)
    twin = psycopg.connect(url_of(line), autocommit=True)
    for count, bad, look, big in [
        (1, 0, False, False), (1, 0, True, False), (9, 0, False, False), (9, 8, False, False),
        (9, 4, True, False), (40, 0, False, True), (40, 39, False, True), (40, 20, True, True),
    ] * 3:  # fmt: skip
        steps = _inserts(count, bad, look=look, big=big)
        with pytest.raises(psycopg.errors.UniqueViolation):
            await awaited.transact(connection, awaited.WRITING, steps)
        steps = _inserts(count, bad, look=look, big=big)
        with pytest.raises(psycopg.errors.UniqueViolation):
            blocking.transact(twin, blocking.WRITING, steps)
        # Nothing of it is there, and both connections are as new, prepared statements included.
        assert await awaited.transact(connection, awaited.SNAPSHOT, _count()) == 1
        assert blocking.transact(twin, blocking.SNAPSHOT, _count()) == 1
    assert await awaited.transact(connection, awaited.WRITING, _inserts(9, None)) == "done"
    assert blocking.transact(twin, blocking.SNAPSHOT, _count()) == 12
    await connection.close()
    twin.close()
    assert not caplog.records


def _count() -> Steps:
    ((count,),) = yield Statement("SELECT count(*) FROM numbers")
    return count


def test_what_is_wrong_first_is_told_though_it_is_looked_at_late(database: Postgres) -> None:
    def refuse(_: object) -> None:
        raise ConflictError("first")

    def steps() -> Steps:
        yield Statement("SELECT 1", then=refuse)
        yield Statement("CREATE TABLE never (n BIGINT)")
        raise InvalidRequestError("second")

    def waiting() -> Steps:
        yield Statement("SELECT 1", then=refuse)
        yield WAIT
        raise AssertionError("it went on")

    with psycopg.connect(database.url, autocommit=True) as connection:
        for make in (steps, waiting):
            with pytest.raises(ConflictError, match="first"):
                blocking.transact(connection, blocking.WRITING, make())
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("SELECT to_regclass('never')").fetchone() == (None,)


async def test_tasks_cancelled_anywhere_leave_the_pool_as_it_was(
    database: Postgres, namespace: str
) -> None:
    slow = Proxy(database.port, delay=0.001)
    memory = AsyncMemory(namespace, url=url_of(slow), timeout=20)
    history = memory.history("h")
    await history.append("first")
    source = random.Random(1)
    acknowledged = []

    async def append(number: int) -> None:
        await history.append(number)
        acknowledged.append(number)

    for number in range(60):
        task = asyncio.create_task(append(number))
        await asyncio.sleep(source.uniform(0, 0.02))
        task.cancel()
        await asyncio.wait([task])
    # As many at once as the pool has connections, and more.
    await asyncio.gather(*[append(number) for number in range(100, 120)])
    items = await history.read()
    assert [item.seq for item in items] == [*range(1, len(items) + 1)]
    values = [item.value for item in items]
    assert len({*values}) == len(values)
    assert {*acknowledged} <= {*values}
    await memory.aclose()
    slow.close()
    assert not _open_transactions(database)


def _open_transactions(database: Postgres) -> list[Any]:
    with psycopg.connect(database.url) as connection:
        return connection.execute(
            "SELECT state, query FROM pg_stat_activity WHERE application_name = 'botwire' "
            "AND (state LIKE 'idle in%' OR state = 'active')"
        ).fetchall()


def test_attempts_of_one_request_that_meet_in_a_new_namespace_land_once(
    database: Postgres, namespace: str
) -> None:
    engine = PostgresEngine(database.url)
    engine.apply(ops.Batch(namespace, (ops.CountKeys(),)))
    with ThreadPoolExecutor(8) as pool:
        for number in range(12):
            space = f"{namespace}/{number}"
            batch = ops.Batch(space, (ops.ExtendHistory("h", (Json.of(1),)),), "the same")
            # The second attempt simulates a lost answer while the first is still running.
            assert [*pool.map(engine.apply, [batch] * 8)] == [[(1,)]] * 8
    engine.close()


# --- outages --------------------------------------------------------------------------------


class Refusing:
    """Closes every connection at once, at the port of a database that is down."""

    def __init__(self, port: int) -> None:
        self._attempts = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                self._listener.accept()[0].close()
                self._attempts.release()

    def wait_for(self, count: int) -> None:
        """Waits for this many attempts to connect, each for up to ten seconds."""
        for number in range(count):
            assert self._attempts.acquire(timeout=PATIENCE), f"only {number} attempts"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_who_waits_for_a_database_keeps_trying_and_succeeds_once_it_is_back(
    database: Postgres, namespace: str
) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(database.url))
        stack.callback(server.terminate)
        clients = [
            stack.enter_context(Memory(namespace, url=url, timeout=30))
            for url in (database.url, read_url(server))
        ]
        for memory in clients:
            memory.set("k", 0)
        database.kill()
        threads = [threading.Thread(target=memory.increment, args=("k",)) for memory in clients]
        with contextlib.closing(Refusing(database.port)) as refusing:
            for thread in threads:
                thread.start()
            # If the pause kept doubling, both pools would try 20 times until the timeout.
            refusing.wait_for(30)
        database.restart()
        for thread in threads:
            thread.join()
        assert clients[0].get("k") == 2


def test_a_server_logs_an_outage_in_lines_of_json(
    database: Postgres, namespace: str, tmp_path: Path
) -> None:
    url = database.url.replace("postgres@", "postgres:hush@")
    log = tmp_path / "log"
    with log.open("w") as errors, subprocess.Popen(
        [sys.executable, "-m", "botwire", "serve", "--port", "0", "--database", url],
        stdout=subprocess.PIPE, stderr=errors, text=True,
    ) as server:  # fmt: skip
        try:
            with Memory(namespace, url=read_url(server), timeout=2) as memory:
                memory.set("k", 0)
                database.kill()
                for _ in range(3):
                    with pytest.raises(TransportError):
                        memory.get("k")
        finally:
            server.terminate()
            database.restart()
    text = log.read_text()
    assert "hush" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    for said in ("no connection to", "does not answer"):
        about = [line for line in lines if said in line["message"]]
        assert len(about) <= 1, about  # however many requests and attempts have failed
    assert any("no connection to" in line["message"] for line in lines)
