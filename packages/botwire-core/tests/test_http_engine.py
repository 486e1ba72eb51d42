"""The HTTP transport against every way an answer can fail to come."""

from __future__ import annotations

import asyncio
import json
import pickle
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from botwire import (
    AsyncMemory,
    AuthenticationError,
    BotWireError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    Memory,
    PayloadTooLargeError,
    ProtocolError,
    QuotaExceededError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    wire,
)
from botwire import operations as ops
from botwire.engines.http import AsyncHTTPEngine, HTTPEngine
from botwire.engines.http.channels import MOST_BYTES
from botwire.engines.sqlite import MEMORY, SQLiteEngine

URL = "http://memory.test/prefix"

Answer = httpx.Response | Exception


class Server:
    """A transport that replaces the network: a real engine behind a bad connection.

    Args:
        faults: What happens to the first requests: an answer in the place of the real one, an
            exception, or ``lost`` to apply the request and lose the answer.
        always: What happens to all others, if not what an engine does.
    """

    def __init__(self, *faults: Answer | str, always: Answer | None = None) -> None:
        self.faults = list(faults)
        self.always = always
        self.engine = SQLiteEngine(MEMORY)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else self.always
        if isinstance(fault, Exception):
            raise fault
        if isinstance(fault, httpx.Response):
            return fault
        idempotency_id = request.headers.get(wire.IDEMPOTENCY_HEADER)
        batch = wire.decode_batch(json.loads(request.content), idempotency_id)
        body = wire.encode_results(batch.operations, self.engine.apply(batch))
        if fault == "lost":
            raise httpx.ReadError("connection reset by peer")
        return httpx.Response(200, text=body, headers={"Content-Type": "application/json"})

    def memory(self, **settings: Any) -> Memory:
        """Returns a client of this server."""
        transport = httpx.MockTransport(self)
        return Memory("n", engine=HTTPEngine(URL, transport=transport, **settings))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botwire.engines.retry._FIRST_DELAY", 0.0001)


def problem(status: int, **fields: Any) -> httpx.Response:
    return httpx.Response(
        status,
        json={"status": status, **fields},
        headers={"Content-Type": "application/problem+json", "X-Request-ID": "r-1"},
    )


@pytest.mark.parametrize("fault", ["lost", httpx.ConnectError("refused"), httpx.Response(503)])
def test_a_write_sent_again_lands_once(fault: Answer | str) -> None:
    server = Server(fault, fault)
    history = server.memory().history("h")
    assert history.extend(["a", "b"]) == [1, 2]
    assert history.tail(9) == ["a", "b"]
    ids = [request.headers[wire.IDEMPOTENCY_HEADER] for request in server.requests[:3]]
    assert len(set(ids)) == 1


def test_two_writes_are_two_requests() -> None:
    server = Server()
    memory = server.memory()
    assert [memory.increment("n") for _ in range(3)] == [1, 2, 3]
    ids = {request.headers[wire.IDEMPOTENCY_HEADER] for request in server.requests}
    assert len(ids) == 3
    memory.get("n")
    assert wire.IDEMPOTENCY_HEADER not in server.requests[-1].headers


def test_items_are_read_as_text_and_from_older_servers_too(server_url: str, namespace: str) -> None:
    value = {"a": ["é", None]}
    for place in ("", "?channel=false"):
        with Memory(namespace, url=server_url + place) as memory:
            for _ in range(3):  # the third goes over the channel
                memory.history("h").append(value)
            items = memory.history("h").read()
            assert {item.stored.value.held_text for item in items} == {'{"a":["\\u00e9",null]}'}
            assert [item.value for item in items] == [value] * len(items)
    old = Server().memory()
    old.history("h").append(value)
    assert [item.value for item in old.history("h").read()] == [value]


@pytest.mark.parametrize("is_large", [True, False])
async def test_others_run_between_encoding_and_sending_a_large_request(
    monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    server, order = Server(), list[str]()

    def send(request: httpx.Request) -> httpx.Response:
        order.append("sent")
        return server(request)

    def encode(batch: ops.Batch) -> str:
        asyncio.get_running_loop().call_soon(order.append, "others")
        return wire.encode_batch(batch)

    engine = AsyncHTTPEngine(URL, transport=httpx.MockTransport(send))
    async with AsyncMemory("n", engine=engine) as memory:
        await memory.get("k")  # makes the client
        order.clear()
        monkeypatch.setattr("botwire.engines.http._async.wire", SimpleNamespace(**vars(wire)))
        monkeypatch.setattr("botwire.engines.http._async.wire.encode_batch", encode)
        await memory.set("k", "x" * MOST_BYTES if is_large else "x")
        await asyncio.sleep(0)
    assert order == (["others", "sent"] if is_large else ["sent", "others"])


def test_a_server_that_is_down_is_an_error_that_names_it() -> None:
    server = Server(always=httpx.ConnectError("connection refused"))
    with pytest.raises(TransportError, match="connection refused") as caught:
        server.memory(timeout=0.2).history("h").tail(5)
    assert caught.value.url == URL
    assert URL in str(caught.value)
    assert len(server.requests) > 1
    with pytest.raises(TransportError, match="connection refused; nothing was sent"):
        server.memory(timeout=0.2).set("k", 1)


def _refusal(error: ssl.SSLError) -> httpx.ConnectError:
    """Returns what httpx makes of a failed handshake."""
    refusal = httpx.ConnectError(str(error))
    refusal.__cause__ = error
    return refusal


def _without_tls() -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed"), "SSL_CERT_FILE; nothing was sent"),
        (_without_tls(), r"is its URL http:// instead\?; nothing was sent"),
    ],
)
def test_what_no_retry_can_change_about_tls_is_not_retried(error: ssl.SSLError, says: str) -> None:
    server = Server(always=_refusal(error))
    with pytest.raises(TransportError, match=says):
        server.memory().set("k", 1)
    assert len(server.requests) == 1


def test_a_handshake_that_broke_off_is_retried() -> None:
    server = Server(_refusal(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")))
    server.memory().set("k", 1)
    assert len(server.requests) == 2


def test_a_write_that_was_sent_once_may_have_been_applied() -> None:
    server = Server(httpx.ReadError("reset"), always=httpx.ConnectError("connection refused"))
    with pytest.raises(TransportError, match="the write may or may not have been applied"):
        server.memory(timeout=0.3).set("k", 1)
    assert len(server.requests) > 1


def test_a_slow_server_is_a_timeout() -> None:
    server = Server(always=httpx.ReadTimeout("slow"))
    with pytest.raises(RequestTimeoutError, match="within 5 s"):
        server.memory(timeout=5).get("k")


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (problem(409, type="urn:botwire:problem:conflict", detail="late"), ConflictError, "late"),
        (problem(400, type="urn:botwire:problem:invalid-request"), InvalidRequestError, "400"),
        (problem(401, title="no key"), AuthenticationError, "no key"),
        (problem(418, type="urn:other", detail="teapot"), InvalidRequestError, "teapot"),
        (problem(429, retry_after=7, detail="wait"), QuotaExceededError, "wait"),
        (problem(500, detail="broken"), ServerError, "broken"),
    ],
)
def test_a_problem_is_the_error_it_stands_for(
    answer: httpx.Response, error: type[BotWireError], says: str
) -> None:
    server = Server(answer)
    with pytest.raises(error, match=says) as caught:
        server.memory().get("k")
    assert caught.value.status == answer.status_code
    assert caught.value.request_id == "r-1"
    assert len(server.requests) == 1
    if answer.status_code == 429:
        assert caught.value.retry_after == 7
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.status) == (error, str(caught.value), answer.status_code)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"results": []}),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(204),
        httpx.Response(301, headers={"Location": "http://elsewhere.test"}),
        httpx.Response(404, text="Not Found"),
        httpx.Response(500, text="oops"),
    ],
    ids=lambda answer: f"{answer.status_code}-{answer.content[:8]!r}",
)
def test_another_program_that_answers_is_a_protocol_error(answer: httpx.Response) -> None:
    with pytest.raises(ProtocolError):
        Server(answer).memory().get("k")


def page(status: int, title: str, **headers: str) -> httpx.Response:
    """Returns what nginx or a network's login page answers."""
    text = f"<html>\n<head><title>{title}</title></head>\n<body>…</body>\n</html>"
    kind = {"Content-Type": "text/html; charset=utf-8"}
    return httpx.Response(status, text=text, headers=kind | headers)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (page(413, "413 Request Entity Too Large"), PayloadTooLargeError, "client_max_body_size"),
        (page(429, "429 Too Many Requests"), QuotaExceededError, "a proxy in front of"),
        (page(403, "403 Forbidden"), ProtocolError, "proxy or firewall in front of one refuses"),
        (page(400, "No required SSL certificate was sent"), ProtocolError, "No required SSL cert"),
        (page(200, "Welcome &amp; log in"), ProtocolError, r"\('Welcome & log in'\)"),
        (
            page(302, "302 Found", Location="http://hotel.test/login"),
            ProtocolError,
            "redirects /v1/batch to 'http://hotel.test/login'",
        ),
    ],
    ids=lambda value: str(value.status_code) if isinstance(value, httpx.Response) else "",
)
def test_what_a_proxy_answers_names_the_cause(
    answer: httpx.Response, error: type[BotWireError], says: str
) -> None:
    with pytest.raises(error, match=says):
        Server(answer).memory().set("k", 1)


def test_a_proxy_may_say_when_to_send_again() -> None:
    answer = page(429, "429 Too Many Requests", **{"Retry-After": "7"})
    with pytest.raises(QuotaExceededError) as caught:
        Server(answer).memory().get("k")
    assert caught.value.retry_after == 7


def test_a_proxy_that_stays_unavailable() -> None:
    with pytest.raises(TransportError, match="gateway returned HTTP status 503"):
        Server(always=httpx.Response(503, text="later")).memory(timeout=0.2).get("k")


def test_the_key_is_sent_and_never_shown() -> None:
    server = Server()
    memory = server.memory(api_key="bw_secret")
    memory.set("k", 1)
    assert server.requests[0].headers["Authorization"] == "Bearer bw_secret"
    shown = repr(memory) + repr(memory.engine) + repr(memory.history("h"))
    assert "bw_secret" not in shown


def test_a_prefix_in_the_url_is_kept() -> None:
    server = Server()
    server.memory().get("k")
    assert str(server.requests[0].url) == f"{URL}/v1/batch"


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "memory.test", "http://", "http://x:99999", "http://x:0", "http://[",
     "http://user:pw@x", "redis://x", "sqlite:x", "sqlite:/x", 7],
)  # fmt: skip
def test_what_is_no_place_is_refused_at_once(url: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Memory("n", url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("api_key", ["a b\n", "é", "\x00"])
def test_what_is_no_key_is_refused_at_once(api_key: str) -> None:
    with pytest.raises(ConfigurationError, match="API key"):
        Memory("n", url="http://memory.test", api_key=api_key)


@pytest.mark.parametrize("timeout", [0, -1, "5", True, None])
def test_what_is_no_timeout_is_refused_at_once(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        Memory("n", url="http://memory.test", timeout=timeout)


def test_no_type_of_the_http_library_is_raised() -> None:
    faults: list[Callable[[], Exception]] = [
        lambda: httpx.ConnectTimeout("x"), lambda: httpx.PoolTimeout("x"),
        lambda: httpx.RemoteProtocolError("x"), lambda: httpx.WriteError("x"),
        lambda: httpx.ProxyError("x"), lambda: httpx.UnsupportedProtocol("x"),
        lambda: httpx.DecodingError("x"), lambda: httpx.TooManyRedirects("x"),
    ]  # fmt: skip
    for fault in faults:
        with pytest.raises(BotWireError):
            Server(always=fault()).memory(timeout=0.2).get("k")


def test_the_engine_adds_the_id_that_a_caller_gave() -> None:
    server = Server()
    batch = ops.Batch("n", (ops.IncrementKey("n"),), idempotency_id="mine")
    engine = server.memory().engine
    assert engine.apply(batch) == engine.apply(batch) == [1]
    assert server.requests[0].headers[wire.IDEMPOTENCY_HEADER] == "mine"


class _Busy(BaseHTTPRequestHandler):
    """A server that is back, but answers late."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.6)  # longer than a probe of a server that refused
        body = b'{"results":[[null]]}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


async def test_a_server_that_is_back_may_take_its_time(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}?channel=false"
    async with AsyncMemory("n", url=url, timeout=2) as memory:
        with pytest.raises(TransportError):
            await memory.get("k")
        with HTTPServer(("127.0.0.1", unused_tcp_port), _Busy) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            assert await memory.get("k") is None
            server.shutdown()
            serving.join()
