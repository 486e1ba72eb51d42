"""Fixtures for the tests of the console: real servers, with and without API keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from botwire import Memory
from conftest import make_key, read_url, running
from tests.browsing import Browser


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A server with API keys: its URL, and the keys."""
    database = tmp_path_factory.mktemp("keyed") / "memory.db"
    store = f"sqlite:///{database}"
    keys = {
        "admin": make_key(store, right="admin", label="the administrator")[1],
        "all": make_key(store)[1],
        "two writes": make_key(store, writes=2)[1],
        "ada": make_key(store, namespaces=("ada",))[1],
        "reader": make_key(store, namespaces=("ada",), right="read")[1],
        "team": make_key(store, namespaces=("team-*", "ada"), right="read")[1],
    }
    with running(database) as process:
        url = read_url(process)
        for namespace in ("ada", "bob-secret", "team-1"):
            with Memory(namespace, url=url, api_key=keys["all"]) as memory:
                memory.set("prefs", {"of": namespace})
                memory.remember(f"I am {namespace}", id="m")
                memory.history("chat").append({"role": "user", "content": f"I am {namespace}"})
        try:
            yield url, keys
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def administered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A separate server with quotas: its URL, an administrator's key, and its database."""
    database = tmp_path_factory.mktemp("administered") / "memory.db"
    secret = make_key(f"sqlite:///{database}", right="admin")[1]
    options = ("--namespace-writes", "1000", "--namespace-bytes", "100000")
    with running(database, *options) as process:
        try:
            yield read_url(process), secret, database
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def _closed_browsers() -> Iterator[None]:
    yield
    Browser.close_all()


@pytest.fixture
def browser(server_url: str) -> Browser:
    """A browser on a server without API keys."""
    return Browser(server_url)


@pytest.fixture
def memory(server_url: str, namespace: str) -> Iterator[Memory]:
    """An empty namespace on that server."""
    with Memory(namespace, url=server_url) as memory:
        yield memory
