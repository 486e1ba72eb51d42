"""The wire of the published botwire 0.2.1 client: its requests, the answers that it was given.

What the client sends was recorded from it; `scripts/check_published_client.py` runs the client
itself against this server.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from botwire import Memory
from conftest import make_key, read_url, running


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server_url) as client:
        yield client


def put(client: httpx.Client, url: str, value: Any, **more: Any) -> Any:
    answer = client.put(url, json={"value": value, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_the_client_does(client: httpx.Client, namespace: str) -> None:
    url = f"/memory/{namespace}/user_name"
    assert client.get(url).status_code == 404
    assert client.get(url).json()["detail"] == f"Key not found: {namespace}/user_name"
    before = time.time()
    assert put(client, url, "héllo") == {
        "namespace": namespace, "key": "user_name", "stored": True, "bytes": 5
    }  # fmt: skip
    first = client.get(url).json()
    assert first.keys() == {"namespace", "key", "value", "created_at", "updated_at"}
    assert (first["value"], first["created_at"]) == ("héllo", first["updated_at"])
    assert before - 1 < first["created_at"] < time.time() + 1
    put(client, url, "again")
    second = client.get(url).json()
    assert second["created_at"] == first["created_at"] < second["updated_at"]
    assert client.delete(url).json() == {
        "deleted": True, "namespace": namespace, "key": "user_name"
    }  # fmt: skip
    assert client.delete(url).status_code == 404
    assert client.delete(url).json()["detail"] == f"Key not found: {namespace}/user_name"


def test_a_listing_begins_with_what_was_written_last(client: httpx.Client, namespace: str) -> None:
    url = f"/memory/{namespace}"
    assert client.get(url).json() == {"namespace": namespace, "count": 0, "keys": []}
    memory = Memory(namespace, url=str(client.base_url))
    memory.set_many({f"k{number:03}": "x" * number for number in range(250)})
    put(client, f"{url}/k000", "latest")
    listed = client.get(url).json()
    assert (listed["count"], len(listed["keys"])) == (100, 100)
    assert listed["keys"][0].keys() == {"key", "bytes", "updated_at"}
    assert [(one["key"], one["bytes"]) for one in listed["keys"][:2]] == [
        ("k000", 6), ("k249", 249)
    ]  # fmt: skip
    everything = client.get(url, params={"limit": 1000}).json()
    assert [one["key"] for one in everything["keys"]] == [
        "k000", *(f"k{number:03}" for number in range(249, 0, -1))
    ]  # fmt: skip
    redirect = client.get(f"{url}/?limit=3")
    assert (redirect.status_code, redirect.headers["location"]) == (307, f"{url}?limit=3")


def test_both_wires_are_one_memory(client: httpx.Client, namespace: str) -> None:
    """A 0.2.1 client reads values with their types, and what it sent as a string stays one."""
    memory = Memory(namespace, url=str(client.base_url))
    values = [42, 0, True, False, None, 1.5, 10**40, "", "42", "[1]", '{"a": 1}', [1], {"a": "é"}]
    for number, value in enumerate(values):
        memory.set(f"ours{number}", value)
        assert client.get(f"/memory/{namespace}/ours{number}").json()["value"] == value
        put(client, f"/memory/{namespace}/theirs{number}", value)
        assert repr(memory.get(f"theirs{number}")) == repr(value)
    # `Memory.set` of 0.2.1 sends JSON in a string, which is stored as such.
    put(client, f"/memory/{namespace}/k", json.dumps({"a": 1}))
    assert memory.get("k") == '{"a": 1}'
    memory.set("raw", b"\x00\xff")
    assert client.get(f"/memory/{namespace}/raw").json()["value"] == "AP8="


def test_what_its_articles_promised_works(client: httpx.Client, namespace: str) -> None:
    put(client, f"/memory/{namespace}/session", "token", ttl=3600)
    entry = Memory(namespace, url=str(client.base_url)).entry("session")
    assert entry is not None
    assert entry.expires_at is not None
    put(client, f"/memory/{namespace}/session", "token", ttl=0.001, unknown="ignored")
    assert client.get(f"/memory/{namespace}/session").status_code == 404
    for key in ("user:42:prefs", "user@example.com", "a%20b", "%C3%A9", "a%2Fb"):
        put(client, f"/memory/{namespace}/{key}", key)
        assert client.get(f"/memory/{namespace}/{key}").json()["value"] == key
    long = "é" * 200_000  # 0.2.1 refuses more than 100,000 characters
    assert put(client, f"/memory/{namespace}/long", long)["bytes"] == 200_000


BAD = [
    ("PUT", "/memory/n/k", {"json": {"val": 1}}, 422, ["missing", "body", "value"]),
    ("PUT", "/memory/n/k", {"content": "value=x", "headers": {
        "Content-Type": "application/x-www-form-urlencoded"}}, 422, ["body"]),
    ("PUT", "/memory/n/k", {"content": "{", "headers": {"Content-Type": "application/json"}}, 422,
     ["json_invalid"]),
    ("PUT", "/memory/n/k", {"json": {"value": 1, "ttl": -5}}, 422, ["body", "ttl"]),
    ("GET", "/memory/n?limit=0", {}, 422, ["greater_than_equal", "query", "limit"]),
    ("GET", "/memory/n?limit=1001", {}, 422, ["less_than_equal", "query", "limit"]),
    ("GET", "/memory/n?limit=x", {}, 422, ["int_parsing", "query", "limit"]),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "request_", "status", "says"), BAD, ids=range(len(BAD)))
def test_what_does_not_validate_is_a_list_of_errors(
    client: httpx.Client,
    method: str,
    path: str,
    request_: dict[str, Any],
    status: int,
    says: list[str],
) -> None:
    answer = client.request(method, path, **request_)
    assert answer.status_code == status, answer.text
    (error,) = answer.json()["detail"]
    assert set(says) <= {error["type"], *map(str, error["loc"])}
    assert error["msg"]


def test_what_was_not_there_is_not_there(client: httpx.Client) -> None:
    for method, path, status in (
        ("POST", "/memory/n/k", 405),
        ("PATCH", "/memory/n/k", 405),
        ("DELETE", "/memory/n", 405),
        ("GET", "/memory/n/a/b", 404),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert isinstance(answer.json()["detail"], str)


def test_a_path_that_climbs_reads_nothing(server_url: str) -> None:
    """Sends the path unchanged; httpx and browsers resolve dots before sending."""
    Memory("victim", url=server_url).set("secret", "s3cret")
    address = httpx.URL(server_url)
    for path in (
        "/memory/typ/../victim/secret",
        "/memory/typ/%2e%2e/victim/secret",
        "/memory/typ/..%2Fvictim%2Fsecret",
        "/memory/typ//victim/secret",
        "/memory/typ/%2E%2E%2Fvictim%2Fsecret",
    ):
        for method in ("GET", "DELETE"):
            with closing(http.client.HTTPConnection(address.netloc.decode())) as connection:
                connection.request(method, path)
                assert connection.getresponse().status == 404, path
    mine = Memory("typ", url=server_url)
    assert mine.get("../victim/secret") is None
    assert mine.delete("../victim/secret") is False
    assert Memory("victim", url=server_url).get("secret") == "s3cret"


def test_health(client: httpx.Client) -> None:
    assert client.get("/health").json() == {
        "status": "ok", "payments": "disabled", "network": "eip155:84532"
    }  # fmt: skip


def test_a_key_for_its_own_namespace_keeps_the_client_in_it(tmp_path: Path) -> None:
    """httpx sends a URL's password as HTTP Basic, and ``../victim`` as the path it leads to."""
    with running(tmp_path / "memory.db") as server:
        url = read_url(server)
        database = f"sqlite:///{tmp_path / 'memory.db'}"
        _, key = make_key(database, namespaces=("typ",), right="write")
        base_url = url.replace("http://", f"http://me:{key}@")
        with httpx.Client() as client:  # as the published client opens it
            put(client, f"{base_url}/memory/typ/mine", "ok")
            assert client.get(f"{base_url}/memory/typ/mine").json()["value"] == "ok"
            for request in (client.get, client.delete):
                denied = request(f"{base_url}/memory/typ/../victim/secret")
                assert denied.request.url.raw_path == b"/memory/victim/secret"
                assert denied.status_code == 403
            assert client.get(f"{base_url}/stats/memory").status_code == 403
            assert client.get(f"{url}/memory/typ/mine").status_code == 401
            wrong = url.replace("http://", "http://me:bw_nothing@")
            assert client.get(f"{wrong}/memory/typ/mine").status_code == 401
        server.terminate()


def test_stats(tmp_path: Path) -> None:
    with running(tmp_path / "memory.db") as server:
        url = read_url(server)
        with httpx.Client(base_url=url) as client:
            empty = {"total_entries": 0, "total_namespaces": 0, "total_bytes": 0}
            assert client.get("/stats/memory").json() == empty
            for namespace in ("a", "b"):
                for key in ("x", "y"):
                    put(client, f"/memory/{namespace}/{key}", "12345")
            found = client.get("/stats/memory").json()
            assert (found["total_entries"], found["total_namespaces"]) == (4, 2)
            assert 20 <= found["total_bytes"] < 200
        server.terminate()
