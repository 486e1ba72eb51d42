"""Closed-loop load over raw HTTP, light enough that it measures the server."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable


class _Connection(asyncio.Protocol):
    """Sends a request as soon as the previous one is answered."""

    def __init__(
        self, request: Callable[[], bytes], end: float, done: asyncio.Future[list[float]]
    ) -> None:
        self._request = request
        self._end = end
        self._done = done
        self._buffer = b""
        self._waits: list[float] = []
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(transport)

    def _send(self, transport: asyncio.Transport) -> None:
        self._sent = time.perf_counter()
        transport.write(self._request())

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._done.set_exception(RuntimeError(self._buffer.decode(errors="replace")))
            self._transport.close()
            return
        self._buffer = b""
        now = time.perf_counter()
        self._waits.append(now - self._sent)
        if now < self._end:
            self._send(self._transport)
        else:
            self._done.set_result(self._waits)
            self._transport.close()


async def _measure(
    port: int, request: Callable[[], bytes], connections: int, seconds: float
) -> tuple[list[float], float]:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    all_done: list[asyncio.Future[list[float]]] = []
    for _ in range(connections):
        done: asyncio.Future[list[float]] = loop.create_future()
        all_done.append(done)
        connect = functools.partial(_Connection, request, started + seconds, done)
        await loop.create_connection(connect, "127.0.0.1", port)
    waits = [wait for each in await asyncio.gather(*all_done) for wait in each]
    return waits, time.perf_counter() - started


def throughput(
    port: int, request: Callable[[], bytes], *, connections: int = 32, seconds: float = 1.0
) -> float:
    """Returns how many requests per second a server answers.

    Args:
        port: The server's, on this machine.
        request: Returns the bytes of the next request.
        connections: How many connections, each with one request at a time.
        seconds: How long to measure.
    """
    waits, took = asyncio.run(_measure(port, request, connections, seconds))
    return len(waits) / took


def waits(
    port: int, request: Callable[[], bytes], *, connections: int, seconds: float
) -> list[float]:
    """Returns how many seconds each request waited for its answer, sorted.

    Args:
        port: The server's, on this machine.
        request: Returns the bytes of the next request.
        connections: How many connections, each with one request at a time.
        seconds: How long to measure.
    """
    return sorted(asyncio.run(_measure(port, request, connections, seconds))[0])


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Returns the bytes of a POST of JSON."""
    lines = [
        f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json",
        f"Content-Length: {len(body)}", *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str) -> bytes:
    """Returns the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n".encode()
