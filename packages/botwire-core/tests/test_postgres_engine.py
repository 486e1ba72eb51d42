"""The PostgreSQL engine's own behavior; what all engines share is tested in tests/."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from botwire import (
    ConfigurationError,
    Memory,
    Record,
    RequestTimeoutError,
    ServerError,
)
from botwire.engines.postgres import PostgresEngine, _async, _sync
from botwire.engines.postgres._sync import engine as postgres
from botwire.engines.postgres.refusals import Refusal
from botwire.engines.sql import past_rows, sweeping
from botwire.engines.sql.steps import Statement, Steps
from tests.stores import Clock


def select(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


@pytest.mark.parametrize("by_a_writer", [True, False])
def test_the_database_forgets_what_expired(
    postgres_database_url: str, by_a_writer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_SWEEP_SECONDS", 60.0)  # however slow the machine is
    clock = Clock()
    url = postgres_database_url
    engine = PostgresEngine(url, clock=clock)
    for space in ("a", "b", "c"):
        Memory(space, engine=engine).set_many({f"k{i}": i for i in range(10)}, ttl=10)
        Memory(space, engine=engine).set("kept", 1)
    (before,) = select(url, "SELECT sum(bytes) FROM botwire_namespaces")
    clock.wait(sweeping.KEPT_REQUESTS / 1_000_000)
    if by_a_writer:
        Memory("d", engine=engine).set("other", 1)
        Memory("d", engine=engine).delete("other")
    else:
        engine.sweep()
    assert select(url, "SELECT key FROM botwire_keys") == [(b"kept",)] * 3
    assert len(select(url, "SELECT id FROM botwire_requests")) == (2 if by_a_writer else 0)
    (after,) = select(url, "SELECT sum(bytes) FROM botwire_namespaces")
    assert 0 < after[0] < before[0] / 5
    engine.close()


def test_a_sweep_takes_short_transactions_and_a_write_does_not_wait_for_all_of_them(
    postgres_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_SWEPT_ROWS", 10)
    monkeypatch.setattr(postgres, "_SWEEP_SECONDS", 0.0)
    clock = Clock()
    engine = PostgresEngine(postgres_database_url, clock=clock)
    memory = Memory("n", engine=engine)
    memory.set_many({f"k{i}": i for i in range(45)}, ttl=10)
    clock.wait(3600)
    left = []
    while not left or left[-1]:
        memory.history("h").append("item")
        (count,) = select(postgres_database_url, "SELECT count(*) FROM botwire_keys")
        left.append(count[0])
    assert left == [35, 25, 15, 5, 0]
    memory.set_many({f"k{i}": i for i in range(45)}, ttl=10)
    clock.wait(3600)
    engine.sweep()
    assert select(postgres_database_url, "SELECT count(*) FROM botwire_keys") == [(0,)]
    engine.close()


FAIL = """
CREATE SEQUENCE attempts;
CREATE FUNCTION fail() RETURNS trigger AS $$ BEGIN
    IF nextval('attempts') <= {times} THEN RAISE EXCEPTION 'node is away' USING ERRCODE = '{code}';
    END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER fails BEFORE INSERT ON botwire_keys FOR EACH ROW EXECUTE FUNCTION fail();
"""


@pytest.mark.parametrize("code", ["08006", "40001", "40P01", "53300", "57P01"])
def test_what_passes_is_tried_again_and_lands_once(postgres_database_url: str, code: str) -> None:
    engine = PostgresEngine(postgres_database_url)
    memory = Memory("n", engine=engine)
    memory.history("h").append("the tables are there")
    with psycopg.connect(postgres_database_url, autocommit=True) as admin:
        admin.execute(FAIL.format(times=3, code=code).encode())
    assert memory.increment("k") == 1
    assert memory.get("k") == 1
    assert select(postgres_database_url, "SELECT last_value FROM attempts") == [(4,)]
    engine.close()


@pytest.mark.parametrize(("code", "attempts"), [("08006", 2), ("40001", 2), ("22012", 1)])
def test_what_does_not_pass_is_said_as_what_the_database_says(
    postgres_database_url: str, code: str, attempts: int
) -> None:
    engine = PostgresEngine(postgres_database_url, timeout=1)
    memory = Memory("n", engine=engine)
    memory.history("h").append("the tables are there")
    with psycopg.connect(postgres_database_url, autocommit=True) as admin:
        admin.execute(FAIL.format(times=1000, code=code).encode())
    with pytest.raises(ServerError, match=rf"node is away \({code}\)"):
        memory.set("k", 1)
    ((count,),) = select(postgres_database_url, "SELECT last_value FROM attempts")
    assert count == 1 if attempts == 1 else count >= attempts
    assert memory.get("k") is None
    engine.close()


def test_a_sweep_that_fails_is_no_failed_write(
    postgres_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    engine = PostgresEngine(postgres_database_url, clock=clock)
    memory = Memory("n", engine=engine)
    memory.set("k", 1, ttl=10)
    clock.wait(3600)
    with psycopg.connect(postgres_database_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE botwire_keys RENAME COLUMN expires_at TO ends_at")
        assert memory.history("h").append("item") == 1
        assert "a sweep of expired data failed" in caplog.text
        with pytest.raises(ServerError, match="expires_at"):
            engine.sweep()
        admin.execute("ALTER TABLE botwire_keys RENAME COLUMN ends_at TO expires_at")
    engine.sweep()
    assert select(postgres_database_url, "SELECT count(*) FROM botwire_keys") == [(0,)]
    engine.close()


@pytest.mark.parametrize(
    "error",
    [psycopg.OperationalError("server closed the connection"), psycopg.errors.AdminShutdown()],
)
def test_a_sweep_that_an_outage_cuts_off_logs_nothing(
    postgres_database_url: str,
    error: psycopg.Error,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(now: int) -> Any:
        raise error

    engine = PostgresEngine(postgres_database_url)
    monkeypatch.setattr(sweeping, "find_expired", fail)
    assert Memory("n", engine=engine).set("k", 1) == 1
    assert caplog.text == ""
    engine.close()


def test_a_namespace_that_another_client_locks_is_a_timeout(
    postgres_url: str, namespace: str
) -> None:
    with Memory(namespace, url=postgres_url, timeout=0.3) as memory:
        memory.set("k", 1)
        with psycopg.connect(postgres_url) as other:
            other.execute(
                "SELECT 1 FROM botwire_namespaces WHERE namespace = %s FOR UPDATE",
                (namespace.encode(),),
            )
            with pytest.raises(RequestTimeoutError, match=r"within 0\.3 s"):
                memory.set("k", 2)
            assert memory.get("k") == 1
            assert memory.with_namespace(namespace + "2").set("k", 1)
        assert memory.set("k", 3)


def test_it_is_said_why_no_connection_is_to_be_had(postgres_url: str, unused_tcp_port: int) -> None:
    missing = postgres_url.replace("/postgres?", "/missing?")
    with (
        Memory("n", url=missing, timeout=1) as memory,
        pytest.raises(ConfigurationError, match='database "missing" does not exist'),
    ):
        memory.get("k")
    nobody = f"postgresql://someone:secret@127.0.0.1:{unused_tcp_port}/postgres"
    with (
        Memory("n", url=nobody, timeout=1) as memory,
        pytest.raises(RequestTimeoutError, match="Connection refused") as caught,
    ):
        memory.get("k")
    assert "secret" not in str(caught.value)


def test_what_the_docs_distribute_on_citus_is_every_table_of_a_namespace(
    postgres_database_url: str,
) -> None:
    with Memory("n", url=postgres_database_url) as memory:
        memory.set("k", 1)
    page = (Path(__file__).parents[3] / "docs/scaling.md").read_text()
    (source,) = re.findall(r"^FROM pg_tables\n.*?;$", page, re.MULTILINE | re.DOTALL)
    distributed = select(postgres_database_url, f"SELECT tablename {source}")
    holding = select(
        postgres_database_url,
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND column_name = 'namespace' AND table_name <> 'botwire_namespaces'",
    )
    assert sorted(distributed) == sorted(holding)


def test_every_key_begins_with_the_namespace_and_no_node_is_special(
    postgres_database_url: str,
) -> None:
    url = postgres_database_url
    with Memory("n", url=url) as memory:
        memory.set("k", 1)
    unique = select(
        url,
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' "
        "AND indexdef LIKE 'CREATE UNIQUE%' AND tablename <> 'botwire_schema'",
    )
    assert len(unique) >= 9
    for (definition,) in unique:
        assert re.search(r"USING btree \(namespace[,)]", definition), definition
    tables = select(
        url,
        "SELECT t.tablename, count(c.conname) FROM pg_tables t LEFT JOIN pg_constraint c "
        "ON c.conrelid = t.tablename::regclass AND c.contype = 'p' "
        "WHERE t.schemaname = 'public' GROUP BY 1",
    )
    assert all(primary == 1 for _, primary in tables), tables
    for what, sql in {
        "sequences": "SELECT * FROM pg_sequences",
        "triggers": "SELECT * FROM pg_trigger WHERE NOT tgisinternal",
        "foreign keys": "SELECT * FROM pg_constraint WHERE contype = 'f'",
        "functions": "SELECT * FROM pg_proc p WHERE pronamespace = 'public'::regnamespace "
        "AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = p.oid AND deptype = 'e')",
        "identity and defaults by a function": "SELECT * FROM information_schema.columns WHERE "
        "table_schema = 'public' AND (is_identity = 'YES' OR column_default LIKE '%(%')",
    }.items():
        assert select(url, sql) == [], what
    source = "".join(path.read_text() for path in Path(sweeping.__file__).parent.glob("*.py"))
    source += Path(postgres.__file__).read_text()
    assert not re.search(r"pg_advisory|LISTEN |NOTIFY |nextval|LOCK TABLE", source)


def test_a_page_of_the_past_is_merged_and_not_sorted(postgres_database_url: str) -> None:
    memory = Memory("n", engine=PostgresEngine(postgres_database_url))
    memory.keep_past(timedelta(days=1))
    memory.records("r").put([Record("tea", id=f"{i}") for i in range(300)])
    then = memory.revision()
    for version in range(3):
        memory.set_many({f"{i:04}": version for i in range(1000)})
        memory.records("r").patch([f"{i}" for i in range(300)], {"v": version})
    with psycopg.connect(postgres_database_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    for rows_and_order in (
        "key FROM botwire_keys WHERE namespace = 'n' ORDER BY key",
        "id FROM botwire_records WHERE namespace = 'n' AND collection = 'r' ORDER BY id",
    ):
        sql = f"SELECT {rows_and_order} LIMIT 20"
        rows = select(postgres_database_url, "EXPLAIN " + past_rows.at(sql, then + 1))
        plan = "\n".join(line for (line,) in rows)
        assert "Merge Append" in plan, plan


_NO_DATABASE = 'connection failed: … failed: FATAL: database "shop" does not exist'
_NO_SERVER = "connection failed: … port 5432 failed: Connection refused"


def _several(*attempts: tuple[str, str]) -> str:
    """Returns what psycopg reports if a URL has several addresses."""
    lines = [f"- host: {host!r}, port: '5432', hostaddr: '…': {said}" for host, said in attempts]
    last = attempts[-1][1]
    return " ".join([last, "Multiple connection attempts failed. All failures were:", *lines])


@pytest.mark.parametrize(
    ("reason", "is_permanent"),
    [
        (_NO_DATABASE, True),
        ('… failed: FATAL: role "ada" does not exist', True),
        ('… failed: FATAL: role "ada" is not permitted to log in', True),
        ('… failed: FATAL: password authentication failed for user "ada"', True),
        ('… failed: FATAL: no pg_hba.conf entry for host "10.0.0.7", user "ada"', True),
        ('… failed: FATAL: permission denied for database "shop"', True),
        ('… failed: FATAL: unrecognized configuration parameter "nix"', True),
        ("… failed: fe_sendauth: no password supplied", True),
        ("… failed: server does not support SSL, but SSL was required", True),
        ('connection is bad: invalid sslmode value: "yes"', True),
        ("… failed: FATAL: password authentication failed", True),  # PgBouncer
        ("… failed: FATAL: the database system is starting up", False),
        ("… failed: FATAL: the database system is shutting down", False),
        ("… failed: FATAL: sorry, too many clients already", False),
        ('… failed: FATAL: database "shop" is not currently accepting connections', False),
        ('… failed: FATAL: LDAP authentication failed for user "ada"', False),
        ("… failed: FATAL: server login has been failing, cached error: connect failed", False),
        ("failed to resolve host 'db1': [Errno -2] Name or service not known", False),
        ("… failed: server is not in hot standby mode", False),
        (_NO_SERVER, False),
        ("connection timeout expired", False),
        (_several(("localhost", _NO_SERVER), ("localhost", _NO_DATABASE)), True),
        (_several(("db1", _NO_SERVER), ("db2", _NO_DATABASE)), False),
        (_several(("db1", _NO_DATABASE), ("db2", _NO_SERVER)), False),
        (_several(("db1", _NO_DATABASE), ("db2", _NO_DATABASE)), True),
    ],
)
def test_a_refusal_is_permanent_if_only_a_change_of_the_url_or_the_database_ends_it(
    reason: str, is_permanent: bool
) -> None:
    assert Refusal(reason, is_silence=False, at=0.0).is_permanent == is_permanent


@pytest.mark.parametrize("is_async", [False, True])
def test_an_interrupted_transaction_is_never_lent_to_the_next_call(
    postgres_database_url: str, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when AnyIO cancels a call again while psycopg ends the pipeline."""

    def reads() -> Steps[None]:
        rows = yield Statement("SELECT 1")
        assert rows == [(1,)]
        raise asyncio.CancelledError("in the call")

    def interrupted(*_: Any) -> Any:
        raise asyncio.CancelledError("at the end")
        yield

    monkeypatch.setattr(psycopg.Pipeline, "_exit_gen", interrupted)
    monkeypatch.setattr(psycopg.AsyncPipeline, "_exit_gen", interrupted)

    async def run_awaited() -> bool:
        connection = await psycopg.AsyncConnection.connect(postgres_database_url, autocommit=True)
        with pytest.raises(asyncio.CancelledError, match="at the end"):
            await _async.runner.transact(connection, _async.runner.SNAPSHOT, reads())
        return connection.closed

    def run_blocking() -> bool:
        connection = psycopg.connect(postgres_database_url, autocommit=True)
        with pytest.raises(asyncio.CancelledError, match="at the end"):
            _sync.runner.transact(connection, _sync.runner.SNAPSHOT, reads())
        return connection.closed

    assert asyncio.run(run_awaited()) if is_async else run_blocking()
