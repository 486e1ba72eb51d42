"""Fixtures for every place where memory can live, and both clients."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from botwire.engines.postgres import PostgresEngine
from botwire.engines.sqlite import SQLiteEngine
from conftest import read_url, start_server
from tests.clients import open_client
from tests.stores import TimedStore

SHARED = {
    "postgres": "postgres_url",
    "http": "server_url",
    "http-postgres": "postgres_server_url",
}
"""Places that all tests of a run share, and the fixtures that start them."""


TESTED_ELSEWHERE = {("awaited", "in-memory"), ("awaited", "http-postgres")}
"""Pairs of client and place that test nothing more.

The awaited client has its own code for a file, for PostgreSQL and for HTTP, each of which another
pair runs.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the pairs in `TESTED_ELSEWHERE`."""

    def pair(item: pytest.Item) -> tuple[Any, Any]:
        call: Any = getattr(item, "callspec", None)
        return (call.params.get("memory"), call.params.get("url")) if call else (None, None)

    items[:] = [item for item in items if pair(item) not in TESTED_ELSEWHERE]


def _shared(place: str, request: pytest.FixtureRequest) -> str:
    """Returns the URL of a shared place: ``http`` is the channel, ``http-postgres`` plain HTTP."""
    url = str(request.getfixturevalue(SHARED[place]))
    return f"{url}?channel=false" if place == "http-postgres" else url


@pytest.fixture(params=["embedded", "in-memory", *SHARED])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where memory lives."""
    if request.param in SHARED:
        return _shared(request.param, request)
    return "sqlite://" if request.param == "in-memory" else f"sqlite:///{tmp_path / 'memory.db'}"


@pytest.fixture(params=["embedded", *SHARED])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of memory that several processes can share."""
    if request.param in SHARED:
        return _shared(request.param, request)
    return f"sqlite:///{tmp_path / 'memory.db'}"


@pytest.fixture(params=["blocking", "awaited"])
async def memory(request: pytest.FixtureRequest, url: str, namespace: str) -> AsyncIterator[Any]:
    """A client of each flavor with an empty namespace."""
    client = open_client(request.param, namespace, url)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def own_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server not shared with tests that need a store where nothing was ever forgotten."""
    with start_server(tmp_path_factory.mktemp("own") / "memory.db") as process:
        try:
            yield read_url(process)
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def own_postgres_url(postgres_url: str) -> str:
    """The URL of a database for the same purpose."""
    return _make_database(postgres_url)


@pytest.fixture
def fresh_postgres_url(postgres_url: str) -> str:
    """The URL of a database that only this test uses."""
    return _make_database(postgres_url)


def _make_database(postgres_url: str) -> str:
    import psycopg

    name = f"own_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    parts = urlsplit(postgres_url)
    return urlunsplit(parts._replace(path=f"/{name}"))


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TimedStore]:
    """A store on each engine with a clock that the test sets."""
    if request.param == "sqlite":
        made = TimedStore(lambda clock: SQLiteEngine(tmp_path / "memory.db", clock=clock))
    else:
        url = request.getfixturevalue("fresh_postgres_url")
        made = TimedStore(lambda clock: PostgresEngine(url, clock=clock))
    with contextlib.closing(made.engine):
        yield made
