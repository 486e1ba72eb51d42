"""Event loops that are not asyncio's own, or that end in their own way."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from botwire import AsyncMemory, ConfigurationError
from botwire.engines.loops import AsyncClientPerLoop


async def _write_all(memory: AsyncMemory) -> None:
    async with memory.transaction() as transaction:
        transaction.set("k", 1)


@pytest.mark.parametrize("place", ["sqlite://", "http://127.0.0.1:9", "postgresql://127.0.0.1:9/x"])
@pytest.mark.parametrize(
    "call",
    [
        lambda memory: memory.set("k", 1),
        lambda memory: memory.update("k", lambda value: value, 1),
        lambda memory: memory.history("h").append(1),
        lambda memory: memory.remember("tea"),
        _write_all,
        lambda memory: memory.aclose(),
    ],
    ids=range(6),
)
def test_another_kind_of_event_loop_is_refused(
    place: str, call: Callable[[AsyncMemory], Coroutine[Any, Any, object]]
) -> None:
    """Trio drives a coroutine as this test does."""
    coroutine = call(AsyncMemory("n", url=place))
    with pytest.raises(ConfigurationError, match="needs asyncio"):
        coroutine.send(None)


def test_a_loop_that_just_stops_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """nest_asyncio neither tells generators of their loop nor closes them."""
    closed: list[object] = []
    failures: list[object] = []

    async def close(client: object) -> None:
        await asyncio.sleep(0)
        closed.append(client)

    async def use(clients: AsyncClientPerLoop[object]) -> None:
        sys.set_asyncgen_hooks(None, None)
        await clients.get()

    monkeypatch.setattr(sys, "unraisablehook", failures.append)
    clients = AsyncClientPerLoop(object, close)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use(clients))
    loop.close()
    del clients
    gc.collect()
    assert failures == closed == []


async def test_what_fails_while_a_client_is_closed_is_raised() -> None:
    async def close(client: object) -> None:
        raise ConfigurationError("it was set up in a wrong way")

    clients = AsyncClientPerLoop(object, close)
    await clients.get()
    with pytest.raises(ConfigurationError, match="wrong way"):
        await clients.close()


def test_a_loop_ends_while_its_pool_connects_to_postgres() -> None:
    """psycopg's worker outlives its cancellation then, and `asyncio.run` waits for every task."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        memory = AsyncMemory("n", url=f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x")

        async def leave() -> socket.socket:
            call = asyncio.ensure_future(memory.get("k"))
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            call.cancel()
            return connection

        asyncio.run(leave()).close()
