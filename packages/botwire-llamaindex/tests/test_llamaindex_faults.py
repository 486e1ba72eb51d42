"""Slow servers, servers that die in the middle, and PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.storage.chat_store.base_db import MessageStatus

from botwire import Memory, RequestTimeoutError, TransportError
from botwire_llamaindex import BotWireAsyncChatStore, BotWireChatMemoryBuffer, BotWireMemory
from conftest import read_url, start_server

SESSIONS = 100
LATENCY = 1.0  # seconds that each answer takes longer
Memories = BotWireChatMemoryBuffer | BotWireMemory


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def texts(messages: list[ChatMessage]) -> list[str | None]:
    return [message.content for message in messages]


@contextmanager
def slow_proxy(url: str, latency: float) -> Iterator[str]:
    """A proxy, on a thread of its own, whose answers come `latency` seconds late."""
    target = urlsplit(url)
    loop = asyncio.new_event_loop()
    port: list[int] = []
    started = threading.Event()
    stop = asyncio.Event()

    async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter, delay: float) -> None:
        try:
            while data := await source.read(65536):
                await asyncio.sleep(delay)
                to.write(data)
                await to.drain()
        except ConnectionError:
            pass  # the client gave up, which is what is tested
        finally:
            to.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pump(reader, back, 0), pump(there, writer, latency))

    async def serve() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", 0, backlog=2 * SESSIONS)
        port.append(server.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(30)
    try:
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def session(cls: type[Memories], url: str, namespace: str, name: str) -> list[ChatMessage]:
    """Puts a message, adds a turn and reads, as an agent does."""
    client = Memory(namespace, url=url)
    key = {"chat_store_key" if cls is BotWireChatMemoryBuffer else "session_id": name}
    memory: Any = cls.from_defaults(client=client, **key)
    await memory.aput(user(name))
    await memory.aput_messages([ChatMessage(role="assistant", content="a"), user("b")])
    found: list[ChatMessage] = await memory.aget()
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("cls", [BotWireChatMemoryBuffer, BotWireMemory])
async def test_a_hundred_sessions_are_as_fast_as_one(
    cls: type[Memories], server_url: str, namespace: str
) -> None:
    with slow_proxy(server_url, LATENCY) as url:
        began = time.monotonic()
        await session(cls, url, namespace, "alone")
        one = time.monotonic() - began
        names = [f"s{i}" for i in range(SESSIONS)]
        began = time.monotonic()
        found = await asyncio.gather(*(session(cls, url, namespace, name) for name in names))
        together = time.monotonic() - began
    assert [texts(messages) for messages in found] == [[name, "a", "b"] for name in names]
    assert one > 3 * LATENCY
    assert together < 3 * one  # in turn it would be 100 times, on a pool of threads 10 times


@pytest.mark.anyio
async def test_a_server_that_is_too_slow_is_an_error_in_time(
    server_url: str, namespace: str
) -> None:
    with slow_proxy(server_url, 60) as url:
        client = Memory(namespace, url=url, timeout=0.5)
        buffer = BotWireChatMemoryBuffer.from_defaults(client=client)
        memory = BotWireMemory.from_defaults(client=client)
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError, match=url):
            buffer.get()
        with pytest.raises(RequestTimeoutError, match=url):
            buffer.put(user("x"))
        for call in (buffer.aget, buffer.aget_all, memory.aget, memory.aget_all):
            with pytest.raises(RequestTimeoutError, match=url):
                await call()
        assert time.monotonic() - began < 6 * 0.5 + 5


def test_a_server_that_is_killed_and_comes_back_has_lost_nothing(
    tmp_path: Path, namespace: str
) -> None:
    database = tmp_path / "memory.db"
    with start_server(database) as process:
        url = read_url(process)
        client = Memory(namespace, url=url, timeout=2)
        memory = BotWireChatMemoryBuffer.from_defaults(client=client)
        newer = BotWireMemory.from_defaults(client=client, session_id="newer")
        engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
        engine.chat("one")
        newer.put(user("one"))
        process.kill()
    for call in (lambda: engine.chat("lost?"), memory.get, newer.get_all):
        with pytest.raises(TransportError, match=url):
            call()
    with start_server(database, "--port", str(urlsplit(url).port)) as process:
        assert read_url(process) == url
        engine.chat("two")  # the same objects go on
        newer.put(user("two"))
        assert texts([m for m in memory.get() if m.role == "user"]) == ["one", "two"]
        assert texts(newer.get_all()) == ["one", "two"]
        process.terminate()


@pytest.mark.anyio
async def test_on_postgresql(postgres_url: str, namespace: str) -> None:
    place: Any = {"namespace": namespace, "url": postgres_url}
    memory = BotWireChatMemoryBuffer.from_defaults(**place)
    memory.put(user("one"))
    await memory.aput_messages([ChatMessage(role="assistant", content="1"), user("two")])
    again = BotWireChatMemoryBuffer.from_defaults(**place)
    assert texts(again.get()) == texts(await again.aget()) == ["one", "1", "two"]
    store = BotWireAsyncChatStore(**place)
    newer = BotWireMemory.from_defaults(
        session_id="s", chat_store=store, token_limit=20, tokenizer_fn=str.split,
        token_flush_size=4,
    )  # fmt: skip
    await asyncio.gather(*(newer.aput(user(f"{i} w w w")) for i in range(10)))
    archived = await newer.aget_all(MessageStatus.ARCHIVED)
    active = await newer.aget()
    assert archived
    assert active
    assert len(archived) + len(active) == 10
    assert sorted(await store.get_keys()) == ["chat_history", "s"]
    memory.reset()
    await newer.areset()
    assert await store.get_keys() == []
