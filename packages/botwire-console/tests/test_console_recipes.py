"""Every view has a URL, and recipes for the shell and Python that do the same."""

from __future__ import annotations

import shlex

import httpx
import pytest

from botwire import Memory
from tests.browsing import Browser, Parsed

OF_A_NAMESPACE = {
    "namespace": {},
    "keys": {"prefix": "a/"},
    "key": {"key": "a/ü"},
    "key/versions": {"key": "a/ü"},
    "changes": {},
    "conversations": {"prefix": "c"},
    "conversation": {"name": "chat '1'"},
    "item": {"name": "chat '1'", "seq": 1},
    "memories": {},
    "memory": {"id": "m"},
    "recall": {"q": "it's tea", "about": "/x", "tags": "a,b", "limit": 3},
    "search": {"q": "it's tea"},
    "threads": {},
    "thread": {"thread": "t"},
    "usage": {},
}
OF_THE_STORE = {"": {}, "search": {"q": "it's"}, "usage": {}, "health": {}}


def recipe(page: Parsed) -> tuple[str, str]:
    shell, python = page.texts("pre")[-2:]
    return shell, python


def follow(shell: str, python: str, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """Does what the recipe says: sends the request of the command line, runs the lines."""
    monkeypatch.setenv("BOTWIRE_API_KEY", secret)
    program, *rest = shlex.split(shell.replace("$BOTWIRE_API_KEY", secret))
    assert program == "curl"
    headers, body, url = {}, None, ""
    while rest:
        part = rest.pop(0)
        if part == "-H":
            name, _, value = rest.pop(0).partition(": ")
            headers[name] = value
        elif part == "-d":
            body = rest.pop(0)
        else:
            url = part
    method = "GET" if body is None else "POST"
    answer = httpx.request(method, url, headers=headers, content=body)
    assert answer.status_code == 200, answer.text
    exec(python, {})


@pytest.fixture
def filled(administered: tuple[str, str, object]) -> Browser:
    url, secret, _ = administered
    with Memory("recipes", url=url, api_key=secret) as memory:
        memory.set("a/ü", 1)
        memory.history("chat '1'").append("hello")
        memory.remember("it's tea", id="m")
    return Browser(url, secret)


@pytest.mark.parametrize("view", OF_A_NAMESPACE)
def test_a_view_of_a_namespace(
    filled: Browser,
    administered: tuple[str, str, object],
    view: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = filled.see(view, ns="recipes", **OF_A_NAMESPACE[view])
    follow(*recipe(page), monkeypatch, administered[1])


@pytest.mark.parametrize("view", OF_THE_STORE)
def test_a_view_of_the_store(
    filled: Browser,
    administered: tuple[str, str, object],
    view: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = filled.see(view, **OF_THE_STORE[view])
    follow(*recipe(page), monkeypatch, administered[1])


def test_what_only_the_machine_of_the_database_may_do(filled: Browser) -> None:
    """API keys and the audit log have no route: the command line reads the database itself."""
    for view, command in (("api-keys", "botwire keys list"), ("audit", "botwire keys audit -n 50")):
        shell, python = recipe(filled.see(view))
        assert shell == command
        compile(python, view, "exec")


def test_live_is_followed_from_a_program(filled: Browser) -> None:
    shell, python = recipe(filled.see("live", ns="recipes"))
    assert shell.startswith("curl ")
    assert "memory.watch()" in python
