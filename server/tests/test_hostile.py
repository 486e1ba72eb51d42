"""Hostile requests get a problem document that says what is wrong, and the server continues."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import random
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from botwire import Memory, Record, wire
from botwire.engines.opening import open_async_engine
from botwire.errors import PROBLEM_TYPES
from botwire.places import find_place
from botwire_server import bodies
from botwire_server.app import create_app
from botwire_server.protocol import GuardedProtocol
from botwire_server.settings import Settings


def talk(url: str, *parts: bytes, read: bool = True) -> bytes:
    """Sends bytes on a new connection and returns everything received until it closes."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:  # the server stopped reading
                break
        answer = b""
        while read:
            try:
                came = connection.recv(65536)
            except ConnectionResetError:
                break
            if not came:
                break
            answer += came
        return answer


def check_problem(answer: bytes, statuses: set[int]) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in statuses, answer
    document = json.loads(body)
    assert b"application/problem+json" in head
    assert document["type"] in PROBLEM_TYPES
    assert document["status"] == status


K = b"/v1/namespaces/n/keys/k"
HOST = b"\r\nHost: localhost\r\nConnection: close\r\n"
PUT = b"PUT " + K + b" HTTP/1.1" + HOST

NOT_HTTP = {
    "noise": (b"\x00\xff\xfe\x16\x03\x01\r\n\r\n", {400}),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n", {400}),
    "version": (b"GET / HTTP/9.9" + HOST + b"\r\n", {400}),
    "method": (b"FROB / HTTP/1.1" + HOST + b"\r\n", {400}),
    "target": (b"OPTIONS * HTTP/1.1" + HOST + b"\r\n", {400, 404, 405}),
    "connect": (b"CONNECT x:80 HTTP/1.1" + HOST + b"\r\n", {400, 404, 405}),
    "elsewhere": (b"GET http://other/nope HTTP/1.1" + HOST + b"\r\n", {404}),
    "raw bytes in path": (b"GET /\xff\xfe HTTP/1.1" + HOST + b"\r\n", {400, 404}),
    "header name": (b"GET / HTTP/1.1" + HOST + b"a b: c\r\n\r\n", {400}),
    "header without name": (b"GET / HTTP/1.1" + HOST + b": c\r\n\r\n", {400}),
    "zero in header": (b"GET / HTTP/1.1" + HOST + b"a: \x00\r\n\r\n", {400}),
    "long header": (b"GET / HTTP/1.1" + HOST + b"a: " + b"x" * 300_000 + b"\r\n\r\n", {431}),
    "many headers": (b"GET / HTTP/1.1" + HOST + b"a: b\r\n" * 40_000 + b"\r\n", {431}),
    "long path": (b"GET /" + b"x" * 300_000 + b" HTTP/1.1" + HOST + b"\r\n", {431}),
    "two lengths": (PUT + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello", {400}),
    "length and chunks": (
        PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "negative length": (PUT + b"Content-Length: -1\r\n\r\n", {400}),
    "length in words": (PUT + b"Content-Length: five\r\n\r\n", {400}),
    "length of 5,000 digits": (PUT + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", {400}),
    "length beyond the bound": (PUT + b"Content-Length: 999999999999\r\n\r\n", {413}),
    "chunk size": (PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
    "endless chunk": (PUT + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n", {400}),
    "unknown transfer": (PUT + b"Transfer-Encoding: gzip\r\n\r\n", {400, 501}),
}


@pytest.mark.parametrize("case", NOT_HTTP)
def test_what_is_not_http_is_refused(server_url: str, case: str) -> None:
    sent, statuses = NOT_HTTP[case]
    check_problem(talk(server_url, sent), statuses)
    assert httpx.get(f"{server_url}/readyz").status_code == 200


def test_a_request_that_hides_in_another_is_none(server_url: str, namespace: str) -> None:
    hidden = b"PUT /v1/namespaces/" + namespace.encode() + b"/keys/hidden HTTP/1.1" + HOST
    hidden += b'Content-Length: 12\r\n\r\n{"value": 1}'
    body = b"0\r\n\r\n" + hidden
    for framing in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n",
    ):
        talk(server_url, PUT.replace(b"Connection: close\r\n", b"") + framing + body)
    assert Memory(namespace, url=server_url).get("hidden") is None


def test_a_trailer_never_becomes_a_header(server_url: str, namespace: str) -> None:
    path = f"PUT /v1/namespaces/{namespace}/keys/k HTTP/1.1".encode()
    head = path + HOST + b"Transfer-Encoding: chunked\r\nTrailer: If-None-Match\r\n\r\n"
    chunks = b'c\r\n{"value": 1}\r\n0\r\n'
    for _ in range(2):  # the second one would be refused if it were a header
        answer = talk(server_url, head + chunks + b"If-None-Match: *\r\n\r\n")
        assert answer.split()[1] in (b"200", b"201", b"204"), answer
    long = b"X: " + b"a" * 100_000
    check_problem(talk(server_url, head + chunks + long + b"\r\n\r\n"), {400, 431})


@pytest.mark.parametrize("second", [b"localhost", b"other.test"])
def test_two_host_fields_are_refused(server_url: str, second: bytes) -> None:
    sent = b"GET /readyz HTTP/1.1" + HOST + b"Host: " + second + b"\r\n\r\n"
    check_problem(talk(server_url, sent), {400})


@pytest.mark.parametrize(
    "name", ["Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key"]
)
def test_a_repeated_header_is_refused(server_url: str, name: str) -> None:
    again = f"{name}: gzip\r\n{name}: gzip\r\n\r\n".encode()
    check_problem(talk(server_url, b"GET " + K + b" HTTP/1.1" + HOST + again), {400})


TWICE = {
    "batch": ("POST", "/v1/batch", """{"namespace": "NS", "operations": [
        {"op": "put_key", "key": "k", "value": 1, "value": 2}]}"""),
    "batch, outside": ("POST", "/v1/batch", """{"namespace": "other", "namespace": "NS",
        "operations": [{"op": "put_key", "key": "k", "value": 1}]}"""),
    "batch, within a value": ("POST", "/v1/batch", """{"namespace": "NS", "operations": [
        {"op": "put_key", "key": "k", "value": {"a": [{"b": 1, "b": 2}]}}]}"""),
    "REST": ("PUT", "/v1/namespaces/NS/keys/k", '{"value": 1, "value": 2}'),
    "REST, within a value": ("PUT", "/v1/namespaces/NS/keys/k", '{"value": {"a": 1, "a": 2}}'),
    "REST, escaped": ("PUT", "/v1/namespaces/NS/keys/k", '{"value": {"a": 1, "\\u0061": 2}}'),
    "REST, items": ("POST", "/v1/namespaces/NS/histories/h/items",
                    '{"values": [{"a": 1, "a": 2}]}'),
    "0.2": ("PUT", "/memory/NS/k", '{"value": 1, "value": 2}'),
    "0.2, within a value": ("PUT", "/memory/NS/k", '{"value": {"a": 1, "a": 2}}'),
    "REST, large": ("PUT", "/v1/namespaces/NS/keys/k",
                    '{"value": {"a": "' + "x" * 300_000 + '", "b": 1, "b": 2}}'),
}  # fmt: skip


@pytest.mark.parametrize("case", TWICE)
def test_a_key_that_is_there_twice_is_refused_and_nothing_is_written(
    client: httpx.Client, namespace: str, case: str
) -> None:
    method, path, body = TWICE[case]
    answer = client.request(
        method,
        path.replace("NS", namespace),
        content=body.replace("NS", namespace),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in (400, 422), answer.text
    assert "twice" in answer.text
    assert client.get(f"/v1/namespaces/{namespace}/keys/k").status_code == 404
    assert client.get(f"/v1/namespaces/{namespace}/histories").json().get("histories", []) == []


SQL = "'; DROP TABLE botwire_keys; --\" OR 1=1 /* \\"
DEEP = "[" * 5000 + "]" * 5000
NS = "/v1/namespaces/n"
C = f"{NS}/collections/c"


def nested(name: str, levels: int) -> dict[str, Any]:
    """Returns an object in an object in an object …"""
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {name: inner}
    return inner


HOSTILE: list[tuple[str, str, Any, int]] = [
    ("PUT", f"{NS}/keys/k", '{"value": ' + DEEP + "}", 400),
    ("PUT", f"{NS}/keys/k", '{"value": ' + "[" * 300 + "]" * 300 + "}", 400),
    ("PUT", f"{NS}/keys/k", '{"value": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}", 400),
    ("PUT", f"{NS}/keys/k", '{"value": ' + "9" * 5000 + "}", 400),
    ("PUT", f"{NS}/keys/k", '{"value": Infinity}', 400),
    ("PUT", f"{NS}/keys/k", '{"value": [1e999]}', 400),
    ("PUT", f"{NS}/keys/k", b'{"value": "\xff"}', 400),
    ("PUT", f"{NS}/keys/k", b'{"value": "\xed\xa0\x80"}', 400),
    ("PUT", f"{NS}/keys/k", '{"value": 1}'.encode("utf-16"), 400),
    ("PUT", f"{NS}/keys/k", b'\xef\xbb\xbf{"value": 1}', 400),
    ("PUT", f"{NS}/keys/k", '{"value": 1} {}', 400),
    ("PUT", f"{NS}/keys/k", '{"value": 1, "ttl": NaN}', 400),
    ("PUT", f"{NS}/keys/k", '{"value": 1, "ttl": 1e308}', 400),
    ("PUT", f"{NS}/keys/k", '{"value": 1, "if_version": 1.0}', 400),
    ("PUT", f"{NS}/keys/k", '{"value": 1, "if_version": ' + "9" * 30 + "}", 400),
    ("PUT", f"{NS}/keys/k", "null", 400),
    ("PUT", f"{NS}/keys/k", "", 400),
    ("PUT", f"{NS}/keys/k", '{"bytes": "AP8"}', 400),
    ("POST", f"{NS}/keys/k2/increment", '{"by": ' + "9" * 4299 + "}", 200),
    ("POST", f"{NS}/keys/k2/increment", '{"by": ' + "9" * 4300 + "}", 400),
    ("POST", f"{NS}/keys/k3/increment", '{"by": "1"}', 400),
    ("POST", f"{NS}/entries/get", {"keys": [1]}, 400),
    ("POST", f"{NS}/entries/get", {"keys": "k"}, 400),
    ("POST", f"{NS}/entries/set", {"values": {"x" * 2000: 1}}, 400),
    ("GET", f"{NS}/keys?limit=" + "9" * 5000, None, 400),
    ("GET", f"{NS}/keys?after=", None, 400),
    ("GET", f"{NS}/keys?prefix=%FF", None, 400),
    ("GET", f"{NS}/histories/h/items?after=-1", None, 400),
    ("GET", f"{NS}/histories/h/items/99999999999999999999", None, 400),
    ("DELETE", f"{NS}/histories/h/items", None, 400),
    ("POST", f"{NS}/histories/h/items", {"values": [1], "ids": [""]}, 400),
    ("POST", f"{NS}/histories/h/items", {"values": [1], "ids": ["a", "b"]}, 400),
    ("POST", f"{NS}/histories/h/items", {"values": {"a": 1}}, 400),
    ("POST", f"{C}/records", {"records": [{"id": "r"}]}, 400),
    ("POST", f"{C}/records", {"records": [{"id": "r", "text": 1, "metadata": {}}]}, 400),
    ("POST", f"{C}/records", '{"records": [{"id": "r", "text": "", "metadata": {"a": NaN}}]}', 400),
    ("POST", f"{C}/search", {"text": "t", "min_score": "high"}, 400),
    ("POST", f"{C}/search", '{"text": "t", "min_score": 1e999}', 400),
    ("POST", f"{C}/search", {"vector": ["a"]}, 400),
    ("POST", f"{C}/search", {"vector": [1e300]}, 400),
    ("POST", f"{C}/search", {"text": "t", "limit": 10**6}, 400),
    ("POST", f"{C}/search", {"text": "t", "metric": SQL}, 400),
    ("POST", f"{C}/search", {"text": "t", "where": {"filter": {"$regex": "(a+)+$"}}}, 400),
    ("POST", f"{C}/search", {"text": "t", "where": {"filter": {"a": {"$regex": "x"}}}}, 400),
    ("POST", f"{C}/search", {"text": "t", "where": {"filter": nested("$not", 100)}}, 200),
    ("POST", f"{C}/search", {"text": "t", "where": {"filter": nested("$not", 900)}}, 400),
    ("GET", f"{C}/records?filter=" + '{"$or":[' * 900, None, 400),
    ("POST", "/v1/batch", {"namespace": "n", "operations": [{"op": SQL}]}, 400),
    ("POST", "/v1/batch", {"namespace": ["n"], "operations": []}, 400),
    ("POST", "/v1/batch", {"namespace": "n", "operations": [], "x": 1}, 400),
    ("GET", f"{NS}/keys/%2E%2E%2F%2E%2E", None, 404),
    ("GET", "/v1/namespaces//keys", None, 404),
    ("GET", "//v1/namespaces/n/keys", None, 404),
    ("GET", f"{NS}/keys/", None, 404),
    ("GET", "/v1/../openapi.json", None, 404),
    ("GET", "/v1/namespaces/n/../m/keys/k", None, 404),
    ("GET", f"{NS}/keys/%zz", None, 404),
    ("GET", f"{NS}/keys/%00", None, 404),
    ("PUT", "/memory/n/k", '{"value": ' + DEEP + "}", 422),
    ("PUT", "/memory/n/k", '{"value": ' + "[" * 300 + "]" * 300 + "}", 422),
    ("PUT", "/memory/n/k", '{"value": ' + "9" * 5000 + "}", 422),
    ("PUT", "/memory/n/k", '{"value": NaN}', 422),
    ("PUT", "/memory/n/k", b'{"value": "\xff"}', 422),
]


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server_url) as client:
        yield client


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_what_no_one_means_is_refused(client: httpx.Client, number: int) -> None:
    method, path, body, status = HOSTILE[number]
    content = json.dumps(body) if isinstance(body, (dict, list)) else body
    raw = content.encode() if isinstance(content, str) else content
    # The standard library sends a path as it is; httpx resolves dots.
    with closing(http.client.HTTPConnection(client.base_url.netloc.decode())) as connection:
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    assert answer.status == status, text[:500]
    if path.startswith("/memory"):  # a list of errors, as in 0.2.1
        assert json.loads(text)["detail"][0]["msg"]
    elif status >= 400:
        document = json.loads(text)
        assert document["type"] in PROBLEM_TYPES
        assert len(document["detail"]) < 1000
        assert "Traceback" not in text
    assert client.get("/readyz").status_code == 200


HEADERS: list[tuple[dict[str, str | bytes], int]] = [
    ({"If-Match": "x" * 10_000}, 400),
    ({"If-Match": '"a' + '", "a' * 5000}, 400),
    ({"If-None-Match": "W/"}, 400),
    ({"Idempotency-Key": "x" * 2000}, 400),
    ({"Idempotency-Key": b"\xff"}, 400),
    ({"Idempotency-Key": SQL}, 200),
    ({"Content-Encoding": "br"}, 415),
    ({"Content-Encoding": "gzip, gzip"}, 415),
    ({"Content-Encoding": "gzip"}, 400),
    ({"X-Request-ID": "\x7f" * 100}, 400),
    ({"X-Request-ID": "a b; DROP"}, 200),
    ({"Accept-Encoding": ";;;,,,q=,gzip;q="}, 200),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Host": "evil.example", "X-Forwarded-Host": SQL, "X-Forwarded-For": SQL}, 401),
    ({"Expect": "200-maybe"}, 200),
    ({"Range": "bytes=0-" + "9" * 5000}, 200),
]


@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_header_tricks(client: httpx.Client, namespace: str, number: int) -> None:
    headers, status = HEADERS[number]
    url = f"/v1/namespaces/{namespace}/keys/k"
    answer = client.put(url, content=b'{"value": 1}', headers=headers)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.json()["type"] in PROBLEM_TYPES
    assert client.get("/readyz").status_code == 200


def test_sql_is_text_like_any_other(client: httpx.Client, namespace: str) -> None:
    memory = Memory(namespace + SQL, url=str(client.base_url))
    memory.set(SQL, SQL)
    memory.history(SQL).append(SQL, id=SQL)
    records = memory.records(SQL)
    records.put([Record(SQL, SQL, {SQL: SQL, "a": 1}, [SQL], SQL)])
    one: dict[str, Any] = {SQL: SQL}
    for filter_ in (one, {SQL: {"$in": [SQL]}}, {"$or": [{"a": 2}, {SQL: {"$exists": True}}]}):
        assert records.count(filter=filter_) == 1
    assert records.count(filter={"a') OR 1=1 --": 1}) == 0
    assert [match.record.id for match in records.search(text="drop table", tags=[SQL])] == [SQL]
    assert memory.get(SQL) == SQL
    assert memory.history(SQL).tail(1) == [SQL]
    assert Memory(namespace, url=str(client.base_url)).list_keys() == []


def test_a_thousand_strange_names_work_everywhere(client: httpx.Client, namespace: str) -> None:
    chance = random.Random(20261126)
    parts = ["/", "..", ".", "%", "%2F", "%252f", "?", "#", "&", "=", "+", " ", ";", "\\", '"',
             "'", "\x00", "\n", "\r\n", "\x7f", "é", "e\u0301", "😀", "\ud800", "\udfff",
             "\u202e", "\ufeff", "\uffff", "keys", "items", "get", "*", "a", "A", "{key}",
             "null"]  # fmt: skip
    names: set[str] = set()
    while len(names) < 1000:
        name = "".join(chance.choices(parts, k=chance.randint(1, 5)))
        if not any(
            "\ud800" <= one <= "\udbff" and "\udc00" <= other <= "\udfff"
            for one, other in itertools.pairwise(name)
        ):  # a surrogate pair as two code points is the only invalid name
            names.add(name)
    ordered = sorted(names)
    base = f"/v1/namespaces/{namespace}"
    body = json.dumps({"values": {name: index for index, name in enumerate(ordered)}})
    assert client.post(f"{base}/entries/set", content=body).status_code == 200
    record = {"metadata": {}, "text": "t"}
    records = json.dumps({"records": [{"id": name, **record} for name in ordered]})
    assert client.post(f"{base}/collections/c/records", content=records).status_code == 200
    for index, name in enumerate(ordered):
        path = quote(name)
        found = client.get(f"{base}/keys/{path}").json()
        assert (found["key"], found["value"]) == (name, index)
        if index % 10 == 0:
            after = f"&after={quote(ordered[index - 1])}" if index else ""
            page = client.get(f"{base}/keys?limit=1{after}&prefix={path}").json()
            assert page["keys"] == [name]
            url = f"{base}/histories/{path}"
            assert client.post(f"{url}/items", json={"values": [index]}).status_code == 200
            assert client.get(f"{url}/items").json()["items"][0]["value"] == index
            found = client.get(f"{base}/collections/c/records/{path}").json()
            assert found["id"] == name
    assert client.get(f"{base}/keys").json() == {"keys": ordered, "more": False}


def quote(name: str) -> str:
    """Returns a name for a path or a query, with every byte encoded."""
    return "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass"))


# --- gzip -----------------------------------------------------------------------------------


def test_gzip_both_ways(client: httpx.Client, namespace: str) -> None:
    url = f"/v1/namespaces/{namespace}/keys/k"
    packed = gzip.compress(json.dumps({"value": "long " * 1000}).encode())
    sent = client.put(url, content=packed, headers={"Content-Encoding": "gzip"})
    assert sent.status_code == 200
    answer = client.get(url)
    assert answer.json()["value"] == "long " * 1000
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 500
    tag = answer.headers["etag"]
    plain = client.get(url, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["etag"] != tag
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
    assert client.put(url, json={"value": 1}, headers={"If-Match": tag}).status_code == 200


def test_a_bomb_does_not_go_off(client: httpx.Client, namespace: str) -> None:
    bomb = gzip.compress(b" " * (200 * 1024 * 1024))
    twice = gzip.compress(b'{"value": 1}') * 2
    cut = gzip.compress(json.dumps({"value": "x" * 100_000}).encode())[:-9]
    for packed, status in ((bomb, 413), (twice, 400), (cut, 400), (zlib.compress(b"{}"), 400)):
        answer = client.put(
            f"/v1/namespaces/{namespace}/keys/k",
            content=packed,
            headers={"Content-Encoding": "gzip"},
        )
        assert answer.status_code == status, answer.text
    assert client.get(f"/v1/namespaces/{namespace}/keys/k").status_code == 404


# --- slow clients ---------------------------------------------------------------------------


class Impatient(GuardedProtocol):
    head_seconds = 0.5
    unread_seconds = 1.0


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, set[Any]]]:
    """The URL of a server with time limits of half a second, and its connections."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.5)
    engine = open_async_engine(find_place(f"sqlite:///{tmp_path / 'memory.db'}"))
    app = create_app(engine, Settings(cors_origins=("https://console.example",)))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Impatient, log_config=None, timeout_keep_alive=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    port = listener.getsockname()[1]
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}", server.server_state.connections
    server.should_exit = True
    thread.join()


def test_slow_clients_are_sent_away(impatient: tuple[str, set[Any]]) -> None:
    """Each of these would otherwise hold its connection forever."""
    impatient_url, _ = impatient
    assert talk(impatient_url) == b""
    check_problem(talk(impatient_url, b"GET / HT"), {408})
    check_problem(talk(impatient_url, b"GET / HTTP/1.1\r\nHost: localhost\r\n"), {408})
    waiting = PUT.replace(b"Connection: close\r\n", b"")
    answer = talk(impatient_url, waiting + b"Content-Length: 12\r\n\r\n{")
    check_problem(answer, {408})
    answer = talk(impatient_url, waiting + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    check_problem(answer, {408})
    # After an answer, a byte between requests must not keep the connection.
    kept = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert talk(impatient_url, kept, b"\r\n").count(b"HTTP/1.1") == 1
    assert httpx.get(f"{impatient_url}/readyz").status_code == 200


def test_who_does_not_read_is_cut_off(impatient: tuple[str, set[Any]]) -> None:
    url, connections = impatient
    with Memory("n", url=url) as memory:
        memory.set("big", "x" * (8 * 1024 * 1024))
    address = httpx.URL(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((address.host, address.port))
        connection.sendall(b"GET /v1/namespaces/n/keys/big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(5) == b"HTTP/"
        assert connections
        deadline = time.monotonic() + 30
        while connections:
            assert time.monotonic() < deadline, "the connection was kept"
            threading.Event().wait(0.05)


def test_pages_of_other_sites_read_and_write_only_where_told(
    impatient: tuple[str, set[Any]],
) -> None:
    impatient_url, _ = impatient
    url = f"{impatient_url}/v1/namespaces/n/keys/k"
    mine, other = {"Origin": "https://console.example"}, {"Origin": "https://evil.example"}
    assert httpx.put(url, json={"value": 1}, headers=mine).status_code == 200
    assert httpx.put(url, json={"value": 2}, headers=other).status_code == 403
    assert httpx.put(url, json={"value": 3}, headers={"Origin": impatient_url}).status_code == 200
    asks = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match"}
    allowed = httpx.options(url, headers={**mine, **asks})
    assert allowed.headers["access-control-allow-origin"] == "https://console.example"
    refused = httpx.options(url, headers={**other, **asks})
    for answer in (refused, httpx.get(url, headers=other)):
        assert "access-control-allow-origin" not in answer.headers


MANY = "".join(f',"field {i}":1' for i in range(2_000))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/keys/k", '{"value":1' + MANY + "}"),
        ("POST", "/keys/k/increment", '{"by":1' + MANY + "}"),
        ("PUT", "/collections/c/records/r", '{"text":"tea"' + MANY + "}"),
        ("POST", "/collections/c/records", '{"records":[{"text":"tea"' + MANY + "}]}"),
        ("POST", "/histories/h/items", '{"values":[1]' + MANY + "}"),
        ("POST", "/collections/c/search", '{"text":"tea"' + MANY + "}"),
    ],
)
async def test_what_is_made_of_a_large_body_is_made_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: str
) -> None:
    threads = []

    def decode(*given: object, **more: object) -> object:
        threads.append(threading.current_thread())
        return decode_operation(*given, **more)

    decode_operation: Any = wire.decode_operation
    monkeypatch.setattr(wire, "decode_operation", decode)
    engine = open_async_engine(find_place("sqlite://"))
    transport = httpx.ASGITransport(create_app(engine))
    async with httpx.AsyncClient(base_url="http://localhost", transport=transport) as client:
        answer = await client.request(
            method,
            f"/v1/namespaces/n{path}",
            content=body,
            headers={"Content-Type": "application/json"},
        )
    assert answer.status_code == 400
    assert "field 0" in answer.json()["detail"]
    assert threads
    assert threading.current_thread() not in threads
