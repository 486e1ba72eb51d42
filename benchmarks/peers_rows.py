"""Conversations, checkpoints and vectors: ours against what a user would pick instead.

All sides of a table take turns in one run. Redis is Debian's ``redis-server``, once with
``appendfsync always``, which syncs each write as BotWire does, and once without its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import chromadb
import lancedb
import redis
from langchain_community.chat_message_histories import (
    RedisChatMessageHistory,
    SQLChatMessageHistory,
)
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from llama_index.storage.chat_store.redis import RedisChatStore  # type: ignore[import-untyped]

from benchmarks.loading import print_loads
from benchmarks.sides import HEAD, print_rows
from botwire import Memory, Record
from botwire_langchain import BotWireChatMessageHistory
from botwire_langgraph import BotWireSaver
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatMemoryBuffer,
    BotWireChatStore,
)
from scripts.serving import serve
from tests.chaos.processes import own_postgres

ROUNDS = 60
MESSAGES = 200
RECORDS, DIMENSION, BEST = 2_000, 384, 10
TEXT = "word " * 40
Sides = dict[str, Callable[[], Any]]


@contextlib.contextmanager
def redis_server(folder: Path, *, durable: bool) -> Iterator[str | None]:
    """Starts Debian's Redis; yields its URL, or None if it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        print("redis-server is missing (apt-get install redis-server)", file=sys.stderr)
        yield None
        return
    folder.mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = ("yes", "always") if durable else ("no", "no")
    command = [
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
        *("--save", "", "--appendonly", log[0], "--appendfsync", log[1]),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                while True:
                    with contextlib.suppress(redis.ConnectionError):
                        client.ping()
                        break
                    time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def langchain(folder: Path, url: str, always: str | None, never: str | None) -> None:
    """Measures a turn of a chat history, and reading it."""
    turn = [HumanMessage(TEXT), AIMessage(TEXT)]
    file = f"sqlite:///{folder / 'ours.db'}"
    histories: dict[str, Any] = {
        "**ours**, a file": BotWireChatMessageHistory("chat", namespace="lc", url=file),
        "**ours**, a server": BotWireChatMessageHistory("chat", namespace="lc", url=url),
        "SQLChatMessageHistory, SQLite": SQLChatMessageHistory(
            "chat", connection=f"sqlite:///{folder / 'sql.db'}"
        ),
    }
    if always and never:
        histories |= {
            "RedisChatMessageHistory, `always`": RedisChatMessageHistory("chat", url=always),
            "RedisChatMessageHistory, no log": RedisChatMessageHistory("chat", url=never),
        }
    for history in histories.values():
        for _ in range(MESSAGES // 2):
            history.add_messages(turn)
    reads: Sides = {name: partial(getattr, h, "messages") for name, h in histories.items()}
    print_rows(f"LangChain: read {MESSAGES} messages", reads, ROUNDS)
    adds: Sides = {name: partial(h.add_messages, turn) for name, h in histories.items()}
    print_rows("LangChain: add a turn", adds, ROUNDS)


def loading(folder: Path, url: str, never: str | None) -> None:
    """Measures long conversations that are loaded as a whole."""
    file = f"sqlite:///{folder / 'loading.db'}"
    print_loads(
        "LangChain",
        {
            "**ours**, a file": ("langchain", file),
            "**ours**, a server": ("langchain", url),
            "SQLChatMessageHistory, SQLite": (
                "langchain-sql",
                f"sqlite:///{folder / 'loading-sql.db'}",
            ),
            "RedisChatMessageHistory, no log": ("langchain-redis", never),
        },
    )
    print_loads(
        "LlamaIndex",
        {
            "**ours**, a file": ("llamaindex", file),
            "**ours**, a server": ("llamaindex", url),
            "RedisChatStore, no log": ("llamaindex-redis", never),
            "SQLAlchemyChatStore, SQLite": (
                "llamaindex-sql",
                f"sqlite+aiosqlite:///{folder / 'loading-alchemy.db'}",
            ),
        },
    )


def llamaindex(folder: Path, url: str, always: str | None, never: str | None) -> None:
    """Measures a message added to a chat store, reading it, and a window of it."""
    message = ChatMessage(role="user", content=TEXT)
    file = f"sqlite:///{folder / 'ours.db'}"
    with asyncio.Runner() as runner:
        stores: dict[str, Any] = {
            "**ours**, a file": BotWireChatStore("li", url=file),
            "**ours**, a server": BotWireChatStore("li", url=url),
        }
        if always and never:
            stores |= {
                "RedisChatStore, `always`": RedisChatStore(redis_url=always),
                "RedisChatStore, no log": RedisChatStore(redis_url=never),
            }
        adds: Sides = {
            name: partial(one.add_message, "chat", message) for name, one in stores.items()
        }
        reads: Sides = {name: partial(one.get_messages, "chat") for name, one in stores.items()}
        uri = f"sqlite+aiosqlite:///{folder / 'alchemy.db'}"

        def awaited(call: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], Any]:
            return lambda: runner.run(call())

        others: dict[str, Any] = {
            "**ours**, asynchronous": BotWireAsyncChatStore("li-async", url=file),
            "SQLAlchemyChatStore, SQLite": SQLAlchemyChatStore("chats", async_database_uri=uri),
        }
        for name, store in others.items():
            adds[name] = awaited(partial(store.add_message, "chat", message))
            reads[name] = awaited(partial(store.get_messages, "chat"))
        for add in adds.values():
            for _ in range(MESSAGES):
                add()
        print_rows(f"LlamaIndex: read {MESSAGES} messages", reads, ROUNDS)
        print_rows("LlamaIndex: add a message", adds, ROUNDS)
        buffers: dict[str, Any] = {
            "**ours**, a file": BotWireChatMemoryBuffer("buffer", url=file, token_limit=3000),
            "ChatMemoryBuffer, in memory": ChatMemoryBuffer.from_defaults(token_limit=3000),
        }
        for buffer in buffers.values():
            for i in range(MESSAGES):
                buffer.put(ChatMessage(role=("user", "assistant")[i % 2], content=f"{i} {TEXT}"))
        windows: Sides = {name: buffer.get for name, buffer in buffers.items()}
        print_rows(f"LlamaIndex: 3,000 tokens of {MESSAGES} messages", windows, ROUNDS)


def langgraph(folder: Path, postgres: str) -> None:
    """Measures a turn of a graph of one node, on each saver."""

    def turn(saver: Any) -> Callable[[], Any]:
        builder = StateGraph(MessagesState)
        builder.add_node("answer", lambda _: {"messages": [AIMessage(TEXT)]})
        builder.add_edge(START, "answer")
        builder.add_edge("answer", END)
        app = builder.compile(checkpointer=saver)
        thread: Any = {"configurable": {"thread_id": "t"}}
        return lambda: app.invoke({"messages": [HumanMessage(TEXT)]}, thread, durability="sync")

    with (
        SqliteSaver.from_conn_string(str(folder / "saver.db")) as sqlite,
        PostgresSaver.from_conn_string(postgres) as stock,
    ):
        stock.setup()
        savers = {
            "**ours**, a file": BotWireSaver("lg", url=f"sqlite:///{folder / 'ours.db'}"),
            "SqliteSaver": sqlite,
            "**ours**, PostgreSQL": BotWireSaver("lg", url=postgres),
            "PostgresSaver": stock,
        }
        turns: Sides = {name: turn(saver) for name, saver in savers.items()}
        for work in turns.values():
            for _ in range(20):
                work()
        print_rows("LangGraph: a turn, after 20", turns, ROUNDS)


def vectors(folder: Path) -> None:
    """Measures a memory saved and the nearest ten found, among some thousand."""
    source = random.Random(1)  # noqa: S311 - the same numbers in every run

    def vector() -> list[float]:
        return [source.gauss(0, 1) for _ in range(DIMENSION)]

    rows = [vector() for _ in range(RECORDS)]
    query, ids = vector(), iter(range(RECORDS, 1_000_000))
    memory = Memory("vectors", url=f"sqlite:///{folder / 'ours.db'}")
    records = memory.records("r")
    records.put([Record(f"t{i}", id=str(i), embedding=v) for i, v in enumerate(rows)])
    table = lancedb.connect(folder / "lance").create_table(
        "r", [{"id": str(i), "vector": v, "text": f"t{i}"} for i, v in enumerate(rows)]
    )
    collection = chromadb.PersistentClient(str(folder / "chroma")).create_collection("records")
    for i in range(0, RECORDS, 500):
        collection.add(
            ids=[str(j) for j in range(i, i + 500)],
            embeddings=rows[i : i + 500],  # type: ignore[arg-type]
            documents=[f"t{j}" for j in range(i, i + 500)],
        )
    searches: Sides = {
        "**ours**, a file": lambda: records.search(vector=query, limit=BEST, embeddings=False),
        "LanceDB": lambda: table.search(query).distance_type("cosine").limit(BEST).to_list(),  # type: ignore[attr-defined]
        "Chroma": lambda: collection.query(query_embeddings=[query], n_results=BEST),  # type: ignore[arg-type]
    }
    print_rows(f"nearest {BEST} of {RECORDS:,} x {DIMENSION}", searches, ROUNDS)
    adds: Sides = {
        "**ours**, a file": lambda: records.put([Record("new", embedding=query)]),
        "LanceDB": lambda: table.add([{"id": str(next(ids)), "vector": query, "text": "new"}]),
        "Chroma": lambda: collection.add(
            ids=[str(next(ids))],
            embeddings=[query],  # type: ignore[arg-type]
            documents=["new"],
        ),
    }
    print_rows("save a vector", adds, ROUNDS)


def main() -> None:
    """Prints one table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"\n{HEAD}", flush=True)
        with (
            redis_server(folder / "always", durable=True) as always,
            redis_server(folder / "never", durable=False) as never,
            serve(f"sqlite:///{folder / 'server.db'}") as server,
        ):
            langchain(folder, server.url, always, never)
            loading(folder, server.url, never)
            llamaindex(folder, server.url, always, never)
        with own_postgres() as database:
            langgraph(folder, database.url)
        vectors(folder)


if __name__ == "__main__":
    main()
