"""Running a server: it starts, reports its state, is replaced, and stops without loss."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from botwire import Memory, TransportError
from botwire.cli import FAILED, NO, OK, UNREACHABLE, main
from botwire.engines.opening import open_async_engine
from botwire.places import find_place
from botwire_server import Settings
from botwire_server.api_keys import KeyStore
from botwire_server.app import create_app
from conftest import make_key, read_url, running
from tests.zygote import Program


def wait_until(reached: Callable[[], Any], what: str) -> Any:
    """Waits until a condition holds, and returns its value."""
    deadline = time.monotonic() + 60
    while not (found := reached()):
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)
    return found


def children(process: Program) -> list[int]:
    """Returns the child processes of a process."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class Writers:
    """Threads that append until they are joined, and record what was acknowledged."""

    def __init__(self, url: str, count: int = 4) -> None:
        self.acknowledged: list[str] = []
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(i,)) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def _write(self, who: int) -> None:
        with Memory("n", url=self._url, timeout=5) as memory:
            history = memory.history(f"h{who}")
            i = 0
            while not self._over.wait(0.01):  # other tests run at the same time
                # A slow machine may take longer than the time limit to start a worker.
                with contextlib.suppress(TransportError):
                    history.append(f"{who}:{i}", id=str(i))
                    self.acknowledged.append(f"{who}:{i}")
                    i += 1

    def reach(self, count: int) -> None:
        wait_until(lambda: len(self.acknowledged) >= count, f"{count} writes")

    def join(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def stored(database: Path) -> list[str]:
    with Memory("n", url=f"sqlite:///{database}") as memory:
        names = [info.name for info in memory.list_histories()]
        return [item.value for name in names for item in memory.history(name)]


# --- workers --------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def test_a_worker_that_dies_is_replaced_and_nothing_is_lost(database: Path) -> None:
    with running(database, "--workers", "2") as process:
        url = read_url(process)
        before = children(process)
        assert len(before) == 2
        writers = Writers(url)
        writers.reach(50)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(children(process)) - {before[0]}) == 2, "another worker")
        writers.reach(len(writers.acknowledged) + 50)
        text = httpx.get(f"{url}/metrics").text
        answered = re.findall(r'botwire_requests_total\{.*route="/v1/batch".*\} ([\d.]+)', text)
        assert sum(map(float, answered)) >= 50  # of all workers, including the dead one
        process.send_signal(signal.SIGHUP)  # replaces them one by one
        wait_until(lambda: not set(before) & set(children(process)), "new workers")
        writers.reach(len(writers.acknowledged) + 20)
        workers = children(process)
        process.kill()  # no worker outlives its supervisor
        process.wait()
        wait_until(lambda: not any(map(is_alive, workers)), "the end of the workers")
        writers.join()
    values = stored(database)
    assert set(writers.acknowledged) <= set(values)
    assert len(values) == len(set(values))


SUPERVISOR = """
import socket, sys
from botwire_server import Settings
from botwire_server.workers import Supervisor
listener = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
settings = Settings(database=sys.argv[1], workers=2)
Supervisor(settings, listener, url, alive_seconds=0.3).run()
"""


def test_a_worker_that_hangs_is_replaced_and_its_gauges_vanish(database: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, f"sqlite:///{database}"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        contextlib.ExitStack() as streams,
    ):
        try:
            url = read_url(process)
            before = children(process)

            def in_progress() -> float:
                text = httpx.get(f"{url}/metrics", timeout=60).text
                found = re.search(r"^botwire_requests_in_progress ([\d.]+)", text, re.MULTILINE)
                assert found
                return float(found[1])

            for _ in range(5):
                http = streams.enter_context(httpx.Client(base_url=url, timeout=60))
                streams.enter_context(http.stream("GET", "/v1/namespaces/n/watch"))
            assert in_progress() == 6  # the streams, and the request that asks
            for pid in before:
                os.kill(pid, signal.SIGSTOP)
            wait_until(
                lambda: len(children(process)) == 2 and not set(before) & set(children(process)),
                "workers that answer",
            )
            wait_until(lambda: in_progress() == 1, "gauges of nobody but the living")
        finally:
            process.terminate()


HANGING = """
import socket, sys
from botwire_server import Settings
from botwire_server.workers import Supervisor
worker = '''
import os, pathlib, sys
sys.stdin.readline()
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
if len(pathlib.Path(sys.argv[1]).read_text().split()) != 2:
    print("ready", flush=True)
sys.stdin.read()
'''
listener = socket.create_server(("127.0.0.1", 0))
program = (sys.executable, "-S", "-c", worker, sys.argv[1])
settings = Settings(workers=1, grace=0)
Supervisor(settings, listener, "ready", start_seconds=2, alive_seconds=9, program=program).run()
"""


def test_a_worker_that_hangs_before_it_serves_is_replaced(tmp_path: Path) -> None:
    """The second worker never reports that it is ready."""
    file = tmp_path / "workers"

    def started() -> list[int]:
        return [int(pid) for pid in file.read_text().split()]

    with subprocess.Popen(
        [sys.executable, "-c", HANGING, str(file)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            os.kill(started()[0], signal.SIGKILL)
            wait_until(lambda: len(started()) >= 3, "a third worker")
            assert not is_alive(started()[1])
        finally:
            process.terminate()


def test_sighup_does_not_end_a_server_of_one_process(database: Path) -> None:
    with running(database) as process:
        url = read_url(process)
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            assert httpx.get(f"{url}/readyz").status_code == 200
        assert process.poll() is None
        process.terminate()
        process.wait(30)


# --- `botwire ready` ------------------------------------------------------------------------


def ask_whether_ready(url: str, *options: str) -> int:
    return main(["ready", "--port", str(httpx.URL(url).port), *options])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_ready_asks_the_server_of_this_machine(
    server_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    for host in "127.0.0.1", "0.0.0.0":
        assert ask_whether_ready(server_url, "--host", host) == OK
        assert capsys.readouterr().out == f"{server_url} is ready\n"


def test_ready_says_that_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ready", "--port", str(free_port())]) == UNREACHABLE
    assert "no answer from http://127.0.0.1:" in capsys.readouterr().err
    assert main(["ready", "--port", "0"]) == FAILED
    assert "set the port" in capsys.readouterr().err


def test_ready_waits_for_a_server_that_starts_later(database: Path) -> None:
    port = str(free_port())
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(main, ["ready", "--port", port, "--wait", "60"])
        assert not waiting.done()
        with running(database, "--port", port) as process:
            read_url(process)
            assert waiting.result() == OK
            process.terminate()


# --- stopping -------------------------------------------------------------------------------


def test_a_stop_under_load_loses_nothing_and_answers_all_it_accepted(database: Path) -> None:
    with running(database) as process:
        url = read_url(process)
        failed: list[Exception] = []
        answered: list[int] = []
        stopping = threading.Event()

        def ask(who: int) -> None:
            with httpx.Client(base_url=url, timeout=30) as http:
                for i in range(100_000):
                    path = f"/v1/namespaces/n/histories/h{who}/items"
                    try:
                        answer = http.post(path, json={"values": [f"{who}:{i}"]})
                    except httpx.ConnectError:
                        return  # it was not accepted
                    except httpx.TransportError as error:
                        # A keep-alive connection may end before a request on it is read.
                        if not stopping.is_set() or not isinstance(
                            error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
                        ):
                            failed.append(error)
                        return
                    answered.append(answer.status_code)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answered) > 60, "some answers")
        stopping.set()
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGTERM)
        for thread in threads:
            thread.join()
    assert not failed
    assert set(answered) == {200}
    assert len(answered) <= len(stored(database)) <= len(answered) + len(threads)


def test_it_says_that_it_stops_and_goes_on_for_a_while(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(database, "--drain", "6") as process:
        url = read_url(process)
        with httpx.Client(base_url=url) as http:
            assert http.get("/readyz").status_code == 200
            process.terminate()
            wait_until(lambda: http.get("/readyz").status_code == 503, "not ready")
            assert ask_whether_ready(url) == NO
            assert "is not ready: the server is stopping" in capsys.readouterr().out
            answer = http.put("/v1/namespaces/n/keys/k", json={"value": 1})
            assert answer.status_code == 200
            assert http.get("/healthz").status_code == 200
            assert httpx.get(f"{url}/healthz").status_code == 200  # new connections too
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_ctrl_c_does_not_wait_for_the_drain(database: Path) -> None:
    with running(database, "--drain", "600") as process:
        read_url(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130, -signal.SIGINT)


def test_an_unfinished_request_is_waited_for_as_long_as_the_grace(database: Path) -> None:
    with running(database, "--grace", "1") as process:
        url = httpx.URL(read_url(process))
        with socket.create_connection((url.host, url.port)) as connection:
            head = "PUT /v1/namespaces/n/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9"
            connection.sendall(f"{head}\r\nExpect: 100-continue\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # it waits for the body
            process.terminate()
            with connection.makefile("rb") as answer:
                assert answer.readline().startswith(b"HTTP/1.1 503")
            assert process.wait(25) in (0, -signal.SIGTERM)  # it ended by itself


def test_a_write_that_the_end_cuts_off_reaches_the_next_server(database: Path) -> None:
    with ThreadPoolExecutor(1) as thread, running(database, "--grace", "1") as process:
        url = read_url(process)
        with Memory("n", url=url, timeout=120) as memory:
            for _ in range(3):
                memory.increment("k")  # over a channel
            with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                late = thread.submit(memory.increment, "k")
                metrics = re.compile(r"botwire_requests_in_progress\S* 2")  # and this one
                wait_until(lambda: metrics.search(httpx.get(f"{url}/metrics").text), "the write")
                process.terminate()
                process.wait(60)
            with running(database, "--port", url.rpartition(":")[2]) as following:
                read_url(following)
                assert late.result() == 4
                assert memory.get("k") == 4
                following.terminate()


BLOCKED = """
import sys, threading
from botwire_server import hosting
from botwire_server.settings import Settings
import socket

def create_app(*args, **options):
    app = make(*args, **options)
    @app.get("/block")
    async def block():
        print("blocked", flush=True)
        threading.Event().wait()
    return app

make, hosting.create_app = hosting.create_app, create_app
hosting._LAST_SECONDS = 0.1
listener = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
hosting.serve_listener(Settings(database=sys.argv[1], grace=0), listener, url)
"""


def test_a_blocked_event_loop_does_not_keep_a_server_from_ending(database: Path) -> None:
    command = [sys.executable, "-c", BLOCKED, f"sqlite:///{database}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = httpx.URL(read_url(process))
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(b"GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert process.stdout is not None
            assert process.stdout.readline() == "blocked\n"
            process.terminate()
            assert process.wait(30) == 1


# --- HTTPS and proxies ----------------------------------------------------------------------


def test_https_with_a_certificate_of_files(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(str(files["ca"]))
    certificate.cert_chain_pems[0].write_to_path(str(files["cert"]))
    certificate.private_key_pem.write_to_path(str(files["key"]))
    options = ("--tls-cert", str(files["cert"]), "--tls-key", str(files["key"]))
    with running(database, *options) as process:
        url = read_url(process)
        assert url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(files["ca"]))
        assert httpx.get(f"{url}/healthz", verify=context).status_code == 200
        assert ask_whether_ready(url, *options) == OK
        program = f"from botwire import Memory; print(Memory('n', url={url!r}).set('k', 1))"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "SSL_CERT_FILE": str(files["ca"])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "1"
        # Nobody has told this process about the authority.
        with pytest.raises(TransportError, match=r"is not trusted; .* SSL_CERT_FILE"):
            Memory("n", url=url).set("k", 2)
        process.terminate()


def test_what_a_proxy_says_is_believed_only_if_it_is_trusted(database: Path) -> None:
    key, secret = make_key(f"sqlite:///{database}")
    headers = {"X-Forwarded-For": "203.0.113.9", "Authorization": f"Bearer {secret}"}
    log = database.with_suffix(".log")
    command = [sys.executable, "-m", "botwire", "serve", "--port", "0", "--trust-proxy"]
    with log.open("w") as errors, subprocess.Popen(
        [*command, "127.0.0.2/32", "--database", f"sqlite:///{database}"],
        stdout=subprocess.PIPE, stderr=errors, text=True,
    ) as process:  # fmt: skip
        url = f"{read_url(process)}/v1/namespaces/hush/keys/k"
        for source in ("127.0.0.1", "127.0.0.2"):
            with httpx.Client(transport=httpx.HTTPTransport(local_address=source)) as http:
                assert http.get(url, headers=headers).status_code == 404
        process.terminate()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines = [line for line in lines if line["message"] == "request"]
    assert [line["client"] for line in lines] == ["127.0.0.1", "203.0.113.9"]
    for line in lines:
        assert line["key"] == key.id
        assert line["route"] == "/v1/namespaces/{namespace}/keys/{key}"
        assert not {"hush", secret} & set(json.dumps(line).split('"'))


# --- numbers and traces ---------------------------------------------------------------------


async def test_metrics_are_for_those_who_may_see_them(database: Path) -> None:
    engine = open_async_engine(find_place(f"sqlite:///{database}"))
    keys = KeyStore(engine)
    fields: dict[str, Any] = {"label": "", "namespaces": ("*",)}
    _, writer = await keys.create(who="a test", right="write", **fields)
    _, scraper = await keys.create(who="a test", right="metrics", **fields)
    transport = httpx.ASGITransport(create_app(engine))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for operation in (
            {"op": "put_key", "key": "secret", "value": 1},
            {"op": "get_keys", "keys": ["secret"]},
        ):
            body = {"namespace": "hush", "operations": [operation]}
            headers = {"Authorization": f"Bearer {writer}"}
            assert (await http.post("/v1/batch", json=body, headers=headers)).status_code == 200
        for key, status in ((None, 401), (writer, 403), (scraper, 200)):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            answer = await http.get("/metrics", headers=headers)
            assert answer.status_code == status
    await engine.aclose()
    assert answer.headers["content-type"].startswith("text/plain")
    numbers = dict(re.findall(r"^(botwire_[^ ]+) (.+)$", answer.text, re.MULTILINE))
    batches = 'botwire_requests_total{method="POST",route="/v1/batch",status="200"}'
    assert float(numbers[batches]) == 2
    assert float(numbers["botwire_commit_seconds_count"]) >= 1
    assert float(numbers["botwire_commit_batches_sum"]) >= 1
    assert float(numbers["botwire_store_bytes"]) > 4096
    assert "hush" not in answer.text
    assert "secret" not in answer.text


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans that are finished."""
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)  # frameworks' tests trace nothing
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


async def test_requests_are_traced_without_names(
    database: Path, spans: InMemorySpanExporter
) -> None:
    engine = open_async_engine(find_place(f"sqlite:///{database}"))
    transport = httpx.ASGITransport(create_app(engine, Settings()))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        url = "/v1/namespaces/hush/keys/secret"
        headers = {"traceparent": parent, "X-Request-ID": "mine"}
        answer = await http.put(url, json={"value": "private"}, headers=headers)
        assert answer.status_code == 200
    await engine.aclose()
    finished = {span.name.partition(" ")[0]: span for span in spans.get_finished_spans()}
    store, request = finished["botwire.apply"], finished["PUT"]
    assert request.name == "PUT /v1/namespaces/{namespace}/keys/{key}"
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["botwire.request_id"] == "mine"
    assert format(request.context.trace_id, "032x") == parent.split("-")[1]
    assert store.context.trace_id == request.context.trace_id
    assert store.attributes is not None
    assert store.attributes["botwire.operations"] == ("put_key",)
    # Checks all spans, because those of FastAPI itself contain the path.
    everything = "".join(span.to_json() for span in spans.get_finished_spans())
    assert not any(word in everything for word in ("hush", "secret", "private"))
