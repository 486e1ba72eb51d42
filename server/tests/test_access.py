"""API keys: callers without one are refused, others get exactly its rights, and nothing leaks."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire import (
    AuthenticationError,
    Author,
    ConfigurationError,
    Memory,
    PermissionDeniedError,
    Record,
)
from botwire import operations as ops
from botwire.cli import main
from botwire.engines.opening import open_async_engine, open_engine
from botwire.errors import ConflictError
from botwire.names import SYSTEM_NAMESPACE, matches
from botwire.places import find_place
from botwire_server import auth
from botwire_server.api_keys import APIKey, KeyStore
from botwire_server.app import create_app
from botwire_server.key_ring import STALE_SECONDS, KeyRing
from conftest import make_key, read_url, running


class Done(NamedTuple):
    """The output of a command, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def botwire(*arguments: str) -> Done:
    """Runs a command in this process, which is much faster than starting one."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
    return Done(code, out.getvalue(), errors.getvalue())


class Guarded:
    """A server over a database with keys.

    Attributes:
        url: Of the server.
        database: Its URL.
        path: Its file.
        admin: A key that may do everything.
    """

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.path = path
        self.database = f"sqlite:///{path}"
        _, self.admin = make_key(self.database, right="admin", label="all")

    def key(self, **fields: Any) -> str:
        return make_key(self.database, **fields)[1]

    def client(self, key: str | None) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that is running when its first key is created."""
    path = tmp_path_factory.mktemp("guarded") / "memory.db"
    with running(path) as process:
        url = read_url(process)
        assert httpx.get(f"{url}/v1/namespaces/n/keys").status_code == 200
        guarded = Guarded(url, path)
        deadline = time.monotonic() + 30  # the server only checks for a first key occasionally
        while httpx.get(f"{url}/v1/namespaces/n/keys").status_code == 200:
            assert time.monotonic() < deadline
        yield guarded
        process.terminate()


# --- who has none ---------------------------------------------------------------------------


def test_with_the_first_key_every_request_needs_one(guarded: Guarded) -> None:
    with guarded.client(None) as http:
        for method, path in (
            ("GET", "/v1/namespaces/n/keys"),
            ("POST", "/v1/batch"),
            ("PUT", "/memory/n/k"),
            ("GET", "/nope"),
            ("GET", "/v1/namespaces/n/watch"),
            ("GET", "//healthz"),
            ("GET", "/healthz/../v1/namespaces/n/keys"),
        ):
            answer = http.request(method, path, json={} if method != "GET" else None)
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"] == 'Bearer realm="botwire"'
            assert answer.json()["type"] == "urn:botwire:problem:unauthenticated"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
        for path in auth.PUBLIC:
            assert http.get(path).status_code == 200, path


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic {}", "{}", "Bearer {}x", "Bearer bw_{}", "Bearer é"],
)
def test_what_is_no_key_is_refused(guarded: Guarded, header: str) -> None:
    given = header.format(guarded.admin).encode("latin-1")
    with guarded.client(None) as http:
        answer = http.get("/v1/namespaces/n/keys", headers={b"Authorization": given})
    assert answer.status_code == 401
    assert "Authorization: Bearer bw_" in answer.json()["detail"]


def test_a_secret_of_another_key_is_refused(guarded: Guarded) -> None:
    id, other = guarded.admin.split("_")[1], guarded.key().split("_")[2]
    with guarded.client(f"bw_{id}_{other}") as http:
        assert http.get("/v1/namespaces/n/keys").status_code == 401


def test_a_client_is_told_what_to_do(guarded: Guarded) -> None:
    with Memory("n", url=guarded.url) as memory, pytest.raises(AuthenticationError) as refused:
        memory.get("k")
    assert "BOTWIRE_API_KEY" in str(refused.value)
    reader = guarded.key(right="read")
    with Memory("n", url=guarded.url, api_key=reader) as memory:
        assert memory.get("k") is None
        with pytest.raises(PermissionDeniedError, match=r"right to write in this namespace.*read"):
            memory.set("k", 1)
    with Memory("n", url=guarded.url, api_key=guarded.admin) as memory:
        assert memory.get("k") is None


# --- who has one ----------------------------------------------------------------------------

ALLOWED = [
    # right, pattern, namespace, may read, may write
    ("read", "user-*", "user-1", True, False),
    ("write", "user-*", "user-1", True, True),
    ("write", "user-*", "other", False, False),
    ("admin", "user-*", "other", False, False),
    ("admin", "*", "other", True, True),
    ("write", "a,b/*", "b/x", True, True),
    ("write", "a,b/*", "ab", False, False),
    ("metrics", "*", "user-1", False, False),
]


@pytest.mark.parametrize(("right", "patterns", "namespace", "reads", "writes"), ALLOWED)
def test_a_key_opens_what_it_is_for(
    guarded: Guarded, right: str, patterns: str, namespace: str, reads: bool, writes: bool
) -> None:
    key = guarded.key(right=right, namespaces=tuple(patterns.split(",")))
    segment = namespace.replace("/", "%2F")
    base = f"/v1/namespaces/{segment}"
    get: dict[str, Any] = {"op": "get_keys", "keys": ["k"]}
    put: dict[str, Any] = {"op": "put_key", "key": "k", "value": 1}
    asked: list[tuple[bool, str, str, Any]] = [
        (reads, "GET", f"{base}/keys", None),
        (reads, "GET", f"/memory/{segment}", None),
        (reads, "POST", "/v1/batch", {"namespace": namespace, "operations": [get]}),
        (reads, "POST", "/v1/batch", {"namespace": namespace, "operations": []}),
        (writes, "POST", "/v1/batch", {"namespace": namespace, "operations": [get, put]}),
        (writes, "PUT", f"{base}/keys/k", {"value": 1}),
        (writes, "PUT", f"/memory/{segment}/k", {"value": "1"}),
        (writes, "POST", f"{base}/histories/h/items", {"values": [1]}),
        (writes, "DELETE", f"{base}/keys/k", None),
        (False, "GET", "/v1/namespaces/%24botwire/keys", None),
        (False, "PUT", "/v1/namespaces/%24botwire/keys/k", {"value": 1}),
        (False, "GET", "/memory/%24botwire%2Fx", None),
    ]
    with guarded.client(key) as http:
        for may, method, path, body in asked:
            answer = http.request(method, path, json=body)
            assert (answer.status_code != 403) == may, (method, path, answer.text)
            assert answer.status_code in (200, 204, 403)


def test_nobody_learns_what_is_in_a_namespace_of_others(guarded: Guarded) -> None:
    with guarded.client(guarded.admin) as http:
        http.put("/v1/namespaces/theirs/keys/k", json={"value": "secret"})
    key = guarded.key(namespaces=("mine-*",))

    def ask(namespace: str) -> list[tuple[int, str]]:
        answers = []
        with guarded.client(key) as http:
            for method, path, body, headers in (
                ("GET", "keys/k", None, {}),
                ("GET", "keys/other", None, {}),
                ("GET", "keys", None, {}),
                ("DELETE", "keys/k", None, {"If-Match": '"1"'}),
                ("PUT", "keys/k", {"value": 1}, {"If-None-Match": "*"}),
                ("POST", "histories/h/items", {"values": [1], "if_last": 7}, {}),
                ("GET", "watch", None, {}),
                ("GET", "usage", None, {}),
            ):
                url = f"/v1/namespaces/{namespace}/{path}"
                answer = http.request(method, url, json=body, headers=headers)
                text = answer.text.replace(answer.headers["x-request-id"], "")
                answers.append((answer.status_code, text))
        return answers

    theirs = ask("theirs")
    assert theirs == ask("nobodys")
    assert {status for status, _ in theirs} == {403}


def test_only_an_administrator_of_everything_asks_about_the_store(guarded: Guarded) -> None:
    def names(key: str) -> list[str]:
        engine = open_engine(find_place(guarded.url, key))
        batch = ops.Batch(SYSTEM_NAMESPACE, (ops.ListNamespaces(),))
        (page,) = engine.apply(batch)
        return [entry.name for entry in page.namespaces]

    with Memory("listed", url=guarded.url, api_key=guarded.admin) as memory:
        memory.set("k", 1)
    assert "listed" in names(guarded.admin)
    assert not any(name.startswith(SYSTEM_NAMESPACE) for name in names(guarded.admin))
    for fields in ({"right": "write"}, {"right": "admin", "namespaces": ("l*",)}):
        with pytest.raises(PermissionDeniedError, match="admin in all namespaces"):
            names(guarded.key(**fields))


def test_who_may_not_forget_a_namespace_deletes_nothing_of_it(guarded: Guarded) -> None:
    with guarded.client(guarded.key(right="write")) as http:
        values = {f"k{i}": i for i in range(ops.PART + 1)}
        http.post("/v1/namespaces/kept/entries/set", json={"values": values})
        assert http.post("/v1/namespaces/kept/forget").status_code == 403
        count = http.get("/v1/namespaces/kept/entries/count").json()["result"]
    assert count == len(values)


async def test_a_key_ends_when_it_is_revoked_everywhere(guarded: Guarded) -> None:
    """Two servers on one store, which know nothing of each other."""
    engine = open_async_engine(find_place(guarded.database))
    keys = KeyStore(engine)
    found, key = await keys.create(who="a test", label="", namespaces=("*",), right="read")
    here = httpx.ASGITransport(create_app(engine))
    async with (
        httpx.AsyncClient(base_url=guarded.url) as there,
        httpx.AsyncClient(base_url="http://localhost", transport=here) as here_too,
    ):

        async def ask(http: httpx.AsyncClient) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return (await http.get("/v1/namespaces/n/keys", headers=headers)).status_code

        assert [await ask(http) for http in (there, here_too)] == [200, 200]
        await keys.revoke(found.id, who="a test")
        ended = time.monotonic()
        for http in (there, here_too):
            while await ask(http) != 401:
                assert time.monotonic() - ended < 30 * STALE_SECONDS
    await engine.aclose()


def test_a_stream_ends_with_its_key(guarded: Guarded) -> None:
    found, key = make_key(guarded.database)
    with (
        guarded.client(key) as http,
        http.stream("GET", "/v1/namespaces/n/watch") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        threading.Thread(
            target=botwire, args=("keys", "revoke", found.id, "--database", guarded.database)
        ).start()
        told = [line for line in lines if line.startswith("data: ")]
    assert json.loads(told[-1].removeprefix("data: "))["status"] == 401


# --- the command ----------------------------------------------------------------------------


def test_the_life_of_a_key(guarded: Guarded) -> None:
    database = ("--database", guarded.database)
    made = botwire("keys", "create", "--label", "ci", "--namespaces", "user-*,x", "--right", "read",
                   "--expires", "1d", *database)  # fmt: skip
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert re.fullmatch(r"bw_[0-9a-f]{12}_[0-9a-f]{64}", secret)
    id = secret.split("_")[1]
    with guarded.client(secret) as http:
        assert http.get("/v1/namespaces/user-1/keys").status_code == 200
        listed = botwire("keys", "list", "--json", *database)
        (row,) = [row for row in json.loads(listed.stdout) if row["id"] == id]
        assert (row["label"], row["right"], row["state"]) == ("ci", "read", "valid")
        assert row["namespaces"] == ["user-*", "x"]
        assert row["expires_at"] > row["created_at"]
        deadline = time.monotonic() + 30
        while row["last_used"] is None:  # it is written down beside the request
            assert time.monotonic() < deadline
            listed = botwire("keys", "list", "--json", *database)
            (row,) = [row for row in json.loads(listed.stdout) if row["id"] == id]

        rotated = botwire("keys", "rotate", id, "--overlap", "1h", *database)
        new = rotated.stdout.strip()
        assert http.get("/v1/namespaces/user-1/keys").status_code == 200
        with guarded.client(new) as other:
            assert other.get("/v1/namespaces/user-1/keys").status_code == 200
            assert other.get("/v1/namespaces/y/keys").status_code == 403

    table = botwire("keys", "list", *database).stdout
    assert table.splitlines()[0].split()[:3] == ["ID", "RIGHT", "NAMESPACES"]
    assert id in table
    everything = made.stderr + rotated.stderr + table + listed.stdout
    files = b"".join(file.read_bytes() for file in guarded.path.parent.iterdir())
    for part in (secret, new):
        assert part.split("_")[2] not in everything
        assert part.split("_")[2].encode() not in files

    log = botwire("keys", "audit", "--json", "-n", "1000", *database).stdout.splitlines()
    events = [entry for entry in map(json.loads, log) if entry.get("key") == id]
    assert [entry["event"] for entry in events] == ["key.create", "key.rotate"]
    assert all(entry["who"].startswith("command line of ") for entry in events)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("keys", "revoke", "nope"), "API key 'nope' does not exist"),
        (("keys", "create", "--namespaces", ","), "at least one pattern"),
        (("keys", "create", "--expires", "soon"), "ISO 8601"),
        (("keys", "create", "--expires", "0d"), "expired already"),
        (("keys", "create", "--expires", "2026-01-01"), "expired already"),
        (("keys", "create", "--rate", "few"), "a whole number, not 'few'"),
        (("keys", "create", "--database", "sqlite://"), "gone at once"),
        (("serve", "--database", "sqlite://", "--workers", "2", "--port", "0"), "of its own"),
        (("keys", "reset"), "--yes"),
        (("keys", "list", "--database", "http://x.test"), "sqlite or postgresql"),
    ],
)
def test_what_the_command_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.setenv("BOTWIRE_DATABASE", f"sqlite:///{tmp_path / 'memory.db'}")
    done = botwire(*arguments)
    assert done.returncode in (1, 2)  # not found, or failed
    assert says in done.stderr


def test_what_empties_or_replaces_a_history_is_in_the_audit_log(guarded: Guarded) -> None:
    with Memory("emptied", url=guarded.url, api_key=guarded.admin) as memory:
        history = memory.history("h")
        history.extend(["hush-hush", "two"])
        history.replace(["three"])
        history.replace([])
        history.append("four")
        history.clear()
    log = botwire("keys", "audit", "--json", "--database", guarded.database).stdout
    entries = [json.loads(line) for line in log.splitlines()]
    mine = [(one["event"], one["name"]) for one in entries if one.get("namespace") == "emptied"]
    assert [event for event, _ in mine] == ["replace_history", "replace_history", "clear_history"]
    assert {name for _, name in mine} == {"h"}
    assert "hush" not in log


def test_deletions_are_in_the_audit_log_without_values(guarded: Guarded) -> None:
    found, key = make_key(guarded.database)
    with guarded.client(key) as http:
        headers = {"X-Request-ID": "deletes-1"}
        http.put("/v1/namespaces/gone/keys/k", json={"value": "hush-hush"})
        assert http.delete("/v1/namespaces/gone/keys/k", headers=headers).status_code == 204
        assert http.delete("/v1/namespaces/gone/keys/k", headers=headers).status_code == 404
        http.post("/v1/namespaces/gone/histories/h/items", json={"values": ["hush-hush"]})
        http.delete("/v1/namespaces/gone/histories/h", headers=headers)
    with Memory("gone", url=guarded.url, api_key=guarded.admin) as memory:
        memory.engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.ForgetNamespace("gone"),)))
    log = botwire("keys", "audit", "--json", "--database", guarded.database).stdout
    entries = [entry for entry in map(json.loads, log.splitlines()) if "namespace" in entry]
    mine = [entry for entry in entries if entry["namespace"] == "gone"]
    assert [(one["event"], one["who"], one["name"], one["request_id"]) for one in mine[:2]] == [
        ("delete_key", found.id, "k", "deletes-1"),
        ("clear_history", found.id, "h", "deletes-1"),
    ]
    assert [one["event"] for one in mine[2:]] == ["forget_namespace"]
    assert "hush" not in log


# --- who wrote it ---------------------------------------------------------------------------


def test_the_server_says_which_key_wrote(guarded: Guarded) -> None:
    (mine, secret), (_, other) = make_key(guarded.database), make_key(guarded.database)
    with Memory("written", url=guarded.url, api_key=secret, author="ada") as memory:
        memory.set("first", 0)  # the first revision is above all forgotten ones
        after = memory.revision()
        memory.set("k", 1)
        memory.history("h").append(1)
        memory.by(None).records().put([Record("tea", "1")])
        seen = [memory.entry("k"), memory.history("h").read()[0], *memory.records().list()]
        changes = memory.watch(after=after)
        seen += [change for _, change in zip(range(3), changes, strict=False)]
        signed = Author("ada", key=mine.id), Author("ada", key=mine.id), Author(key=mine.id)
        assert [one.author for one in seen] == [*signed, *signed]
        memory.delete("k")
    with Memory("written", url=guarded.url, api_key=other) as memory:
        memory.history("h").update(1, 2)
        memory.history("h").append(3)
        assert {item.author.key for item in memory.history("h").read()} == {_id_of(other)}
    log = botwire("keys", "audit", "--json", "--database", guarded.database).stdout
    entries = [json.loads(line) for line in log.splitlines()]
    deleted = [one for one in entries if one.get("namespace") == "written"]
    assert [(one["who"], one["author"]) for one in deleted] == [(mine.id, "ada")]


def _id_of(secret: str) -> str:
    return secret.split("_")[1]


@pytest.mark.parametrize("claimed", ["key", "Key", "api_key"])
def test_no_client_claims_a_key(guarded: Guarded, claimed: str) -> None:
    author = {"agent": "ada", claimed: "0123456789ab"}
    put = {"op": "put_key", "key": "k", "value": 1}
    batch = {"namespace": "claimed", "operations": [put]}
    text = json.dumps(author)
    headers = {"BotWire-Author": text}
    for key in (guarded.key(), guarded.admin):
        with guarded.client(key) as http:
            refused = [
                http.post("/v1/batch", json={**batch, "author": author}),
                http.post("/v1/batch", json=batch, headers=headers),
                http.put("/v1/namespaces/claimed/keys/k", json={"value": 1}, headers=headers),
                http.put("/memory/claimed/k", json={"value": "1"}, headers=headers),
                http.post("/v1/batch", json={**batch, "operations": [{**put, "author": author}]}),
            ]
            assert [answer.status_code for answer in refused] == [400] * 5
            assert http.get("/v1/namespaces/claimed/keys").json()["keys"] == []


@pytest.mark.parametrize(
    ("header", "author"),
    [
        ("writer", {"agent": "writer"}),
        ('{"agent": "\\u00e9", "run": "1"}', {"agent": "\u00e9", "run": "1"}),
        ("{}", {}),
        ("{", None),
        ("", None),
        ('{"agent": ""}', None),
        ('{"agent": 7}', None),
        ('{"agent": "one", "agent": "two"}', None),
        ("a" * 129, None),
        (b"\xe9", None),
    ],
)
def test_the_header_of_an_author(guarded: Guarded, header: Any, author: Any) -> None:
    found, key = make_key(guarded.database)
    path = f"/v1/namespaces/{uuid.uuid4().hex}/keys/k"
    with guarded.client(key) as http:
        answer = http.put(path, json={"value": 1}, headers={"BotWire-Author": header})
        if author is None:
            assert answer.status_code == 400
            assert "BotWire-Author" in answer.json()["detail"]
        else:
            assert http.get(path).json()["author"] == {**author, "key": found.id}


def test_an_author_is_part_of_what_is_retried(guarded: Guarded) -> None:
    headers = {"Idempotency-Key": "1", "BotWire-Author": "ada"}
    with guarded.client(guarded.admin) as http:
        path = "/v1/namespaces/retried/keys/k"
        for by, status in (("ada", 200), ("ada", 200), ("bob", 422)):
            answer = http.put(path, json={"value": 1}, headers={**headers, "BotWire-Author": by})
            assert answer.status_code == status
        assert http.get(path).json()["author"]["agent"] == "ada"


# --- without keys ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "evil.test"}, 401),  # a name that resolves to this machine, as in DNS rebinding
        ({"Host": "127.0.0.1.evil.test"}, 401),
        ({"X-Forwarded-For": "203.0.113.9"}, 401),  # a proxy in front
        ({"X-Forwarded-Proto": "https"}, 401),
        ({"X-Real-IP": "203.0.113.9"}, 401),
        ({"Via": "1.1 proxy"}, 401),
        ({"CF-Connecting-IP": "203.0.113.9"}, 401),
        ({"X-Envoy-External-Address": "203.0.113.9"}, 401),
        ({"Authorization": "Bearer bw_anything"}, 200),  # a key that is not needed
    ],
)
def test_without_keys_only_programs_of_this_machine_get_in(
    server_url: str, headers: dict[str, str], status: int
) -> None:
    answer = httpx.get(f"{server_url}/v1/namespaces/n/keys", headers=headers)
    assert answer.status_code == status, answer.text


def test_without_keys_http_1_0_is_a_proxys(server_url: str) -> None:
    host, _, port = server_url.rpartition("/")[2].partition(":")
    head = b"GET /v1/namespaces/n/keys HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(head)
        assert connection.recv(4096).split()[1] == b"401"


def test_blanks_in_patterns_are_refused(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'memory.db'}"
    done = botwire("keys", "create", "--namespaces", "a, b", "--database", database)
    assert done.returncode != 0
    assert "blanks" in done.stderr


def test_with_keys_it_listens_beyond_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    _, key = make_key(f"sqlite:///{path}")
    with running(path, "--host", "0.0.0.0") as process:
        port = read_url(process).rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/v1/namespaces/n/keys"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200
        process.send_signal(signal.SIGTERM)


async def test_revoking_the_last_key_does_not_open_the_server(tmp_path: Path) -> None:
    engine = open_async_engine(find_place(f"sqlite:///{tmp_path / 'memory.db'}"))
    transport = httpx.ASGITransport(create_app(engine))
    keys = KeyStore(engine)
    made, _ = await keys.create(who="a test", label="", namespaces=("*",), right="read")
    await keys.revoke(made.id, who="a test")
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert (await http.get("/v1/namespaces/n/keys")).status_code == 401
    transport = httpx.ASGITransport(create_app(engine))
    await keys.reset(who="a test")
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert (await http.get("/v1/namespaces/n/keys")).status_code == 200
    await engine.aclose()


# --- inside ---------------------------------------------------------------------------------

few = st.text(st.sampled_from("ab/.*?["), max_size=8)


@given(few, few)
def test_a_pattern_is_literal_but_for_its_stars(pattern: str, namespace: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, namespace) == bool(re.fullmatch(expression, namespace, re.DOTALL))


def test_a_key_is_what_it_says() -> None:
    given: dict[str, Any] = {"id": "i", "digest": "d", "label": "", "created_at": 1}
    with pytest.raises(ConfigurationError, match="a right must be one of"):
        APIKey(**given, namespaces=("*",), right="root")
    with pytest.raises(ConfigurationError, match="at least one pattern"):
        APIKey(**given, namespaces=(), right="read")


class Counting:
    """An engine that counts requests."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.asked = 0

    async def apply(self, batch: ops.Batch) -> ops.Results:
        self.asked += 1
        results: ops.Results = await self.engine.apply(batch)
        return results


async def test_keys_are_remembered_and_checked_once_a_second(tmp_path: Path) -> None:
    engine = Counting(open_async_engine(find_place(f"sqlite:///{tmp_path / 'memory.db'}")))
    seconds, micros = 100.0, 10**12
    keys = KeyStore(engine, clock=lambda: micros)  # type: ignore[arg-type]
    ring = KeyRing(keys, timer=lambda: seconds)
    fields: dict[str, Any] = {"label": "", "namespaces": ("*",), "right": "read"}
    assert await ring.is_empty()
    made, secret = await keys.create(who="a test", **fields, expires_at=micros + 10**6)
    seconds += 0.001

    found = await asyncio.gather(*[ring.find(secret) for _ in range(20)])
    assert found == [made] * 20  # a new key works at once
    asked = engine.asked
    for _ in range(20):
        assert await ring.find(secret) == made
    assert engine.asked == asked  # and costs nothing more
    seconds += STALE_SECONDS * 2
    for _ in range(20):
        assert await ring.find(secret) == made
    assert engine.asked == asked + 1  # one check, because nothing changed

    await keys.revoke(made.id, who="a test")
    assert await ring.find(secret) == made
    seconds += STALE_SECONDS * 2
    assert await ring.find(secret) is None
    assert await ring.find_id(made.id) is None

    _, brief = await keys.create(who="a test", **fields, expires_at=micros + 10**6)
    seconds += 0.001
    assert await ring.find(brief) is not None
    micros += 10**6
    assert await ring.find(brief) is None  # it expired without any write
    with pytest.raises(ConflictError, match="has expired"):
        await keys.rotate(brief.split("_")[1], overlap=0.0, who="a test")
    assert await keys.reset(who="a test") == 2
    seconds += STALE_SECONDS * 2
    assert await ring.is_empty()
    await engine.engine.aclose()


async def test_a_slow_store_stops_nobody_else(tmp_path: Path) -> None:
    """A check takes longer than its result may be used: waiting callers must yield."""
    seconds = 100.0

    class Slow(Counting):
        async def apply(self, batch: ops.Batch) -> ops.Results:
            nonlocal seconds
            results = await super().apply(batch)
            seconds += STALE_SECONDS * 2
            return results

    engine = Slow(open_async_engine(find_place(f"sqlite:///{tmp_path / 'memory.db'}")))
    ring = KeyRing(KeyStore(engine), timer=lambda: seconds)  # type: ignore[arg-type]
    while engine.asked < 50:  # callers arrive all the time, even just as a check ends
        asks = [asyncio.create_task(ring.is_empty()) for _ in range(3)]
        await asyncio.sleep(0)
    assert all(await asyncio.gather(*asks))
    await engine.engine.aclose()


async def test_a_use_is_written_down_once_a_minute(tmp_path: Path) -> None:
    engine = Counting(open_async_engine(find_place(f"sqlite:///{tmp_path / 'memory.db'}")))
    micros = 10**12
    engine.engine.engine._clock = lambda: micros
    keys = KeyStore(engine, clock=lambda: micros)  # type: ignore[arg-type]
    made, _ = await keys.create(who="a test", label="", namespaces=("*",), right="read")
    ring = KeyRing(keys, timer=lambda: micros / 10**6)
    (before,) = await engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.ReadChanges(),)))
    for _ in range(300):
        ring.touch(made)
        await keys.touch(made.id)  # another process
        micros += 10**6
    await ring.aclose()
    (after,) = await engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.ReadChanges(),)))
    assert after.revision - before.revision in (5, 6)
    assert list(await keys.last_uses()) == [made.id]
    await engine.engine.aclose()


async def test_keys_are_kept_in_postgresql_too(postgres_url: str) -> None:
    name = f"test_{uuid.uuid4().hex}"  # with a key, all its servers require one
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        engine = open_async_engine(find_place(postgres_url.replace("/postgres?", f"/{name}?")))
        keys = KeyStore(engine)
        ring = KeyRing(KeyStore(engine))
        assert await ring.is_empty()
        fields: dict[str, Any] = {"label": "", "namespaces": ("user-*",), "right": "write"}
        made, secret = await keys.create(who="a test", **fields)
        assert await ring.find(secret) == made
        transport = httpx.ASGITransport(create_app(engine))
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as http:
            url = "/v1/namespaces/user-1/keys/k"
            assert (await http.put(url, json={"value": 1})).status_code == 200
            assert (await http.delete(url)).status_code == 204
        events = [entry["event"] for entry in await keys.audit(10)]
        assert events == ["key.create", "delete_key"]
        await keys.revoke(made.id, who="a test")
        assert await KeyRing(keys).find(secret) is None
        await engine.aclose()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


# --- retention ------------------------------------------------------------------------------


def test_administrators_set_policies_on_their_namespaces_only(guarded: Guarded) -> None:
    mine = guarded.key(namespaces=("team-a-*",), right="admin")
    writer = guarded.key(namespaces=("team-a-*",), right="write")
    with guarded.client(guarded.admin) as http:
        policy = {"name": "p", "namespaces": "team-*", "count": 100}
        assert http.put("/v1/retention", json=policy).status_code == 200
    with guarded.client(mine) as http:
        for allowed in ("team-a-*", "team-a-1", "team-a-*-x"):
            policy = {"name": "p", "namespaces": allowed, "count": 1}
            assert http.put("/v1/retention", json=policy).status_code == 200
        for pattern in ("*", "team-*", "team-b-1", "*team-a-1", "$botwire"):
            policy = {"name": "p", "namespaces": pattern, "count": 1}
            drop = {"name": "p", "namespaces": pattern}
            refused = [
                http.put("/v1/retention", json=policy),
                http.put("/v1/retention", json={"name": "h", "namespaces": pattern, "hold": True}),
                http.delete("/v1/retention", params=drop),
                http.get("/v1/retention", params={"within": pattern}),
                http.post("/v1/retention/apply", params={"within": pattern}),
            ]
            assert [answer.status_code for answer in refused] == [403] * 5, pattern
        assert http.get("/v1/retention").status_code == 403
        listed = http.get("/v1/retention", params={"within": "team-a-*"}).json()["result"]
        assert [one["namespaces"] for one in listed] == ["team-a-*", "team-a-*-x", "team-a-1"]
    with guarded.client(writer) as http:
        policy = {"name": "w", "namespaces": "team-a-1", "count": 1}
        assert http.put("/v1/retention", json=policy).status_code == 403
        assert http.post("/v1/retention/plan?within=team-a-1").status_code == 403
        batch = {"op": "trim_history", "name": "chat", "up_to": 9, "policy": "p"}
        body = {"namespace": "team-a-1", "operations": [batch]}
        assert http.post("/v1/batch", json=body).status_code == 403


def test_retention_is_applied_and_held_over_http(guarded: Guarded) -> None:
    secret = guarded.key(namespaces=("team-c-*",), right="admin")
    with (
        Memory("team-c-1", url=guarded.url, api_key=secret) as memory,
        guarded.client(secret) as http,
    ):
        memory.history("chat").extend(list(range(30)))
        within = {"within": "team-c-*"}
        policy = {"name": "ten", "namespaces": "team-c-*", "count": 10}
        assert http.put("/v1/retention", json=policy).json() == {"result": None}
        plan = http.post("/v1/retention/plan", params=within).json()
        assert (plan["count"], plan["removals"][0]["name"]) == (20, "chat")
        hold = {"name": "case", "namespaces": "team-c-1", "hold": True, "reason": "court"}
        http.put("/v1/retention", json=hold)
        refused = http.delete("/v1/namespaces/team-c-1/histories/chat")
        assert (refused.status_code, "(court)" in refused.json()["detail"]) == (403, True)
        assert http.post("/v1/retention/apply", params=within).json()["count"] == 0
        http.delete("/v1/retention", params={"name": "case", "namespaces": "team-c-1"})
        assert http.post("/v1/retention/apply", params=within).json() == plan
        assert memory.history("chat").count() == 10
    log = botwire("keys", "audit", "--json", "-n", "500", "--database", guarded.database).stdout
    entries = [json.loads(line) for line in log.splitlines()]
    told = [one["event"] for one in entries if one["who"] == _id_of(secret)]
    assert told == ["retention.set", "retention.hold", "retention.release", "retention.apply"]
    (applied,) = [
        one
        for one in entries
        if one["event"] == "retention.apply" and one["namespace"] == "team-c-1"
    ]
    assert (applied["policy"], applied["name"], applied["count"]) == ("ten", "chat", 20)
