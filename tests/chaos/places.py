"""The places under test, and the faults that can be injected there."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.processes import Postgres, Server, fill_disk, own_postgres
from tests.chaos.proxy import Proxy

Fault = Callable[[], None]


@dataclass
class Place:
    """A place under test.

    Attributes:
        writes_to: The URLs that writers use, in turn.
        url: The URL to check with in the end, on no bad line.
        faults: What can be done to it, by name.
        folder: Where writers keep a file of their own, if they do.
        settle: Stops what may still be working for a client that is gone.
        intact: Raises if the database is damaged.
        notes: What to report besides; complete after `settle`.
    """

    writes_to: list[str]
    url: str
    faults: dict[str, Fault] = field(default_factory=dict)
    folder: Path | None = None
    settle: Callable[[], None] = lambda: None
    intact: Callable[[], None] = lambda: None
    notes: list[str] = field(default_factory=list)


@contextlib.contextmanager
def embedded(source: random.Random) -> Iterator[Place]:
    """A SQLite file that the writers open."""
    with _folder() as folder:
        file = folder / "memory.db"
        url = f"sqlite:///{file}"
        yield Place([url], url, folder=folder, intact=lambda: _intact(file))


@contextlib.contextmanager
def http(source: random.Random) -> Iterator[Place]:
    """A server over a SQLite file, on a bad line."""
    with _folder() as folder, contextlib.ExitStack() as stack:
        file = folder / "memory.db"
        server = Server(file)
        stack.callback(server.kill)
        proxy = Proxy(server.port, _is_result)
        stack.callback(proxy.close)

        yield Place(
            [f"http://127.0.0.1:{proxy.port}?channel=true"],
            f"sqlite:///{file}",
            {
                "server killed": server.kill_and_restart,
                "disk full": lambda: fill_disk(
                    server.process, folder, source.uniform(0, 1.5), source.uniform(0, 0.3)
                ),
                **line_faults([proxy], source),
            },
            settle=server.kill,
            intact=lambda: _intact(file),
        )


@contextlib.contextmanager
def postgres(source: random.Random) -> Iterator[Place]:
    """A PostgreSQL on a bad line."""
    with own_postgres() as database, contextlib.ExitStack() as stack:
        proxy = Proxy(database.port, is_commit)
        stack.callback(proxy.close)
        yield Place(
            [f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"],
            database.url,
            {**database_faults(database), **line_faults([proxy], source)},
            settle=database.cut_connections,
        )


@contextlib.contextmanager
def http_postgres(source: random.Random) -> Iterator[Place]:
    """Two servers over one PostgreSQL, on bad lines: one by its channel, one by HTTP alone."""
    with own_postgres() as database, contextlib.ExitStack() as stack:
        servers, proxies = [], []
        for _ in range(2):
            server = Server(database.url)
            stack.callback(server.kill)
            servers.append(server)
            proxy = Proxy(server.port, _is_result)
            stack.callback(proxy.close)
            proxies.append(proxy)
        yield Place(
            [
                f"http://127.0.0.1:{proxy.port}?channel={channel}"
                for proxy, channel in zip(proxies, ("true", "false"), strict=True)
            ],
            database.url,
            {
                "server killed": lambda: source.choice(servers).kill_and_restart(),
                **database_faults(database),
                **line_faults(proxies, source),
            },
            settle=lambda: _kill_all(servers, database),
        )


PLACES = {
    "embedded": embedded,
    "http": http,
    "postgres": postgres,
    "http-postgres": http_postgres,
}


def _kill_all(servers: list[Server], database: Postgres) -> None:
    for server in servers:
        server.kill()
    database.cut_connections()


def line_faults(proxies: list[Proxy], source: random.Random) -> dict[str, Fault]:
    """Returns what can happen to lines."""

    def lose_answers() -> None:
        proxy = source.choice(proxies)
        before = proxy.lost
        proxy.lose_answers(source.randint(1, 3))
        until = time.monotonic() + 10
        while proxy.lost == before and time.monotonic() < until:
            time.sleep(0.01)

    return {
        "answers lost": lose_answers,
        "line stalled": lambda: source.choice(proxies).stall(source.uniform(0.05, 1)),
    }


def database_faults(database: Postgres) -> dict[str, Fault]:
    """Returns what can happen to a database."""
    return {
        "database killed": database.kill_and_restart,
        "connections cut": database.cut_connections,
    }


def _is_result(data: bytes) -> bool:
    return b'{"results":' in data


def is_commit(data: bytes) -> bool:
    """Returns whether a database answers that a transaction is committed."""
    return b"COMMIT\0" in data


def _intact(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as raw:
        found = raw.execute("PRAGMA integrity_check").fetchall()
    assert found == [("ok",)], found


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
