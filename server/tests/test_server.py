"""The server over a real port: exact names, clear problems, and nothing lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from botwire import Memory, ProtocolError, TransportError, wire
from botwire.engines.opening import open_async_engine
from botwire.engines.protocol import AsyncEngine
from botwire.errors import PROBLEM_TYPES
from botwire.operations import Batch, Results
from botwire.places import find_place
from botwire_server.app import create_app
from conftest import read_url, start_server

ODD = ["a", "a/b", "/", "..", "../x", ".", "%", "%2F", "a%2Fb", "?", "#", " ", "\n", "\x00", "é",
       "😀", "\ud800", "a;b", "a+b", "a&b=c", "x" * 1024, "keys", "increment"]  # fmt: skip


def segment(name: str) -> str:
    """Returns a name as one segment of a path."""
    quoted = quote(name, safe="", errors="surrogatepass")
    return quoted.replace(".", "%2E") if set(name) == {"."} else quoted


@pytest.fixture
def base(server_url: str, namespace: str) -> str:
    """The URL of an empty namespace."""
    return f"{server_url}/v1/namespaces/{namespace}"


def problem(response: httpx.Response, status: int, says: str = "") -> dict[str, Any]:
    """Checks that an answer is a problem document, and returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] in PROBLEM_TYPES
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert says in document["detail"]
    return document


# --- REST -----------------------------------------------------------------------------------


def test_any_name_works_in_a_path(base: str) -> None:
    with httpx.Client() as http:
        for name in ODD:
            answer = http.put(f"{base}/keys/{segment(name)}", json={"value": f"<{name!r}>"})
            assert answer.status_code == 200, (name, answer.text)
            http.post(f"{base}/histories/{segment(name)}/items", json={"values": [repr(name)]})
        for name in ODD:
            found = http.get(f"{base}/keys/{segment(name)}").json()
            assert (found["key"], found["value"]) == (name, f"<{name!r}>")
            items = http.get(f"{base}/histories/{segment(name)}/items").json()["items"]
            assert [item["value"] for item in items] == [repr(name)]
        assert http.get(f"{base}/keys").json() == {"keys": sorted(ODD), "more": False}
        for name in ODD:
            assert http.delete(f"{base}/keys/{segment(name)}").status_code == 204
            problem(http.get(f"{base}/keys/{segment(name)}"), 404)


def test_rest_and_the_client_see_the_same(base: str, server_url: str, namespace: str) -> None:
    memory = Memory(namespace, url=server_url)
    httpx.put(f"{base}/keys/k", json={"value": [1, None, 10**40]})
    httpx.put(f"{base}/keys/raw", content=b"\x00\xff",
              headers={"Content-Type": "application/octet-stream"})  # fmt: skip
    assert memory.get_many(["k", "raw"]) == {"k": [1, None, 10**40], "raw": b"\x00\xff"}
    assert httpx.get(f"{base}/keys/raw").json()["bytes"] == "AP8="
    assert httpx.post(f"{base}/keys/n/increment", json={"by": 5}).json() == {"result": 5}
    assert memory.get("n") == 5
    assert httpx.get(f"{base}/keys", params={"prefix": "r"}).json()["keys"] == ["raw"]


def test_histories(base: str) -> None:
    url = f"{base}/histories/h"
    body = {"values": ["a", "b", "c"], "ids": ["1", None, "3"]}
    assert httpx.post(f"{url}/items", json=body).json() == {"result": [1, 2, 3]}
    assert httpx.post(f"{url}/items", json={"values": ["a"], "ids": ["1"]}).json()["result"] == [1]
    problem(httpx.post(f"{url}/items", json={"values": ["d"], "if_last": 1}), 409, "ends at 3")
    newest = httpx.get(f"{url}/items", params={"newest_first": True, "limit": 2}).json()
    assert ([item["value"] for item in newest["items"]], newest["more"]) == (["c", "b"], True)
    assert httpx.post(f"{url}/archive", json={"up_to": 1}).json() == {"result": 1}
    assert httpx.get(url).json()["archived"] == 1
    assert httpx.post(f"{url}/pop").json()["value"] == "c"
    assert httpx.delete(f"{url}/items/2").status_code == 204
    problem(httpx.delete(f"{url}/items/2"), 404)
    assert httpx.put(f"{url}/items", json={"values": ["z"]}).json() == {"result": [4]}
    assert httpx.get(f"{base}/histories").json()["histories"][0]["count"] == 1
    assert httpx.delete(url).json() == {"result": 1}


def test_a_repeated_request_lands_once(base: str) -> None:
    for _ in range(3):
        answer = httpx.post(
            f"{base}/keys/n/increment", json={"by": 1}, headers={"Idempotency-Key": "one"}
        )
        assert answer.json() == {"result": 1}


BAD: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/nope", {}, 404, "nothing at this path"),
    ("PATCH", "/v1/batch", {}, 405, "PATCH"),
    ("POST", "/v1/batch", {"content": "{"}, 400, "not JSON"),
    ("POST", "/v1/batch", {"content": b"\xff\xfe\xfa"}, 400, "not JSON"),
    ("POST", "/v1/batch", {"content": "[" * 100_000}, 400, "nested too deeply"),
    ("POST", "/v1/batch", {"content": "[]"}, 400, "must be an object"),
    ("POST", "/v1/batch", {"json": {"namespace": "", "operations": []}}, 400, "namespace"),
    ("POST", "/v1/batch", {"json": {"namespace": "n", "operations": [{"op": "x"}]}}, 400, "op"),
    ("PUT", "/v1/namespaces/n/keys/k", {"content": '{"value": NaN}'}, 400, "NaN"),
    ("PUT", "/v1/namespaces/n/keys/k", {"content": '{"value": 1e999}'}, 400, "inf"),
    ("PUT", "/v1/namespaces/n/keys/k", {"json": {}}, 400, "value"),
    ("PUT", "/v1/namespaces/n/keys/k", {"json": {"value": 1, "ttl": -1}}, 400, "ttl"),
    ("PUT", "/v1/namespaces/n/keys/k", {"json": {"value": 1, "key": "other"}}, 400, "elsewhere"),
    ("PUT", "/v1/namespaces/n/keys/%FF", {"json": {"value": 1}}, 400, "UTF-8"),
    ("PUT", f"/v1/namespaces/n/keys/{'x' * 1025}", {"json": {"value": 1}}, 400, "1024"),
    ("PUT", f"/v1/namespaces/{'x' * 257}/keys/k", {"json": {"value": 1}}, 400, "256"),
    ("GET", "/v1/namespaces/n/keys?limit=0", {}, 400, "limit"),
    ("GET", "/v1/namespaces/n/keys?limt=5", {}, 400, "'limt': this path takes after, limit"),
    ("DELETE", "/v1/namespaces/n/keys/k?if_versoin=5", {}, 400, "if_versoin"),
    ("DELETE", "/v1/namespaces/n/keys", {}, 400, "all=true"),
    ("DELETE", "/v1/namespaces/n/keys?prefix=a&all=true", {}, 400, "all=true"),
    ("GET", "/v1/namespaces/n/keys?limit=x", {}, 400, "limit"),
    ("DELETE", "/v1/namespaces/n/histories/h/items/x", {}, 400, "seq"),
    ("POST", "/v1/namespaces/n/histories/h/items", {"json": {"values": 1}}, 400, "values"),
    ("GET", "/v1/namespaces/$botwire/keys", {}, 403, "namespace"),
    ("PUT", "/v1/namespaces/%24botwire%2Fx/keys/k", {"json": {"value": 1}}, 403, "namespace"),
    ("POST", "/v1/batch", {"content": b" " * (17 * 1024 * 1024)}, 413, "bytes"),
    ("POST", "/v1/batch", {"content": iter([b" " * (1024 * 1024)] * 17)}, 413, "bytes"),
]


@pytest.mark.parametrize(("method", "path", "request_", "status", "says"), BAD, ids=range(len(BAD)))
def test_every_bad_request_is_a_problem_document(
    server_url: str, method: str, path: str, request_: dict[str, Any], status: int, says: str
) -> None:
    answer = httpx.request(method, server_url + path, **request_)
    document = problem(answer, status, says)
    assert "Traceback" not in document["detail"]
    assert httpx.get(f"{server_url}/readyz").json() == {"status": "ok"}


class BrokenEngine:
    """An engine that fails, from the first or from the second batch on."""

    def __init__(self, good: AsyncEngine | None = None) -> None:
        self._good = good

    async def apply(self, batch: Batch) -> Results:
        if self._good is None or batch.namespace == "n":
            raise RuntimeError("a secret")
        return await self._good.apply(batch)

    async def aclose(self) -> None:
        if self._good is not None:
            await self._good.aclose()


@pytest.mark.parametrize("knows_its_keys", [True, False])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", wire.BATCH_PATH, {"namespace": "n", "operations": [{"op": "count_keys"}]}),
        ("GET", "/v1/namespaces/n/keys/k", None),
    ],
)
async def test_a_fault_of_ours_is_a_problem_document_too(
    tmp_path: Path, *, knows_its_keys: bool, method: str, path: str, body: object
) -> None:
    good = open_async_engine(find_place(f"sqlite:///{tmp_path / 'memory.db'}"))
    engine = BrokenEngine(good if knows_its_keys else None)
    transport = httpx.ASGITransport(create_app(engine), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.request(method, path, json=body)
    await good.aclose()
    assert "secret" not in str(problem(answer, 500, "its log has the details"))


def test_it_describes_itself(server_url: str) -> None:
    assert httpx.get(f"{server_url}/healthz").json() == {"status": "ok"}
    page = httpx.get(f"{server_url}/docs")
    assert "/v1/batch" in page.text
    assert not re.search(r"<script|<link|<img|https?://(?!127)", page.text.split("<h2>")[0])
    assert "default-src 'none'" in page.headers["content-security-policy"]
    schema = httpx.get(f"{server_url}/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert "Problem" in schema["components"]["schemas"]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], f"{method} {path}"


def test_the_log_names_no_key_and_no_value(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "botwire", "serve", "--port", "0", "--database"]
    with log.open("w") as errors, subprocess.Popen(
        [*command, f"sqlite:///{tmp_path / 'm.db'}"], stdout=subprocess.PIPE, stderr=errors,
        text=True,
    ) as process:  # fmt: skip
        url = read_url(process)
        httpx.put(f"{url}/v1/namespaces/hush/keys/secret-key", json={"value": "secret-value"},
                  headers={"X-Request-ID": "mine-1"})  # fmt: skip
        process.terminate()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line.get("request_id") == "mine-1" and line["status"] == 200 for line in lines)
    assert "secret" not in log.read_text()
    assert "hush" not in log.read_text()


# --- faults ---------------------------------------------------------------------------------


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    acknowledged: list[str] = []
    for round_ in range(3):
        with start_server(database) as server:
            url = read_url(server)

            def write(who: int, url: str = url, round_: int = round_) -> None:
                with Memory("n", url=url, timeout=3) as memory:
                    history = memory.history("h")
                    with contextlib.suppress(TransportError):
                        for i in range(10_000):
                            batch = [f"{round_}:{who}:{i}:{part}" for part in range(3)]
                            history.extend(batch, ids=batch)
                            acknowledged.extend(batch)

            writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
            for writer in writers:
                writer.start()
            goal = (round_ + 1) * 100
            while len(acknowledged) < goal:
                assert any(writer.is_alive() for writer in writers)
            os.kill(server.pid, signal.SIGKILL)
            for writer in writers:
                writer.join()
    values = [item.value for item in Memory("n", url=f"sqlite:///{database}").history("h").read()]
    assert len(values) == len(set(values))
    assert set(acknowledged) <= set(values)
    assert len(values) % 3 == 0
    assert all(values[i][:-1] == values[i + 2][:-1] for i in range(0, len(values), 3))
    with contextlib.closing(sqlite3.connect(database)) as raw, raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_write_goes_on_across_a_restart(tmp_path: Path, unused_tcp_port: int) -> None:
    database, port = tmp_path / "memory.db", str(unused_tcp_port)
    with start_server(database, "--port", port) as server:
        url = read_url(server)
        memory = Memory("n", url=url, timeout=60)
        assert memory.increment("n") == 1
        server.kill()
    counted: list[int] = []

    def count() -> None:
        with contextlib.suppress(TransportError):
            counted.append(memory.increment("n"))

    writer = threading.Thread(target=count)
    with start_server(database, "--port", port) as server:
        writer.start()
        read_url(server)
        writer.join()
        if not counted:  # it gave up before the server was listening, so it was not applied
            counted.append(memory.increment("n"))
        assert counted == [2]
        memory.close()
        server.terminate()


def test_a_stopping_server_finishes_what_it_accepted(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    with start_server(database) as server:
        memory = Memory("n", url=read_url(server))
        memory.history("h").extend(range(1000))
        server.terminate()
        assert server.wait(30) in (0, -signal.SIGTERM)
        memory.close()
    assert Memory("n", url=f"sqlite:///{database}").history("h").count() == 1000


def test_a_file_used_embedded_is_served_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    Memory("n", url=url).set("k", "from before")
    with start_server(tmp_path / "memory.db") as server, Memory("n", url=read_url(server)) as there:
        assert there.get("k") == "from before"
        Memory("n", url=url).set("k", "beside it")
        assert there.get("k") == "beside it"
        server.terminate()


@pytest.fixture
def other_server() -> Iterator[str]:
    """The URL of a web server that is not BotWire."""

    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b"<html>Welcome</html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Logs nothing."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_server_is_a_protocol_error(other_server: str) -> None:
    with (
        Memory("n", url=other_server) as memory,
        pytest.raises(ProtocolError, match="is not a BotWire server"),
    ):
        memory.get("k")


# --- the command ----------------------------------------------------------------------------


def botwire(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "botwire", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def refused(*arguments: str) -> str:
    """Runs `botwire serve`, which must refuse in one line; returns the line."""
    done = botwire("serve", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("botwire: ")
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_what_the_command_refuses(tmp_path: Path, server_url: str) -> None:
    database = f"sqlite:///{tmp_path / 'm.db'}"
    port = server_url.rpartition(":")[2]
    assert "--port" in refused("--port", port, "--database", database)
    assert "--allow-anonymous" in refused("--host", "0.0.0.0", "--database", database)
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"junk" * 1000)
    free = ("--port", "0", "--database")
    assert "is not a SQLite database" in refused(*free, f"sqlite:///{junk}")
    assert "cannot be created" in refused(*free, f"sqlite:///{tmp_path / 'no' / 'm.db'}")
    assert "sqlite or postgresql" in refused(*free, "http://x.test")
    assert "no engine handles the URL" in refused(*free, "redis://x.test")


def test_the_command_is_one_of_botwires() -> None:
    shown = botwire("--help").stdout
    assert all(command in shown for command in ("serve", "config", "keys", "get"))
