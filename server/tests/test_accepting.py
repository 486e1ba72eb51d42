"""New clients of a busy server do not starve."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from botwire_server.accepting import SHARE, Acceptor
from conftest import read_url, running

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BUSY, NEW = 40, 100


class Client(asyncio.Protocol):
    """Sends a request, and the next one with each answer, until told to stop."""

    def __init__(self, answers: itertools.count[int], *, goes_on: bool) -> None:
        self.answered = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()
        self.goes_on = goes_on
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(REQUEST)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b'{"status":"ok"}'):
            return  # the headers
        next(self._answers)
        if not self.answered.done():
            self.answered.set_result(None)
        if self.goes_on:
            self._transport.write(REQUEST)
        else:
            self._transport.close()


async def test_clients_that_come_together_are_all_accepted_soon(server_url: str) -> None:
    loop = asyncio.get_running_loop()
    address = urlsplit(server_url)
    others, own = itertools.count(), itertools.count()

    async def connect(answers: itertools.count[int], *, goes_on: bool) -> Client:
        _, client = await loop.create_connection(
            lambda: Client(answers, goes_on=goes_on), address.hostname, address.port
        )
        return client

    busy = [await connect(others, goes_on=True) for _ in range(BUSY)]
    await asyncio.gather(*(client.answered for client in busy))
    begin = next(others)
    new = [await connect(own, goes_on=False) for _ in range(NEW)]
    await asyncio.gather(*(client.answered for client in new))
    for client in busy:
        client.goes_on = False
    await asyncio.gather(*(client.closed for client in (*busy, *new)))
    # With one connection accepted per turn of the loop, the others would get up to 40 answers each.
    assert next(others) - begin < NEW * BUSY // 4


class Counted(asyncio.Protocol):
    """Counts connections."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Counted.count += 1
        transport.close()


@pytest.mark.anyio
@pytest.mark.parametrize("at_once", [SHARE, NEW])
async def test_a_lone_worker_accepts_all_who_wait_and_one_of_several_its_share(
    at_once: int,
) -> None:
    Counted.count = 0
    with socket.create_server(("127.0.0.1", 0), backlog=NEW) as listener:
        acceptor = Acceptor(listener, Counted, None, NEW, at_once)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(NEW)]
        counts = []
        for _ in range(50):  # turns of the loop
            await asyncio.sleep(0)
            counts.append(Counted.count)
        acceptor.close()
        await acceptor.wait_closed()
        for client in clients:
            client.close()
    assert next(filter(None, counts)) == at_once
    assert counts[-1] == NEW


@pytest.mark.anyio
async def test_an_event_loop_that_does_not_watch_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one of Windows."""

    def watch(*_: object) -> None:
        raise NotImplementedError

    Counted.count = 0
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with monkeypatch.context() as of_windows:
            of_windows.setattr(loop, "add_reader", watch)
            acceptor = Acceptor(listener, Counted, None, NEW, NEW)
            for _ in range(3):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                assert await reader.read() == b""
                writer.close()
            acceptor.close()
            await acceptor.wait_closed()
        assert Counted.count == 3


@pytest.mark.anyio
async def test_who_was_accepted_before_the_end_is_connected() -> None:
    """uvicorn tells only those who are connected that the server stops."""
    Counted.count = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = Acceptor(listener, Counted, None, NEW, NEW)
        with socket.create_connection(listener.getsockname()):
            acceptor._accept()
            acceptor.close()
            await acceptor.wait_closed()
    assert Counted.count == 1


async def test_a_server_that_stops_does_not_wait_for_clients_that_have_just_come(
    tmp_path: Path,
) -> None:
    loop = asyncio.get_running_loop()
    with running(tmp_path / "memory.db", "--grace", "60") as process:
        address = urlsplit(read_url(process))

        async def come_again_and_again() -> None:
            with contextlib.suppress(OSError):  # the server has ended
                while True:
                    _, client = await loop.create_connection(
                        lambda: Client(itertools.count(), goes_on=is_ending.is_set()),
                        address.hostname,
                        address.port,
                    )
                    await client.closed

        is_ending = asyncio.Event()
        clients = [asyncio.create_task(come_again_and_again()) for _ in range(60)]
        async with httpx.AsyncClient(base_url=address.geturl()) as client:
            for _ in range(20):  # until the others have come a few times
                await client.get("/healthz")
        is_ending.set()
        process.terminate()
        await asyncio.gather(*clients)
        assert process.wait(30) in (0, -signal.SIGTERM)
