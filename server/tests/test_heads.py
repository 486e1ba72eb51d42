"""HEAD works wherever GET does: same status and headers, no body, no more rights."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from conftest import make_key, read_url, running

NAMES = {"namespace": "n", "key": "k", "history": "h", "seq": "1", "collection": "c", "record": "r"}
NOT_TWICE_THE_SAME = {"date", "x-request-id"}
QUERIES = {"/scopes": {"parent": "/"}, "/past/revision": {"time": "2100-01-01T00:00:00Z"}}
"""What some addresses cannot do without, by how they end."""
COUNTS = {"/metrics"}  # counts the requests themselves, so no two answers have the same length


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[httpx.Client]:
    """A client with one connection, on which an unexpected body would break the next answer."""
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(base_url=server_url, limits=limits, timeout=30) as client:
        base = "/v1/namespaces/n"
        client.put(f"{base}/keys/k", json={"value": "long " * 1000}).raise_for_status()
        client.post(f"{base}/histories/h/items", json={"values": ["hi"]}).raise_for_status()
        record = {"text": "tea", "metadata": {}}
        client.put(f"{base}/collections/c/records/r", json=record).raise_for_status()
        client.put(f"{base}/past", json={"seconds": 3600}).raise_for_status()
        yield client


def heads(answer: httpx.Response, path: str) -> dict[str, str]:
    varying = NOT_TWICE_THE_SAME | ({"content-length"} if path in COUNTS else set())
    return {name: value for name, value in answer.headers.items() if name not in varying}


def test_every_address_of_get_answers_head(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]
    assert not any("head" in methods for methods in described.values())
    paths = [path.format(**NAMES) for path, methods in described.items() if "get" in methods]
    assert len(paths) > 20
    for path in [*paths, "/docs", "/openapi.json"]:
        if path.endswith("/watch"):
            continue
        query = next((given for end, given in QUERIES.items() if path.endswith(end)), {})
        for packed in ("gzip", "identity"):
            headers = {"Accept-Encoding": packed}
            got = client.get(path, headers=headers, params=query)
            head = client.head(path, headers=headers, params=query)
            assert got.status_code == 200, (path, got.text)
            assert head.status_code == 200, path
            assert heads(head, path) == heads(got, path)
            assert head.content == b""


def test_a_head_is_conditional_and_tells_the_length(client: httpx.Client) -> None:
    path = "/v1/namespaces/n/keys/k"
    head = client.head(path, headers={"Accept-Encoding": "identity"})
    assert int(head.headers["content-length"]) > 5_000
    tag = head.headers["etag"]
    assert client.head(path, headers={"If-None-Match": tag}).status_code == 304
    assert client.head(path, headers={"If-Match": '"9999"'}).status_code == 412
    assert client.head("/v1/namespaces/n/keys/none").status_code == 404
    assert client.head("/v1/namespaces/n/keys?limit=0").status_code == 400


def test_a_stream_tells_its_head_and_ends(client: httpx.Client) -> None:
    answer = client.head("/v1/namespaces/n/watch?after=0")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert client.get("/healthz").json() == {"status": "ok"}  # the connection is free again


def test_the_bytes_after_a_head_are_the_next_answer(server_url: str, client: httpx.Client) -> None:
    """Checks the bytes, because a client might ignore an unexpected body."""
    url = httpx.URL(server_url)
    host = f"Host: {url.host}:{url.port}\r\n"
    asked = (
        f"HEAD /v1/namespaces/n/keys/k HTTP/1.1\r\n{host}\r\n"
        f"GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80), timeout=30) as raw:
        raw.sendall(asked.encode())
        came = b"".join(iter(lambda: raw.recv(65536), b""))
    first, body, *rest = came.split(b"\r\n\r\n")
    assert b"etag:" in first.lower()
    assert body.startswith(b"HTTP/1.1 200 ")
    assert rest == [b'{"status":"ok"}']


def test_what_has_no_get_has_no_head(client: httpx.Client) -> None:
    for path, allowed in (
        ("/v1/batch", "POST"),
        ("/v1/namespaces/n/keys/k/increment", "POST"),
    ):
        answer = client.head(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    for path, allowed in (
        ("/v1/namespaces/n/keys/k", "DELETE, GET, HEAD, PUT"),
        ("/healthz", "GET, HEAD"),
    ):
        answer = client.post(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_a_head_is_a_read_for_rights_and_limits(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'memory.db'}"
    _, reader = make_key(database, right="read", namespaces=("mine",), rate=3)
    with running(tmp_path / "memory.db") as process:
        with httpx.Client(base_url=read_url(process), timeout=30) as http:
            path = "/v1/namespaces/mine/keys"
            assert http.head(path).status_code == 401
            http.headers["Authorization"] = f"Bearer {reader}"
            answer = http.head(path)
            assert answer.status_code == 200
            assert answer.headers["ratelimit"].startswith('"key-requests";r=2')
            assert http.head("/v1/namespaces/yours/keys").status_code == 403
            assert http.head(path).status_code == 200
            assert http.head(path).status_code == 429
        process.terminate()
