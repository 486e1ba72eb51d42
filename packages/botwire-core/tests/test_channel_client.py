"""The client's channel: used if allowed, abandoned without errors, and nothing lands twice."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import trustme

from botwire import (
    AsyncMemory,
    AuthenticationError,
    ConfigurationError,
    Memory,
    PermissionDeniedError,
    RequestTimeoutError,
)
from botwire.cli import main
from botwire.engines.http import HTTPEngine, _async, _sync, blocking, channels, frames
from conftest import make_key, read_url, running, start_server
from tests.chaos.proxy import Proxy
from tests.clients import open_client

CHANNEL = "?channel=true"
# Applications served by uvicorn mostly run on uvloop, whose transports are not asyncio's.
on_both_loops = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_verdicts", {})
    monkeypatch.setattr(channels, "_FIRST_PAUSE", channels._LONGEST_PAUSE)
    monkeypatch.setattr(channels, "_OPEN_SECONDS", 30.0)  # the machine may be busy


@pytest.fixture(params=["blocking", "awaited"])
def flavor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Logged]:
    """A separate server that counts requests, behind a connection that can be cut."""
    with running(tmp_path / "memory.db") as process:
        url = read_url(process)
        proxy = Proxy(int(url.rpartition(":")[2]), lambda data: b'{"results":' in data)
        try:
            yield Logged(f"http://127.0.0.1:{proxy.port}{CHANNEL}", url, proxy)
        finally:
            proxy.close()
            process.terminate()


class Logged:
    def __init__(self, url: str, direct: str, proxy: Proxy) -> None:
        self.url = url
        self.direct = direct
        self.proxy = proxy

    def opened(self) -> int:
        """Returns how many channels the server has opened."""
        return self.count('method="GET",route="/v1/channel",status="101"')

    def count(self, labels: str) -> int:
        """Returns how many requests with these labels the server has answered."""
        for line in httpx.get(f"{self.direct}/metrics").text.splitlines():
            if line.startswith("botwire_requests_total{") and labels in line:
                return round(float(line.split()[-1]))
        return 0


async def test_many_calls_share_one_connection(logged: Logged, flavor: str) -> None:
    memory = open_client(flavor, "n", logged.url)
    for i in range(5):
        await memory.set("k", i)
    assert await memory.get("k") == 4
    assert logged.opened() == 1
    await memory.aclose()
    assert await memory.get("k") == 4  # as after every close
    await memory.aclose()


@on_both_loops
async def test_it_is_used_unasked(logged: Logged, flavor: str) -> None:
    memory = open_client(flavor, "n", logged.direct)
    for i in range(5):
        await memory.set("k", i)
    assert logged.opened() == 1
    assert logged.count('method="POST",route="/v1/batch",status="200"') == 5
    await memory.aclose()


def test_threads_share_one_connection(logged: Logged) -> None:
    with Memory("n", url=logged.url) as memory, ThreadPoolExecutor(16) as pool:
        memory.get("n")
        memory.get("n")
        list(pool.map(lambda _: memory.increment("n"), range(200)))
        assert memory.get("n") == 200
    assert logged.opened() == 1


@on_both_loops
async def test_tasks_share_one_connection(logged: Logged) -> None:
    memory = AsyncMemory("n", url=logged.url)
    await memory.get("n")
    await memory.get("n")
    await asyncio.gather(*(memory.increment("n") for _ in range(200)))
    assert await memory.get("n") == 200
    assert logged.opened() == 1
    await memory.aclose()


@on_both_loops
async def test_an_answer_that_is_lost_is_asked_for_again_and_lands_once(
    logged: Logged, flavor: str
) -> None:
    memory = open_client(flavor, "n", logged.url)
    for _ in range(3):
        await memory.increment("n")
    logged.proxy.lose_answers(1)
    assert await memory.increment("n") == 4  # over HTTP
    assert logged.proxy.lost == 1
    assert await memory.increment("n") == 5  # a new channel
    assert logged.opened() == 2
    logged.proxy.lose_answers(2)  # the channel's, and that of HTTP
    assert await memory.increment("n") == 6
    assert logged.proxy.lost == 3
    await memory.aclose()


def test_threads_lose_their_connection_and_nothing_lands_twice(logged: Logged) -> None:
    with Memory("n", url=logged.url) as memory, ThreadPoolExecutor(8) as pool:
        memory.get("n")
        for _ in range(6):
            logged.proxy.lose_answers(1)
            list(pool.map(lambda _: memory.increment("n"), range(20)))
        assert memory.get("n") == 120
    assert logged.proxy.lost >= 6


async def test_what_gets_no_answer_is_a_timeout_and_the_next_call_works(
    logged: Logged, flavor: str
) -> None:
    client: Any = Memory if flavor == "blocking" else AsyncMemory
    memory = client("n", url=logged.url)

    async def call(method: str, *args: Any) -> Any:
        answer = getattr(memory, method)(*args)
        return await answer if flavor == "awaited" else answer

    for _ in range(3):
        await call("increment", "n")
    logged.proxy.hold()
    memory.engine._timeout = 0.5
    with pytest.raises(RequestTimeoutError, match="may or may not have been applied"):
        await call("increment", "n")
    memory.engine._timeout = 30.0
    logged.proxy.release()
    assert await call("increment", "m") == 1
    assert await call("get", "n") in (3, 4)
    await call("close" if flavor == "blocking" else "aclose")


async def test_a_server_that_stops_is_followed_by_the_next(tmp_path: Path, flavor: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    database = tmp_path / "memory.db"
    memory = open_client(flavor, "n", f"http://127.0.0.1:{port}{CHANNEL}")
    with start_server(database, "--port", port) as process:
        read_url(process)
        for _ in range(3):
            await memory.increment("n")
        process.terminate()
        process.wait(30)
    with start_server(database, "--port", port) as process:
        read_url(process)
        assert await memory.increment("n") == 4
        process.kill()
    await memory.aclose()


async def follow(flavor: str, url: str, most: int) -> list[str]:
    """Returns the names of the first changes, as a program that only watches sees them."""
    memory = open_client(flavor, "n", url)
    names: list[str] = []
    async for change in memory.watch(after=0, poll=0.01):
        names.append(change.name)
        if len(names) == most:
            break
    await memory.aclose()
    return names


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the changes that were pushed, not read."""
    names: list[str] = []
    for engine in (_async.AsyncHTTPEngine, _sync.HTTPEngine):
        monkeypatch.setattr(engine, "pushed", _noting(engine.pushed, names))
    return names


def _noting(original: Any, names: list[str]) -> Any:
    if original.__module__.endswith("_async"):

        async def noting_async(self: Any, namespace: str, prefix: str, after: int) -> Any:
            async for page in original(self, namespace, prefix, after):
                names.extend(entry.name for entry in page.changes)
                yield page

        return noting_async

    def noting(self: Any, namespace: str, prefix: str, after: int) -> Any:
        for page in original(self, namespace, prefix, after):
            names.extend(entry.name for entry in page.changes)
            yield page

    return noting


def test_changes_are_pushed_and_a_broken_line_misses_none(
    logged: Logged, flavor: str, pushed: list[str]
) -> None:
    writer = Memory("n", url=f"{logged.direct}?channel=false")
    numbers = map(str, itertools.count())
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(lambda: asyncio.run(follow(flavor, logged.url, 100)))
        for _ in range(3):
            goal = len(pushed) + 2
            while len(pushed) < goal and not following.done():  # pushes resume after each break
                writer.set(next(numbers), 1)
            logged.proxy.cut()
        while not following.done():
            writer.set(next(numbers), 1)
        assert following.result() == [str(i) for i in range(100)]


def test_watchers_and_callers_of_threads_share_one_connection(
    logged: Logged, pushed: list[str]
) -> None:
    with Memory("n", url=logged.url) as memory:
        memory.get("k")
        memory.get("k")
        ready = threading.Barrier(5)

        def watch() -> list[str]:
            names = []
            ready.wait(30)
            for change in memory.watch(after=0):
                names.append(change.name)
                if change.name == "last":
                    return names
            raise AssertionError

        with ThreadPoolExecutor(4) as pool:
            watching = [pool.submit(watch) for _ in range(4)]
            ready.wait(30)
            for i in range(100):
                memory.set(f"{i}", i)
                assert memory.get(f"{i}") == i
            memory.set("last", 1)
            for one in watching:
                assert one.result(30) == [*map(str, range(100)), "last"]
    assert logged.opened() == 1
    assert pushed


def test_only_changes_with_the_prefix_are_pushed(logged: Logged, pushed: list[str]) -> None:
    with Memory("n", url=logged.url) as memory:
        memory.set("a/0", 0)
        memory.get("k")
        changes = memory.watch("a/", after=0)
        assert next(changes).name == "a/0"
        names = (change.name for change in changes)
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(
                lambda: list(itertools.takewhile(lambda name: name != "a/last", names))
            )
            while "a/1" not in pushed:  # until then, the watcher reads all changes
                memory.set("b", 0)
                memory.set("a/1", 0)
            memory.set("a/last", 0)
        assert set(following.result()) == {"a/1"}
        with pytest.raises(ConfigurationError, match="prefix"):
            next(memory.watch("x" * 2000))
    assert "b" not in pushed


def test_a_watcher_that_does_not_read_delays_no_caller(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "_MOST_PAGES", 5)
    with Memory("n", url=logged.url) as memory:
        memory.set("first", 0)
        memory.get("k")
        changes = memory.watch(after=0)
        assert next(changes).name == "first"
        memory.set("second", 0)
        assert next(changes).name == "second"
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: memory.set(f"{i:03}", i), range(200)))
        names = [next(changes).name for _ in range(200)]
        assert sorted(names) == [f"{i:03}" for i in range(200)]
        changes.close()
        assert memory.get("007") == 7
    assert logged.opened() == 1


def test_a_server_that_refuses_to_push_is_polled(tmp_path: Path) -> None:
    with running(tmp_path / "memory.db", "--max-streams", "1") as process:
        url = read_url(process)
        with Memory("n", url=url + CHANNEL) as memory:
            memory.get("k")
            memory.get("k")
            one, two = memory.watch(after=0, poll=0.01), memory.watch(after=0, poll=0.01)
            for i in range(5):
                memory.set(str(i), i)
                assert (next(one).name, next(two).name) == (str(i), str(i))
        process.terminate()


@pytest.mark.parametrize("refusal", ["404 Not Found", "426 Upgrade Required", "200 OK", "nonsense"])
async def test_where_channels_are_refused_it_is_http(
    server_url: str, namespace: str, flavor: str, refusal: str
) -> None:
    """An old server, a proxy that refuses, and one that answers something else."""
    with Refusing(server_url, f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode()) as front:
        memory = open_client(flavor, namespace, f"http://127.0.0.1:{front.port}{CHANNEL}")
        for i in range(10):
            assert await memory.increment("n") == i + 1
        assert front.asked == 1  # it is not asked repeatedly
        await memory.aclose()
        other = open_client(flavor, namespace, f"http://127.0.0.1:{front.port}{CHANNEL}")
        for _ in range(3):
            await other.get("n")
        assert front.asked == 1  # nor by other clients of this process
        front.refuses = False
        channels._verdicts[f"http://127.0.0.1:{front.port}"]._not_before = 0.0  # a while later
        for _ in range(3):
            await other.get("n")
        assert front.asked == 2
        await other.aclose()


async def test_an_upgrade_that_is_swallowed_is_http(
    server_url: str, namespace: str, flavor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_OPEN_SECONDS", 0.2)
    with Refusing(server_url, b"") as front:
        memory = open_client(flavor, namespace, f"http://127.0.0.1:{front.port}{CHANNEL}")
        for i in range(5):
            assert await memory.increment("n") == i + 1
        assert front.asked == 1
        await memory.aclose()


class Refusing:
    """A TCP proxy that answers requests for a channel itself."""

    def __init__(self, url: str, answer: bytes) -> None:
        self._to = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._answer = answer
        self.refuses = True
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                self._start(self._serve, client)

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _serve(self, client: socket.socket) -> None:
        first = client.recv(65536)
        if b"GET /v1/channel" in first:
            self.asked += 1
            if self.refuses:
                if self._answer:
                    client.sendall(self._answer)
                    client.shutdown(socket.SHUT_RDWR)
                return
        server = socket.create_connection(self._to)
        self._open.append(server)
        server.sendall(first)
        self._start(self._pump, client, server)
        self._pump(server, client)

    def _pump(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_RDWR)


def served_by(talk: Callable[[socket.socket], None], server_url: str) -> Refusing:
    """Returns a proxy whose channels lead to a function."""

    class Hostile(Refusing):
        def _serve(self, client: socket.socket) -> None:
            peeked = client.recv(65536, socket.MSG_PEEK)
            if b"GET /v1/channel" in peeked:
                self.asked += 1
                request = client.recv(65536)
                key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
                magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                accept = base64.b64encode(hashlib.sha1(key + magic).digest())
                client.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                with contextlib.suppress(OSError):
                    client.recv(65536)  # the first request
                    talk(client)
                    client.shutdown(socket.SHUT_RDWR)
            else:
                super()._serve(client)

    return Hostile(server_url, b"")


def message(payload: bytes) -> bytes:
    return struct.pack("!BBH", 0x82, 126, len(payload)) + payload


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        message(b"nonsense"),
        message(b'{"id": "x", "status": 200}\n{}'),
        message(b'{"id": 1}\n{}'),
        message(b'{"id": 1, "status": 200, "headers": 7}\n{}'),
        message(b'{"id": 99, "status": 200}\n{"results": []}'),  # no one waits for it
        b"\x83\x00",
        b"\xc2\x01x",
        b"\x82\x7e\xff",
        b"\x88\x02\x03\xf4",
        b"\x88\x02\x03\xe8",
    ],
)
async def test_a_channel_that_breaks_the_rules_is_left(
    server_url: str, namespace: str, flavor: str, sent: bytes
) -> None:
    with served_by(lambda client: client.sendall(sent), server_url) as front:
        memory = open_client(flavor, namespace, f"http://127.0.0.1:{front.port}{CHANNEL}")
        for i in range(4):
            assert await memory.increment("n") == i + 1
        assert front.asked == 1  # it never answered, so it is not retried at once
        await memory.aclose()


async def test_problems_are_the_errors_they_stand_for(tmp_path: Path, flavor: str) -> None:
    database = f"sqlite:///{tmp_path / 'memory.db'}"
    known, key = await asyncio.to_thread(make_key, database, right="read")
    with running(tmp_path / "memory.db") as process:
        url = read_url(process)
        client: Any = Memory if flavor == "blocking" else AsyncMemory
        memory = client("n", url=url + CHANNEL, api_key=key)

        async def call(method: str, *args: Any) -> Any:
            answer = getattr(memory, method)(*args)
            return await answer if flavor == "awaited" else answer

        for _ in range(3):
            assert await call("get", "k") is None
        with pytest.raises(PermissionDeniedError, match="right to write") as caught:
            await call("set", "k", 1)
        assert caught.value.request_id
        revoke = ["keys", "revoke", known.id, "--database", database]
        assert await asyncio.to_thread(main, revoke) == 0
        for _ in range(1000):
            try:
                await call("get", "k")
            except AuthenticationError:
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("a revoked key was accepted")
        await call("close" if flavor == "blocking" else "aclose")
        process.terminate()


@on_both_loops
async def test_over_tls(tmp_path: Path, flavor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, private = tmp_path / "chain.pem", tmp_path / "private.pem"
    chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    private.write_bytes(certificate.private_key_pem.bytes())
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    for module in (_async, _sync):
        module._trusting.cache_clear()
    options = ("--tls-cert", str(chain), "--tls-key", str(private))
    with running(tmp_path / "memory.db", *options) as process:
        url = read_url(process)
        memory = open_client(flavor, "n", url + CHANNEL)
        for i in range(5):
            await memory.set("k", "x" * 100_000 * i)
        assert await memory.get("k") == "x" * 400_000
        if flavor == "blocking":
            with Memory("n", url=url + CHANNEL) as shared, ThreadPoolExecutor(8) as pool:
                shared.get("k")
                list(pool.map(lambda _: shared.increment("n"), range(100)))
                assert shared.get("n") == 100
                assert shared.engine._channels._slots.get().channel.has_answered
        await memory.aclose()
        process.terminate()
    for module in (_async, _sync):
        module._trusting.cache_clear()


def test_a_forked_process_opens_a_channel_of_its_own(logged: Logged) -> None:
    with Memory("n", url=logged.url) as memory:
        for _ in range(3):
            memory.increment("n")
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                for _ in range(3):
                    memory.increment("n")
                os._exit(0)
            os._exit(1)
        for _ in range(3):
            memory.increment("n")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert memory.get("n") == 9
    assert logged.opened() == 2


def test_a_signal_handler_may_call_while_its_thread_waits(logged: Logged) -> None:
    with Memory("n", url=logged.url) as memory:
        for _ in range(3):
            memory.increment("n")
        seen = []

        def handler(*_: object) -> None:
            logged.proxy.release()
            seen.append(memory.increment("of the handler"))

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            logged.proxy.hold()
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            assert memory.increment("n") == 4
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert seen == [1]


def test_ctrl_c_in_the_middle_leaves_a_client_that_works(logged: Logged) -> None:
    with Memory("n", url=logged.url) as memory:
        for _ in range(3):
            memory.increment("n")
        logged.proxy.hold()

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            with pytest.raises(KeyboardInterrupt):
                memory.increment("n")
        finally:
            signal.signal(signal.SIGUSR1, before)
        logged.proxy.release()
        assert memory.increment("m") == 1
        assert memory.get("n") in (3, 4)


@on_both_loops
async def test_a_cancelled_call_leaves_the_others(logged: Logged) -> None:
    memory = AsyncMemory("n", url=logged.url)
    for _ in range(3):
        await memory.increment("n")
    logged.proxy.hold()
    first, second = (asyncio.create_task(memory.get("n")) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    logged.proxy.release()
    assert await second == 3
    with pytest.raises(asyncio.CancelledError):
        await first
    assert logged.opened() == 1
    await memory.aclose()


def test_loops_have_channels_of_their_own(logged: Logged) -> None:
    memory = AsyncMemory("n", url=logged.url)

    async def work() -> None:
        for _ in range(3):
            await memory.increment("n")

    for _ in range(2):
        asyncio.run(work())
    assert logged.opened() == 2
    assert Memory("n", url=logged.direct).get("n") == 6


def test_large_requests_go_over_http(logged: Logged) -> None:
    with Memory("n", url=logged.url) as memory:
        for _ in range(3):
            memory.set("large", "x" * 300_000)
            assert memory.get("large") == "x" * 300_000
    assert logged.count('method="POST",route="/v1/batch",status="200"') == 6


def test_with_channel_false_none_is_opened(logged: Logged) -> None:
    url = logged.url.replace("true", "false")
    with Memory("n", url=url) as memory, Memory("n", url=url) as same:
        for _ in range(3):
            memory.get("k")
            same.get("k")
    assert logged.opened() == 0


def test_a_proxy_of_the_environment_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    assert HTTPEngine("http://memory.test", channel=True)._channels is None
    monkeypatch.setenv("NO_PROXY", "memory.test")
    assert HTTPEngine("http://memory.test", channel=True)._channels is not None


@pytest.mark.parametrize("query", ["channel=maybe", "channel", "x=1", "channel=true&x=1"])
def test_other_parameters_of_a_url_are_refused(query: str) -> None:
    with pytest.raises(ConfigurationError, match="unknown parameter"):
        Memory("n", url=f"http://memory.test?{query}")


@pytest.mark.parametrize("end", ["", "/", "?", "/?", "#", "/?#"])
def test_what_ends_a_url_in_vain_is_left_out(end: str) -> None:
    assert HTTPEngine(f"http://memory.test{end}").url == "http://memory.test"


def test_a_fragment_of_a_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has a fragment"):
        Memory("n", url="http://memory.test/#team")


def test_what_is_heard_from_an_idle_server_keeps_the_channel(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory("n", url=logged.url) as memory:
        for _ in range(3):
            memory.increment("n")
        monkeypatch.setattr(blocking, "_SILENT_SECONDS", 0.0)  # no ping has come since
        assert memory.increment("n") == 4
        monkeypatch.undo()
        assert memory.increment("n") == 5
    assert logged.opened() == 2


def test_the_wire_of_a_request() -> None:
    sent = frames.request(7, '{"namespace": "n"}', 'a "quoted" name')
    key = sent[2:6]
    plain = bytes(byte ^ key[i % 4] for i, byte in enumerate(sent[6:]))
    head, _, body = plain.partition(b"\n")
    assert json.loads(head) == {"id": 7, "headers": {"Idempotency-Key": 'a "quoted" name'}}
    assert body == b'{"namespace": "n"}'


ENDS = {
    "no close": """
memory = Memory("n", url=URL)
for i in range(4):
    memory.increment("n")
""",
    "a thread that still calls": """
import threading
memory = Memory("n", url=URL)
for i in range(4):
    memory.increment("n")
called = threading.Event()
def work():
    while True:
        memory.get("n")
        called.set()
threading.Thread(target=work, daemon=True).start()
called.wait()
""",
    "a thread that still watches": """
import threading
memory = Memory("n", url=URL)
for i in range(4):
    memory.increment("n")
told = threading.Event()
def work():
    for change in memory.watch(after=0):
        told.set()
threading.Thread(target=work, daemon=True).start()
told.wait()
""",
    "loops that end": """
import asyncio
memory = AsyncMemory("n", url=URL)
async def work():
    for i in range(4):
        await memory.increment("n")
    async for change in memory.watch(after=0):
        break
asyncio.run(work())
asyncio.run(work())
""",
    "a loop that is cancelled": """
import asyncio
memory = AsyncMemory("n", url=URL)
async def watch(told):
    async for change in memory.watch(after=0):
        told.set()
async def work():
    for i in range(4):
        await memory.increment("n")
    told = asyncio.Event()
    task = asyncio.create_task(watch(told))
    await told.wait()
asyncio.run(work())
""",
    "a fork": """
memory = Memory("n", url=URL)
for i in range(4):
    memory.increment("n")
child = os.fork()
memory.increment("n")
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
""",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_program_ends_without_a_word(server_url: str, namespace: str, how: str) -> None:
    program = f"import os\nfrom botwire import AsyncMemory, Memory\nURL = {server_url!r}\n"
    program += ENDS[how].replace('"n", url', f"{namespace!r}, url")
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
