"""Slow servers, servers that die midway, and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.workflow import Context

from botwire import (
    AuthenticationError,
    Memory,
    PermissionDeniedError,
    RequestTimeoutError,
    TransportError,
)
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatMemoryBuffer,
    BotWireChatStore,
    BotWireMemory,
)
from conftest import make_key, read_url, running, start_server

SESSIONS = 100
Memories = BotWireChatMemoryBuffer | BotWireMemory


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def texts(messages: list[ChatMessage]) -> list[str | None]:
    return [message.content for message in messages]


class Proxy:
    """Stands before a server, on a thread of its own, and holds every answer back.

    It tells answers apart by their connections, so its URL is for HTTP alone.

    Args:
        url: The server's.
        together: Answers are let through when so many are held.
    """

    def __init__(self, url: str, together: int) -> None:
        self._target = urlsplit(url)
        self._together = together
        self._held: list[asyncio.Event] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.most = 0
        """The most answers that were held at once."""

    def let_through(self) -> None:
        """Releases all held answers, and holds no more."""
        self._together = 0
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        for event in self._held:
            event.set()
        self._held.clear()

    async def _hold(self) -> None:
        event = asyncio.Event()
        self._held.append(event)
        self.most = max(self.most, len(self._held))
        if len(self._held) >= self._together:
            self._release()
        await event.wait()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers += [writer, back]
        asked = False

        async def ask() -> None:
            nonlocal asked
            while data := await reader.read(65536):
                asked = True
                back.write(data)
                await back.drain()

        async def answer() -> None:
            nonlocal asked
            while data := await there.read(65536):
                if asked:  # otherwise it is the rest of an answer
                    asked = False
                    await self._hold()
                writer.write(data)
                await writer.drain()

        await asyncio.wait([asyncio.create_task(ask()), asyncio.create_task(answer())])

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0, backlog=2 * SESSIONS)
        port = server.sockets[0].getsockname()[1]
        self._url = f"http://127.0.0.1:{port}?channel=false"
        started.set()
        await self._stop.wait()
        server.close()
        for writer in self._writers:
            writer.close()
        self._release()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=30)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Runs the proxy and gives its URL."""
        started = threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(self._serve(started),))
        thread.start()
        assert started.wait(30)
        try:
            yield self._url
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()


async def take_turn(memory: Any, name: str) -> list[ChatMessage]:
    """Puts a message, adds a turn and reads, as an agent does."""
    await memory.aput(user(name))
    await memory.aput_messages([ChatMessage(role="assistant", content="a"), user("b")])
    found: list[ChatMessage] = await memory.aget()
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("cls", [BotWireChatMemoryBuffer, BotWireMemory])
async def test_a_hundred_sessions_wait_together(
    cls: type[Memories], server_url: str, namespace: str
) -> None:
    # Each answer comes only when a hundred are waited for: if one session waited for another, or
    # for a thread, no answer would ever come.
    proxy = Proxy(server_url, SESSIONS)
    key = "chat_store_key" if cls is BotWireChatMemoryBuffer else "session_id"
    names = [f"s{i}" for i in range(SESSIONS)]
    threads = threading.active_count()
    with proxy.running() as url:
        memories = [cls(namespace, url=url, timeout=60, **{key: name}) for name in names]
        turns = asyncio.gather(*map(take_turn, memories, names))
        found = await turns
        assert threading.active_count() <= threads + 2  # the proxy's, and one that resolves names
    assert [texts(messages) for messages in found] == [[name, "a", "b"] for name in names]
    assert proxy.most == SESSIONS


@pytest.mark.anyio
async def test_the_stock_buffer_waits_for_threads(server_url: str, namespace: str) -> None:
    # The same store under LlamaIndex's own buffer, which calls its blocking half on a pool.
    proxy = Proxy(server_url, SESSIONS)
    with proxy.running() as url:
        store = BotWireChatStore(client=Memory(namespace, url=url, timeout=60))
        memories = [
            ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key=f"s{i}")
            for i in range(SESSIONS)
        ]
        turns = [asyncio.create_task(memory.aget()) for memory in memories]
        # Once every thread of the pool is blocked, nothing continues.
        pool = min(32, (os.cpu_count() or 1) + 4)
        async with asyncio.timeout(60):
            while proxy.most < pool:  # noqa: ASYNC110 - it is another thread that counts
                await asyncio.sleep(0.01)
        proxy.let_through()
        await asyncio.gather(*turns)
    assert proxy.most == pool < SESSIONS


@pytest.mark.anyio
async def test_a_server_that_is_too_slow_is_an_error_in_time(
    server_url: str, namespace: str
) -> None:
    with Proxy(server_url, 1000).running() as held:
        client, url = Memory(namespace, url=held, timeout=0.5), held.partition("?")[0]
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
        engine.chat("two")  # the same objects continue
        newer.put(user("two"))
        assert texts([m for m in memory.get() if m.role == "user"]) == ["one", "two"]
        assert texts(newer.get_all()) == ["one", "two"]
        process.terminate()


def test_a_context_goes_on_with_the_key_that_its_memory_was_given(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    _, key = make_key(f"sqlite:///{database}", namespaces=("ada-*",))
    agent = FunctionAgent(tools=[], llm=MockFunctionCallingLLM())

    async def run(url: str) -> str:
        memory = BotWireChatMemoryBuffer("ada-1", url=url, api_key=key)
        newer = BotWireMemory("ada-1", url=url, api_key=key, session_id="newer")
        stored = ""
        for one in (memory, newer):
            context = Context(agent)
            await agent.run("one", ctx=context, memory=one)
            await agent.run("two", ctx=context)
            context = Context.from_dict(agent, json.loads(json.dumps(context.to_dict())))
            await agent.run("three", ctx=context)
            assert len(await one.aget_all()) == 6
            stored += json.dumps(context.to_dict()) + repr(one) + one.model_dump_json()
        with pytest.raises(PermissionDeniedError):
            await BotWireChatMemoryBuffer("bob-1", url=url, api_key=key).aget()
        with pytest.raises(AuthenticationError):
            BotWireChatMemoryBuffer("ada-1", url=url).get()
        return stored

    with running(database) as process:
        assert key not in asyncio.run(run(read_url(process)))
        process.terminate()


@pytest.mark.anyio
async def test_a_web_application_serves_users_at_once_and_apart(
    place_url: str, namespace: str
) -> None:
    seen: list[list[str | None]] = []

    def answer(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        seen.append(texts(messages))
        return ChatMessage(role="assistant", content="noted")

    app = FastAPI()
    agent = FunctionAgent(tools=[], llm=MockFunctionCallingLLM(response_generator=answer))

    @app.post("/{user}/{session}")
    async def chat(user: str, session: str, text: str) -> str:
        memory = BotWireChatMemoryBuffer.from_defaults(
            namespace=f"{namespace}-{user}", url=place_url, chat_store_key=session
        )
        return str(await agent.run(text, memory=memory))

    # No slash: a name is one part of the address here. Memory itself takes any.
    people = [(f"user {i % 4} ü", f"session:{i}%2F") for i in range(8)]
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as client:
        for said in ("I am", "Who am I"):
            addresses = (f"/{quote(user)}/{quote(session)}" for user, session in people)
            answers = await asyncio.gather(
                *(
                    client.post(address, params={"text": f"{said} {i}"})
                    for i, address in enumerate(addresses)
                )
            )
            assert [response.json() for response in answers] == ["noted"] * 8
    expected = [[f"I am {i}", "noted", f"Who am I {i}"] for i in range(8)]
    assert sorted(found for found in seen if len(found) > 1) == expected  # type: ignore[type-var]


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
