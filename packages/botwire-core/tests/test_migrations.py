"""A store of any older release opens, and only a newer one is refused."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from botwire import ConfigurationError, Memory, transfer
from botwire.clock import DAY, now
from botwire.engines.postgres import PostgresEngine
from botwire.engines.sql import migrations
from botwire.engines.sql.schema import SQLITE, Dialect
from botwire.engines.sql.steps import Statement, Steps
from botwire.engines.sqlite import SQLiteEngine
from botwire.engines.sqlite.file import run
from botwire.errors import BotWireError
from tests.zygote import zygote_of

DATA = Path(__file__).parent / "data"


class Store:
    """A database that a test also reaches without BotWire.

    Attributes:
        url: Where it is.
        place: The same as its driver takes it.
    """

    def __init__(self, kind: str, place: str) -> None:
        self.url = f"sqlite:///{place}" if kind == "sqlite" else place
        self._kind = kind
        self.place = place

    def run(self, script: str) -> list[Any]:
        if self._kind == "sqlite":
            raw = sqlite3.connect(self.place)
            try:
                if script.startswith("SELECT"):
                    return raw.execute(script).fetchall()
                raw.executescript(script)
                return []
            finally:
                raw.close()
        with psycopg.connect(self.place, autocommit=True) as connection:
            cursor = connection.execute(script.encode())
            return cursor.fetchall() if cursor.description else []

    def load(self, version: int) -> None:
        """Creates the tables of a version, with data that its release wrote."""
        self.run((DATA / f"format-{version}.{self._kind}.sql").read_text())

    def shape(self) -> list[Any]:
        """Returns all columns and indexes."""
        if self._kind == "sqlite":
            tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
            return [
                self.run(f"SELECT m.name, x.name, x.type, x.'notnull', x.pk FROM ({tables}) m "
                         "JOIN pragma_table_info(m.name) x ORDER BY 1, 2"),
                self.run("SELECT m.name, i.name, i.'unique', i.partial, x.seqno, x.name "
                         f"FROM ({tables}) m JOIN pragma_index_list(m.name) i "
                         "JOIN pragma_index_info(i.name) x ORDER BY 1, 2, 5"),
            ]  # fmt: skip
        return [
            self.run("SELECT table_name, column_name, data_type, is_nullable "
                     "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"),
            self.run("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
        ]  # fmt: skip

    def set_version(self, version: int) -> None:
        self.run(
            f"PRAGMA user_version={version}"
            if self._kind == "sqlite"
            else f"UPDATE botwire_schema SET version = {version}"
        )

    def version(self) -> int:
        source = "pragma_user_version" if self._kind == "sqlite" else "botwire_schema"
        return int(self.run(f"SELECT * FROM {source}")[0][0])


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Store("sqlite", str(tmp_path / "memory.db"))
    return Store("postgres", request.getfixturevalue("postgres_database_url"))


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> int:
    """Simulates a future release with one more version of the tables; returns its number."""

    def step(dialect: Dialect) -> Steps:
        yield Statement(dialect.spell("CREATE TABLE botwire_next (namespace {bytes} PRIMARY KEY)"))
        rows = yield Statement("SELECT namespace FROM botwire_namespaces ORDER BY namespace")
        yield Statement("INSERT INTO botwire_next VALUES (?)", rows, many=True)

    monkeypatch.setattr(migrations, "VERSIONS", (*migrations.VERSIONS, step))
    return migrations.latest()


@pytest.mark.parametrize("version", range(1, migrations.latest() + 1))
def test_a_store_of_an_older_release_is_read_and_written(store: Store, version: int) -> None:
    if not (DATA / f"format-{version}.sqlite.sql").exists():
        assert version == migrations.latest(), "add what the release of this version wrote"
        return
    store.load(version)
    assert store.version() == version
    with Memory("old/é\ud800", url=store.url) as memory:
        assert memory.get("k") == {"a": [1, None, 10**40, "\ud800"]}
        assert memory.list_keys() == ["bytes", "k", "n", "ttl"]
        assert memory.increment("n") == 42
        history = memory.history("chat")
        assert history.tail(9) == [None, "d"]
        assert [item.id for item in history.read(archived=True)] == ["1", "3", None]
        assert history.append("e") == 5
        if version >= 9:
            assert memory.history("fork").tail(9) == [None, "d"]
        assert list(transfer.check(memory.engine)) == []
        assert {memory.entry("k").author, history.read()[0].author} == {None}
        notes = memory.records("notes")
        assert [match.record.id for match in notes.search(vector=[1, 0, 0])] == ["tea", "coffee"]
        for query in ("coffee", "coffees"):  # forms of a word need no index of their own
            assert [match.record.id for match in notes.search(text=query)] == ["coffee"]
        assert memory.with_namespace("other").get("k") == "other's"
        if version >= 12:
            kept = memory.with_namespace("kept")
            past = kept.at(4)
            assert (kept.get("k"), past.get("k"), kept.at(1).get("k")) == (2, 2, 1)
            assert past.history("chat").tail(2) == ["one", "two"]
            assert past.history("chat").metadata() == {"title": "old"}
            assert kept.history("chat").metadata() == {"title": "new"}
            (tea,) = kept.at(7).records("notes").search(text="tea")
            assert [one.record.text for one in kept.records("notes").versions("1")] == [
                "black coffee",
                tea.record.text,
            ]
    assert store.version() == migrations.latest()


def test_texts_without_spaces_are_indexed_anew(store: Store) -> None:
    store.load(5)
    with Memory("old/é\ud800", url=store.url) as memory:
        texts = memory.records("words")
        for query, id in (("猫", "cat"), ("서울", "seoul"), ("tea", "tea")):
            assert [match.record.id for match in texts.search(text=query)] == [id]
        assert list(transfer.check(memory.engine)) == []
        assert texts.delete(ids=["cat"]) == 1
        assert texts.search(text="猫") == []
        assert list(transfer.check(memory.engine)) == []


@pytest.mark.parametrize("version", [1, 2])
def test_old_changes_of_an_older_release_are_swept(store: Store, version: int) -> None:
    store.load(version)
    make = SQLiteEngine if store.url.startswith("sqlite") else PostgresEngine
    with contextlib.closing(make(store.place, clock=lambda: now() + 365 * DAY)) as engine:
        engine.sweep()
    assert store.run("SELECT count(*) FROM botwire_changes") == [(0,)]


def test_a_store_that_has_grown_is_as_a_new_one(
    store: Store, tmp_path: Path, next_version: int, request: pytest.FixtureRequest
) -> None:
    store.load(1)
    with Memory("n", url=store.url) as memory:
        memory.set("k", 1)
    grown = store.shape()
    assert store.run("SELECT count(*) FROM botwire_next") == [(2,)]  # the step ran, and once
    if store.url.startswith("sqlite"):
        new = Store("sqlite", str(tmp_path / "new.db"))
    else:
        store.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        new = store
    with Memory("n", url=new.url) as memory:
        memory.set("k", 1)
    assert new.version() == next_version
    assert new.shape() == grown


def test_each_new_file_has_what_all_migrations_make(tmp_path: Path) -> None:
    def tables(connection: sqlite3.Connection) -> list[Any]:
        columns = "type, name, tbl_name, sql"
        return connection.execute(f"SELECT {columns} FROM sqlite_master ORDER BY rowid").fetchall()

    with contextlib.closing(sqlite3.connect(":memory:")) as migrated:
        run(migrated, migrations.migrate(0, SQLITE))
        expected = tables(migrated)
    for name in ("first", "further"):
        with Memory("n", url=f"sqlite:///{tmp_path / name}") as memory:
            memory.set("k", 1)
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as raw:
            assert tables(raw) == expected
            assert raw.execute("PRAGMA user_version").fetchone() == (migrations.latest(),)


def test_a_step_that_fails_changes_nothing(
    store: Store, next_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(dialect: Dialect) -> Steps:
        yield Statement("CREATE TABLE botwire_broken (x BIGINT)")
        yield Statement("INSERT INTO no_such_table VALUES (1)")

    whole = migrations.VERSIONS
    monkeypatch.setattr(migrations, "VERSIONS", (*whole, broken))
    store.load(1)
    before = store.shape()
    with Memory("n", url=store.url) as memory, pytest.raises(BotWireError, match="no_such_table"):
        memory.get("k")
    assert (store.version(), store.shape()) == (1, before)
    monkeypatch.setattr(migrations, "VERSIONS", whole)
    with Memory("other", url=store.url) as memory:
        assert memory.get("k") == "other's"
    assert store.version() == next_version


def test_a_newer_store_is_refused_even_while_it_is_open(store: Store) -> None:
    with Memory("n", url=store.url) as memory:
        memory.set("k", 1)
        store.set_version(migrations.latest() + 1)
        if store.url.startswith("sqlite"):
            with pytest.raises(ConfigurationError, match="newer BotWire"):
                memory.set("k", 2)
    # Simulates another process, because SQLite engines are shared within this one.
    with Memory("n", url=store.url) as memory:
        for call in (lambda: memory.get("k"), lambda: memory.set("k", 2)):
            with pytest.raises(ConfigurationError, match=r"newer BotWire.*upgrade botwire-core"):
                call()


OPEN = """
import sys
from botwire import Memory
from botwire.engines.sql import migrations
from botwire.engines.sql.steps import Statement

def step(dialect):
    # Taken twice, it fails.
    yield Statement(dialect.spell("CREATE TABLE botwire_next (namespace {bytes} PRIMARY KEY)"))

migrations.VERSIONS = (*migrations.VERSIONS, step)
print("ready", flush=True)
sys.stdin.readline()
with Memory("other", url=sys.argv[1]) as memory:
    memory.increment("opened")
    print(memory.get("k"))
"""


@pytest.mark.parametrize("is_new", [False, True], ids=["older", "new"])
def test_several_processes_may_open_one_store_first(store: Store, is_new: bool) -> None:
    if not is_new:
        store.load(1)
    with ExitStack() as started:
        openers = [
            started.enter_context(zygote_of("botwire").start(OPEN, store.url)) for _ in range(2)
        ]
        for opener in openers:
            assert opener.stdout.readline() == "ready\n"
        for opener in openers:
            opener.stdin.write("\n")
            opener.stdin.flush()
        for opener in openers:
            output = opener.communicate()
            assert (opener.returncode, output.strip()) == (0, "None" if is_new else "other's")
    assert store.version() == migrations.latest() + 1
