"""Live: pages follow the memory, across a restart of the server."""

from __future__ import annotations

from pathlib import Path

import httpx

from botwire import Author, Memory
from conftest import read_url, running
from tests.browsing import Browser, address


def test_the_latest_changes_and_who_made_them(
    server_url: str, namespace: str, browser: Browser
) -> None:
    assert "Nothing has changed" in browser.see("live", ns=namespace).text
    with Memory(namespace, url=server_url, author=Author("support", run="42")) as memory:
        memory.set("k", 1)
        memory.history("chat").append("x")
    page = browser.see("live", ns=namespace)
    assert page.links("key") == [address("key", ns=namespace, key="k")]
    assert page.links("conversation") == [address("conversation", ns=namespace, name="chat")]
    assert "by support, run 42" in page.text
    (region,) = page.all("section", id="changes")
    assert region["data-live"] == address("stream", ns=namespace)


def test_a_namespace_that_begins_late_shows_its_changes(
    administered: tuple[str, str, Path], namespace: str
) -> None:
    url, secret, _ = administered
    browser = Browser(url, secret)
    with Memory("forgotten", url=url, api_key=secret) as memory:
        memory.set_many({f"k{n}": n for n in range(70)})
    assert browser.post("namespaces/forget", n="forgotten").status_code == 200
    # Its first revision follows that of the forgotten one.
    with Memory(namespace, url=url, api_key=secret) as memory:
        memory.set("a", 1)
        memory.set("b", 1)
        assert memory.revision() > 70
    for view in ("live", "changes"):
        assert browser.see(view, ns=namespace).links("key") == [
            address("key", ns=namespace, key=key) for key in ("b", "a")
        ]


def test_an_open_conversation_resumes_after_a_restart(tmp_path: Path, unused_tcp_port: int) -> None:
    """Does what console.js does: follows the stream, and reads the page again."""
    database = tmp_path / "memory.db"
    options = ("--port", str(unused_tcp_port))
    with running(database, *options) as process:
        url = read_url(process)
        with Memory("n", url=url) as memory:
            memory.history("chat").append("first")
            page = Browser(url).see("conversation", ns="n", name="chat")
            (region,) = [one for _, one in page.tags if "data-live" in one]
            with httpx.stream("GET", f"{url}{region['data-live']}") as stream:
                assert stream.headers["Content-Type"].startswith("text/event-stream")
                lines = stream.iter_lines()
                assert next(line for line in lines if line.startswith("id:"))
                memory.history("chat").append("second")
                assert next(line for line in lines if line.startswith("event:")) == "event: change"
        process.terminate()
    with running(database, *options) as process:
        assert read_url(process) == url
        with httpx.stream("GET", f"{url}{region['data-live']}") as stream:
            assert stream.status_code == 200
        page = Browser(url).see("conversation", ns="n", name="chat")
        assert [one["data-seq"] for one in page.all("li", **{"class": "turn other"})] == ["1", "2"]
        process.terminate()


def test_a_conversation_without_messages_is_followed(
    browser: Browser, namespace: str, memory: Memory
) -> None:
    def regions() -> list[object]:
        page = browser.see("conversation", ns=namespace, name="chat")
        return [one["data-live"] for one in page.all("section", id="conversation")]

    assert regions() == [address("stream", ns=namespace, prefix="chat")]
    memory.history("chat").append("first")
    assert regions() == [address("stream", ns=namespace, prefix="chat")]


def test_a_stream_shows_no_other_namespace(keyed: tuple[str, dict[str, str]]) -> None:
    url, keys = keyed
    reader = Browser(url, keys["reader"])
    for view in ("live", "stream"):
        assert reader.get(view, ns="bob-secret").status_code == 403
    assert Browser(url).get("stream", ns="ada").status_code == 401
