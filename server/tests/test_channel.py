"""The channel: everything that applies to `POST /v1/batch` applies to requests on a channel."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import random
import resource
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from botwire import Memory, wire
from botwire.cli import main
from botwire.engines.opening import open_async_engine
from botwire.engines.protocol import AsyncEngine
from botwire.operations import Batch, Results
from botwire.places import find_place
from botwire_server.app import create_app
from botwire_server.channel import channels as channels_module
from botwire_server.channel import connection as channel_module
from botwire_server.protocol import GuardedProtocol
from botwire_server.settings import Settings
from conftest import make_key, read_url, running
from tests.zygote import SERVER, zygote_of

SECONDS = 30.0  # seconds for expected answers


def address_of(url: str) -> str:
    return url.replace("http", "ws", 1) + "/v1/channel"


@contextlib.contextmanager
def opened(url: str, key: str | None = None, **options: Any) -> Iterator[ClientConnection]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    options = {"compression": None, "open_timeout": SECONDS, **options}
    headers |= options.pop("additional_headers", {})
    with connect(address_of(url), additional_headers=headers, **options) as line:
        yield line


def body(*operations: dict[str, Any], namespace: str = "n") -> str:
    return json.dumps({"namespace": namespace, "operations": list(operations)})


def put(key: str, value: Any) -> dict[str, Any]:
    return {"op": "put_key", "key": key, "value": value}


def get(key: str) -> dict[str, Any]:
    return {"op": "get_keys", "keys": [key]}


def send(line: ClientConnection, name: int | str, content: str, **headers: str) -> None:
    head: dict[str, Any] = {"id": name}
    if headers:
        head["headers"] = {key.replace("_", "-"): value for key, value in headers.items()}
    line.send(json.dumps(head) + "\n" + content)


def receive(line: ClientConnection) -> tuple[dict[str, Any], dict[str, Any]]:
    message = line.recv(SECONDS)
    assert isinstance(message, str)
    head, _, rest = message.partition("\n")
    return json.loads(head), json.loads(rest)


def ask(line: ClientConnection, content: str, **headers: str) -> tuple[int, dict[str, Any]]:
    send(line, 1, content, **headers)
    head, answer = receive(line)
    assert head["id"] == 1
    return head["status"], answer


def closed_with(line: ClientConnection) -> int:
    """Waits until the server has closed the channel and returns its code."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            line.recv(SECONDS)
    assert caught.value.rcvd is not None
    return int(caught.value.rcvd.code)


# --- the same as over HTTP ------------------------------------------------------------------

BODIES = {
    "write": body(put("k", {"a": [1, None]})),
    "read": body(get("nothing")),
    "none": body(),
    "several": body(put("k", 1), {"op": "extend_history", "name": "h", "values": [1]}),
    "conflict": body({**put("k", 1), "if_version": 77}),
    "not JSON": "{",
    "nothing": "",
    "no batch": "[]",
    "unknown": body({"op": "nonsense"}),
    "repeated": '{"namespace": "n", "namespace": "n", "operations": []}',
    "deep": '{"namespace": "n", "operations": ' + "[" * 300 + "]" * 300 + "}",
    "the server's": body(get("k"), namespace="$botwire"),
    "too many": body(*[get("k")] * 10_001),
    "surrogates": body(put("\ud800", "\udfff"), get("\ud800")),
    "long": body(put("long", "x" * 300_000), get("long")),
}


@pytest.mark.parametrize("case", BODIES)
def test_it_answers_as_over_http(server_url: str, namespace: str, case: str) -> None:
    content = BODIES[case].replace('"n"', json.dumps(namespace))
    with opened(server_url) as line:
        status, answer = ask(line, content)
    Memory(namespace, url=server_url).clear()
    over_http = httpx.post(f"{server_url}/v1/batch", content=content)
    expected = over_http.json()
    answer.pop("request_id", None)
    expected.pop("request_id", None)
    for each in (answer, expected):  # versions grow
        if "results" in each and case in ("write", "several", "surrogates", "long"):
            each["results"] = len(each["results"])
    assert (status, answer) == (over_http.status_code, expected)


def test_values_of_items_come_apart_if_the_opening_request_asks(
    server_url: str, namespace: str
) -> None:
    content = body(
        {"op": "extend_history", "name": "h", "values": [["a"], {"b": 1}]},
        {"op": "read_history", "name": "h"},
        namespace=namespace,
    )
    asks = {"Accept": wire.APART}
    with opened(server_url, additional_headers=asks) as line:
        send(line, 1, content)
        message = line.recv(SECONDS)
        assert isinstance(message, str)
        head, answer, values = message.split("\n")
        assert json.loads(head)["headers"]["content-type"] == wire.APART
        sizes = [item[2] for item in json.loads(answer)["results"][1]["items"]]
        assert (sizes, values) == ([5, 7], '["a"]{"b":1}')
        send(line, 2, body(get("k"), namespace=namespace))
        assert "content-type" not in receive(line)[0]["headers"]
        assert ask(line, "{")[0] == 400
    for accepted, kind in ((wire.APART, wire.APART), ("*/*", "application/json")):
        over_http = httpx.post(
            f"{server_url}/v1/batch", content=content, headers={"Accept": accepted}
        )
        assert over_http.headers["Content-Type"].partition(";")[0] == kind


def test_a_write_lands_once_whichever_way_it_is_sent_again(server_url: str, namespace: str) -> None:
    content = body({"op": "increment_key", "key": "n", "by": 1}, namespace=namespace)
    with opened(server_url) as line:
        first = ask(line, content, Idempotency_Key="one")
        assert first[0] == 200
        assert ask(line, content, Idempotency_Key="one") == first
        status, problem = ask(line, content + " ", Idempotency_Key="one")
        assert (status, problem["type"]) == (422, "urn:botwire:problem:invalid-request")
    again = httpx.post(
        f"{server_url}/v1/batch",
        content=content,
        headers={"Idempotency-Key": "one", "Content-Type": "application/json"},
    )
    assert (again.status_code, again.json()) == first
    with opened(server_url) as line:
        assert ask(line, content, Idempotency_Key="one") == first
    assert Memory(namespace, url=server_url).get("n") == 1


def test_authors_ids_and_kinds_of_messages(server_url: str, namespace: str) -> None:
    with opened(server_url) as line:
        send(line, "x", body(put("k", 1), namespace=namespace),
             BotWire_Author="writer", X_Request_ID="mine")  # fmt: skip
        head, _ = receive(line)
        assert head == {"id": "x", "status": 200, "headers": {"x-request-id": "mine"}}
        line.send(b'{"id": 2}\n' + body(get("k"), namespace=namespace).encode())
        message = line.recv(SECONDS)
        assert isinstance(message, bytes)
        line_before, _, answer = message.partition(b"\n")
        (found,) = json.loads(answer)["results"]
    assert json.loads(line_before)["id"] == 2
    assert found[0]["author"] == {"agent": "writer"}


def test_what_is_no_websocket_is_told_so(server_url: str) -> None:
    url = f"{server_url}/v1/channel"
    answer = httpx.get(url)
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.json()["type"] == "urn:botwire:problem:invalid-request"
    assert httpx.post(url).status_code == 405
    wrong = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "8"}
    assert httpx.get(url, headers=wrong).status_code == 426
    elsewhere = {**wrong, "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "A" * 22 + "=="}
    assert httpx.get(f"{server_url}/healthz", headers=elsewhere).status_code == 200


def watch(line: ClientConnection, name: int, namespace: str, **given: Any) -> None:
    line.send(json.dumps({"id": name, "watch": {"namespace": namespace, **given}}))
    head, page = receive(line)
    assert (head["status"], head.get("more"), page["changes"]) == (200, True, [])


def test_changes_are_pushed_and_resume_after_a_revision(server_url: str, namespace: str) -> None:
    memory = Memory(namespace, url=server_url)
    memory.set("a/1", 1)
    with opened(server_url) as line:
        watch(line, 1, namespace)
        memory.set("a/2", 1)
        head, page = receive(line)
        assert (head["id"], [one["name"] for one in page["changes"]]) == (1, ["a/2"])
        assert ask_beside(line, body(get("a/1"), namespace=namespace)) == 200
        line.send('{"cancel": 1}')
    memory.set("b", 1)
    memory.set("a/3", 1)
    with opened(server_url) as line:
        watch(line, 1, namespace, after=page["revision"], prefix="a/")
        assert [one["name"] for one in receive(line)[1]["changes"]] == ["a/3"]


def ask_beside(line: ClientConnection, content: str) -> int:
    send(line, 2, content)
    head, _ = receive(line)
    assert head["id"] == 2
    return int(head["status"])


def test_more_watches_than_requests_in_flight(server_url: str, namespace: str) -> None:
    with opened(server_url) as line:
        for i in range(channel_module.IN_FLIGHT + 10):
            watch(line, 1000 + i, namespace)
        assert ask_beside(line, body(put("k", 1), namespace=namespace)) == 200
        told = {receive(line)[0]["id"] for _ in range(channel_module.IN_FLIGHT + 10)}
        assert told == {1000 + i for i in range(channel_module.IN_FLIGHT + 10)}


@pytest.mark.parametrize(
    ("namespace", "given", "status"),
    [("", {}, 404), ("$botwire", {}, 403), ("n", {"after": -1}, 400), ("n" * 999, {}, 400)],
)
def test_what_cannot_be_watched(
    server_url: str, namespace: str, given: dict[str, Any], status: int
) -> None:
    with opened(server_url) as line:
        line.send(json.dumps({"id": 1, "watch": {"namespace": namespace, **given}}))
        head, problem = receive(line)
    assert (head["status"], "more" in head, problem["status"]) == (status, False, status)


# --- access ---------------------------------------------------------------------------------


class Guarded:
    def __init__(self, url: str, database: str) -> None:
        self.url = url
        self.database = database

    def key(self, **fields: Any) -> tuple[Any, str]:
        return make_key(self.database, **fields)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server of two processes with keys; a channel may lead to either."""
    database = f"sqlite:///{tmp_path_factory.mktemp('guarded') / 'memory.db'}"
    make_key(database, right="admin")
    with running(database, "--workers", "2") as process:
        yield Guarded(read_url(process), database)
        process.terminate()


@pytest.mark.parametrize("key", [None, "bw_0123456789ab_" + "x" * 43, "nonsense"])
def test_nobody_opens_it_without_a_key(guarded: Guarded, key: str | None) -> None:
    with pytest.raises(InvalidStatus) as caught, opened(guarded.url, key):
        pass
    assert caught.value.response.status_code == 401
    assert json.loads(bytes(caught.value.response.body))["status"] == 401
    assert caught.value.response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("right", "pattern", "reads", "writes"),
    [
        ("read", "user-*", 200, 403),
        ("write", "user-*", 200, 200),
        ("write", "other", 403, 403),
        ("admin", "*", 200, 200),
        ("metrics", "*", 403, 403),
    ],
)
def test_a_key_opens_what_it_is_for(
    guarded: Guarded, right: str, pattern: str, reads: int, writes: int
) -> None:
    _, key = guarded.key(right=right, namespaces=(pattern,))
    with opened(guarded.url, key) as line:
        assert ask(line, body(get("k"), namespace="user-1"))[0] == reads
        assert ask(line, body(put("k", 1), namespace="user-1"))[0] == writes
        assert ask(line, body(get("k"), namespace="$botwire"))[0] == 403


def test_a_request_cannot_take_the_headers_of_another_key(guarded: Guarded) -> None:
    _, weak = guarded.key(right="read")
    _, strong = guarded.key(right="write")
    with opened(guarded.url, weak) as line:
        send(line, 1, body(put("k", 1)), Authorization=f"Bearer {strong}")
        assert closed_with(line) == 1008


def test_quotas_and_rates_are_those_of_http(guarded: Guarded) -> None:
    _, key = guarded.key(writes=2, rate=5)
    with opened(guarded.url, key) as line:  # one request
        send(line, 1, body(put("k", 1)))
        head, _ = receive(line)
        assert 'key-writes";r=1' in head["headers"]["ratelimit"]
        assert 'key-requests";r=3' in head["headers"]["ratelimit"]
        assert ask(line, body(put("k", 2)))[0] == 200
        assert ask(line, body(put("k", 3)))[0] == 429
        assert ask(line, body(get("k")))[0] == 200
        status, problem = ask(line, body(get("k")))
        assert (status, problem["type"]) == (429, "urn:botwire:problem:quota-exceeded")
        assert problem["retry_after"] > 0


def test_deletions_are_in_the_audit_log(guarded: Guarded) -> None:
    known, key = guarded.key()
    with opened(guarded.url, key) as line:
        assert ask(line, body(put("gone", 1)))[0] == 200
        deletion = body({"op": "delete_key", "key": "gone"})
        send(line, 1, deletion, X_Request_ID="audited-1")
        assert receive(line)[0]["status"] == 200
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["keys", "audit", "--json", "--database", guarded.database]) == 0
    lines = [one for one in out.getvalue().splitlines() if "audited-1" in one]
    assert len(lines) == 1
    assert known.id in lines[0]


def test_a_channel_ends_with_its_key(guarded: Guarded) -> None:
    known, key = guarded.key()
    _, other = guarded.key()
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(opened(guarded.url, key)) for _ in range(6)]  # on both workers
        kept = stack.enter_context(opened(guarded.url, other))
        for line in lines:
            assert ask(line, body(get("k")))[0] == 200
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["keys", "revoke", known.id, "--database", guarded.database]) == 0
        assert [closed_with(line) for line in lines] == [1008] * 6
        assert ask(kept, body(get("k")))[0] == 200


def test_pages_of_other_sites_open_no_channel(server_url: str) -> None:
    with pytest.raises(InvalidStatus) as caught, opened(server_url, origin="https://evil.test"):
        pass
    assert caught.value.response.status_code == 403
    with opened(server_url, origin=server_url) as line:  # the server's own page
        assert ask(line, body(get("k")))[0] == 200


# --- one process, from inside ---------------------------------------------------------------


class Held:
    """An engine that holds batches of the namespace ``held`` until released."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.gate = threading.Event()
        self.held = threading.Semaphore(0)
        self.withdrawn = threading.Event()

    async def apply(self, batch: Batch) -> Results:
        if batch.namespace == "held":
            self.held.release()
            try:
                while not self.gate.is_set():  # noqa: ASYNC110 - another thread sets it
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                self.withdrawn.set()
                raise
        return await self._engine.apply(batch)

    async def sweep(self) -> None:
        await self._engine.sweep()

    async def aclose(self) -> None:
        await self._engine.aclose()


class Inside:
    def __init__(self, url: str, engine: Held, server: uvicorn.Server, app: Any) -> None:
        self.url = url
        self.engine = engine
        self.server = server
        self.app = app

    def wait_until(self, reached: Callable[[], bool]) -> None:
        for _ in range(round(SECONDS * 100)):
            if reached():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it did not happen")


@pytest.fixture
def inside(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Inside]:
    """A server in a thread of this process."""
    engine = Held(open_async_engine(find_place(f"sqlite:///{tmp_path / 'memory.db'}")))
    app = create_app(engine, Settings(**getattr(request, "param", {})))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=GuardedProtocol, log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    made = Inside(f"http://127.0.0.1:{listener.getsockname()[1]}", engine, server, app)
    made.wait_until(lambda: server.started)
    yield made
    engine.gate.set()
    server.should_exit = True
    thread.join()


def test_answers_come_in_any_order(inside: Inside) -> None:
    with opened(inside.url) as line:
        send(line, "slow", body(get("k"), namespace="held"))
        send(line, "quick", body(get("k")))
        assert receive(line)[0]["id"] == "quick"
        inside.engine.gate.set()
        assert receive(line)[0]["id"] == "slow"


def test_a_request_that_is_withdrawn_stops_and_its_id_is_free(inside: Inside) -> None:
    with opened(inside.url) as line:
        send(line, 7, body(get("k"), namespace="held"))
        assert inside.engine.held.acquire(timeout=SECONDS)
        line.send('{"cancel": 7}')
        line.send('{"cancel": 8}')  # was answered already
        assert inside.engine.withdrawn.wait(SECONDS)
        inside.engine.gate.set()
        send(line, 8, body(get("k")))
        assert receive(line)[0]["id"] == 8


def test_who_leaves_withdraws_its_reads_and_not_its_writes(inside: Inside) -> None:
    with opened(inside.url) as line:
        send(line, 1, body(put("k", "written"), namespace="held"))
        send(line, 2, body(get("k"), namespace="held"))
        assert inside.engine.held.acquire(timeout=SECONDS)
        assert inside.engine.held.acquire(timeout=SECONDS)
    assert inside.engine.withdrawn.wait(SECONDS)
    inside.wait_until(lambda: not inside.server.server_state.connections)
    inside.engine.gate.set()
    with Memory("held", url=inside.url) as memory:
        inside.wait_until(lambda: memory.get("k") == "written")


def test_an_id_in_use_ends_the_channel(inside: Inside) -> None:
    with opened(inside.url) as line:
        send(line, 1, body(get("k"), namespace="held"))
        send(line, 1, body(get("k")))
        inside.engine.held.acquire(timeout=SECONDS)
        inside.engine.gate.set()
        assert receive(line)[0]["id"] == 1  # accepted requests are answered
        assert closed_with(line) == 1008


def test_it_takes_a_bounded_number_of_requests_at_a_time(inside: Inside) -> None:
    most = channel_module.IN_FLIGHT
    with opened(inside.url) as line:
        for i in range(most + 10):
            send(line, i, body(get("k"), namespace="held"))
        for _ in range(most):
            assert inside.engine.held.acquire(timeout=SECONDS)
        assert not inside.engine.held.acquire(timeout=0.2)
        inside.engine.gate.set()
        names = {receive(line)[0]["id"] for _ in range(most + 10)}
    assert names == set(range(most + 10))


@pytest.mark.parametrize("inside", [{"max_body": 100_000}], indirect=True)
def test_what_is_too_large_is_refused(inside: Inside) -> None:
    with opened(inside.url) as line:
        status, problem = ask(line, body(put("k", "x" * 100_000)))
        assert (status, problem["status"]) == (413, 413)
        assert ask(line, body(put("k", "x" * 90_000)))[0] == 200
        with contextlib.suppress(ConnectionClosed):
            send(line, 2, "x" * 150_000)
        assert closed_with(line) == 1009


@pytest.mark.parametrize("inside", [{"max_channels": 3}], indirect=True)
def test_a_caller_has_a_bounded_number_of_channels(inside: Inside) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            assert ask(stack.enter_context(opened(inside.url)), body(get("k")))[0] == 200
        with pytest.raises(InvalidStatus) as caught, opened(inside.url):
            pass
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "5"
    inside.wait_until(lambda: len(inside.app.state.channels) == 0)
    with opened(inside.url) as line:
        assert ask(line, body(get("k")))[0] == 200


def test_an_idle_channel_is_closed_and_one_at_work_is_not(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(inside.url) as idle, opened(inside.url) as busy:
        send(busy, 1, body(get("k"), namespace="held"))
        assert inside.engine.held.acquire(timeout=SECONDS)
        monkeypatch.setattr(channels_module, "IDLE_SECONDS", 0.0)
        assert closed_with(idle) == 1000
        monkeypatch.setattr(channels_module, "IDLE_SECONDS", 600.0)
        inside.engine.gate.set()
        assert receive(busy)[0]["id"] == 1


def test_an_idle_channel_gets_signs_of_life(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "PING_SECONDS", 0.0)
    with Raw(inside.url) as raw:
        raw.open()
        assert raw.connection.recv(2) == b"\x89\x00"


def test_who_does_not_read_is_not_read_from_either(inside: Inside) -> None:
    """Memory stays bounded: the requests of such a client stay in the network."""
    with Memory("n", url=inside.url) as memory:
        memory.set("big", "x" * 1_000_000)
    with Raw(inside.url, receive_buffer=4096) as raw:
        raw.open()
        raw.connection.settimeout(1.0)
        sent = 0
        with pytest.raises(TimeoutError):
            for i in range(10_000):
                content = b'{"id": %d}\n' % i + body(get("big")).encode() + b" " * 50_000
                raw.connection.sendall(frame(content))
                sent += 1
        assert sent < 2_000
    with opened(inside.url) as line:  # others are served
        assert ask(line, body(get("k")))[0] == 200
    inside.wait_until(lambda: not inside.server.server_state.connections)


def test_a_stop_answers_what_was_accepted_and_says_come_again(tmp_path: Path) -> None:
    with running(tmp_path / "memory.db") as process:
        url = read_url(process)
        sent: list[set[int]] = [set() for _ in range(4)]
        answered: list[set[int]] = [set() for _ in range(4)]
        codes: list[int] = []
        warm = threading.Barrier(5)

        def load(who: int) -> None:
            with opened(url) as line:
                try:
                    for i in range(100_000):
                        write = {"op": "extend_history", "name": f"h{who}", "values": [i]}
                        send(line, i, body(write), Idempotency_Key=f"{who}-{i}")
                        sent[who].add(i)
                        if i >= 8:
                            head, _ = receive(line)
                            assert head["status"] == 200
                            answered[who].add(head["id"])
                        if i == 50:
                            warm.wait(SECONDS)
                except ConnectionClosed:
                    pass
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        answered[who].add(receive(line)[0]["id"])
                assert line.close_code is not None
                codes.append(line.close_code)

        threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        warm.wait(SECONDS)
        process.terminate()
        for thread in threads:
            thread.join(SECONDS)
        assert process.wait(60) in (0, -signal.SIGTERM)
    assert codes == [1012] * 4
    for who in range(4):
        with Memory("n", url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:
            stored = {item.value for item in memory.history(f"h{who}")}
        assert stored == answered[who]  # every accepted request got its answer


# --- hostile --------------------------------------------------------------------------------


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, masked: bool = True,
          reserved: int = 0) -> bytes:  # fmt: skip
    first = (0x80 if fin else 0) | reserved | opcode
    mask = os.urandom(4) if masked else b""
    size = len(payload)
    flag = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    if masked:
        key = (mask * (size // 4 + 1))[:size]
        number = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
        payload = number.to_bytes(size, "big")
    return head + mask + payload


class Raw:
    """A connection on which anything can be sent."""

    def __init__(self, url: str, receive_buffer: int | None = None) -> None:
        address = httpx.URL(url)
        self._host = f"{address.host}:{address.port}"
        self.connection = socket.socket()
        if receive_buffer is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.connection.settimeout(SECONDS)
        self.connection.connect((address.host, address.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def open(self, extra: str = "") -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /v1/channel HTTP/1.1\r\nHost: {self._host}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"{extra}\r\n"
        )
        self.connection.sendall(head.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.connection.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return answer

    def close_code(self) -> int | None:
        """Reads to the end and returns the code of the close frame, if there is one."""
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while (at := answer.find(b"\x88")) < 0 or len(answer) < at + 4:
                came = self.connection.recv(65536)
                if not came:
                    return None
                answer += came
            return int(struct.unpack_from("!H", answer, at + 2)[0])
        return None


OK = b'{"id": 1}\n' + body(get("k")).encode()
HOSTILE = {
    "a reserved bit": (frame(OK, reserved=0x40), 1002),
    "two reserved bits": (frame(OK, reserved=0x30), 1002),
    "a reserved opcode": (frame(OK, 3), 1002),
    "a reserved control opcode": (frame(b"", 11), 1002),
    "no mask": (frame(OK, masked=False), 1002),
    "a continuation of nothing": (frame(OK, 0), 1002),
    "a message within a message": (frame(b"{", fin=False) + frame(OK), 1002),
    "a fragmented ping": (frame(b"", 9, fin=False), 1002),
    "a long ping": (frame(b"x" * 126, 9), 1002),
    "a close code that is none": (frame(struct.pack("!H", 1), 8), 1002),
    "a close frame of one byte": (frame(b"x", 8), 1002),
    "a size beyond all": (b"\x82\xff" + b"\x7f" + b"\xff" * 7 + b"mask", 1009),
    "a size that is negative": (b"\x82\xff" + b"\xff" * 8 + b"mask", 1009),
    "no UTF-8": (frame(b'{"id": 1}\n"\xff\xfe"'), 1007),
    "no line": (frame(b""), 1008),
    "a line that is no JSON": (frame(b"nonsense\n{}"), 1008),
    "a line without an id": (frame(b"{}\n{}"), 1008),
    "two ids": (frame(b'{"id": 1, "id": 2}\n{}'), 1008),
    "two headers of one name": (
        frame(b'{"id": 1, "headers": {"traceparent": "a", "traceparent": "b"}}\n{}'), 1008),
    "an id that is a list": (frame(b'{"id": [1]}\n{}'), 1008),
    "an id that is true": (frame(b'{"id": true}\n{}'), 1008),
    "an id that is a fraction": (frame(b'{"id": 1.5}\n{}'), 1008),
    "a long id": (frame(b'{"id": "%s"}\n{}' % (b"x" * 65)), 1008),
    "a huge id": (frame(b'{"id": %s}\n{}' % (b"9" * 5000)), 1008),
    "an unknown field": (frame(b'{"id": 1, "path": "/"}\n{}'), 1008),
    "headers that are a list": (frame(b'{"id": 1, "headers": []}\n{}'), 1008),
    "a header that is a number": (frame(b'{"id": 1, "headers": {"traceparent": 1}}\n{}'), 1008),
    "a header of the connection": (frame(b'{"id": 1, "headers": {"Host": "x"}}\n{}'), 1008),
    "a deep line": (frame(b"[" * 10_000), 1008),
    "a long line": (frame(b'{"id": "' + b"x" * 20_000 + b'"}\n'), 1008),
    "a watch of nothing": (frame(b'{"id": 1, "watch": {}}'), 1008),
    "a watch of a list": (frame(b'{"id": 1, "watch": ["n"]}'), 1008),
    "a watch after a fraction": (frame(b'{"id": 1, "watch": {"namespace": "n", "after": 1.5}}'),
                                 1008),
    "two cancels": (frame(b'{"cancel": [1]}'), 1008),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_frames_end_their_own_channel(server_url: str, case: str) -> None:
    sent, code = HOSTILE[case]
    with Raw(server_url) as raw, opened(server_url) as other:
        raw.open()
        raw.connection.sendall(sent)
        assert raw.close_code() == code
        assert ask(other, body(get("k")))[0] == 200


def test_fragments_and_pings_are_put_together(server_url: str) -> None:
    with Raw(server_url) as raw:
        raw.open()
        parts = [OK[i : i + 1] for i in range(len(OK))]
        raw.connection.sendall(frame(parts[0], fin=False))
        for part in parts[1:-1]:
            raw.connection.sendall(frame(part, 0, fin=False) + frame(b"are you there", 9))
        raw.connection.sendall(frame(parts[-1], 0))
        answer = b""
        while b'"results"' not in answer:
            came = raw.connection.recv(65536)
            assert came
            answer += came
    assert b'"status": 200' in answer
    assert answer.count(b"are you there") == len(parts) - 2


def test_compression_is_never_agreed_on(server_url: str) -> None:
    with Raw(server_url) as raw:
        answer = raw.open("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        assert b"extensions" not in answer.lower()
        raw.connection.sendall(frame(b"bomb" * 1000, reserved=0x40))
        assert raw.close_code() == 1002


def test_a_flood_of_pings_that_nobody_reads_the_answers_of(inside: Inside) -> None:
    with Raw(inside.url, receive_buffer=4096) as raw:
        raw.open()
        raw.connection.settimeout(1.0)
        pings = frame(b"x" * 125, 9) * 1000
        with pytest.raises(TimeoutError):
            for _ in range(1000):  # 130 MB
                raw.connection.sendall(pings)
        with opened(inside.url) as line:
            assert ask(line, body(get("k")))[0] == 200


def test_noise_breaks_nothing(server_url: str) -> None:
    chance = random.Random(20261129)
    for _ in range(100):
        with Raw(server_url) as raw, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            raw.open()
            for _ in range(chance.randint(1, 5)):
                payload = chance.randbytes(chance.choice([0, 1, 10, 125, 126, 70_000]))
                if chance.random() < 0.4:
                    payload = OK[: chance.randint(1, len(OK))] + payload
                raw.connection.sendall(
                    frame(
                        payload,
                        chance.choice([0, 1, 2, 8, 9, 10, chance.randrange(16)]),
                        fin=chance.random() < 0.7,
                        masked=chance.random() < 0.9,
                        reserved=chance.choice([0, 0, 0, 0x10, 0x20, 0x40]),
                    )
                )
                if chance.random() < 0.2:
                    raw.connection.sendall(chance.randbytes(20))
                    break
    with opened(server_url) as line:
        assert ask(line, body(get("k")))[0] == 200


SERVE_WITH_FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from botwire.cli import main
sys.exit(main())
"""


def test_a_thousand_channels_whatever_the_soft_limit_on_open_files(
    tmp_path: Path, namespace: str
) -> None:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1_000, most - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def ask_all(url: str) -> None:
        async with contextlib.AsyncExitStack() as stack:
            lines = []
            for _ in range(count):
                opening = connect_async(address_of(url), compression=None, open_timeout=SECONDS)
                lines.append(await stack.enter_async_context(opening))
            content = body({"op": "increment_key", "key": "n", "by": 1}, namespace=namespace)
            for line in lines:
                await line.send(f'{{"id": 1}}\n{content}')
            for line in lines:
                assert b'"status": 200' in str(await line.recv()).encode()

    command = ("serve", "--port", "0", "--database", f"sqlite:///{tmp_path / 'memory.db'}")
    try:
        with zygote_of(*SERVER).start(SERVE_WITH_FEW_FILES, *command) as process:
            url = read_url(process)
            asyncio.run(ask_all(url))
            assert Memory(namespace, url=url).get("n") == count
            process.terminate()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
