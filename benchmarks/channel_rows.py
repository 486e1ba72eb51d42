"""The channel: single calls against Redis, many at once against plain HTTP, a LangGraph turn.

Redis is Debian's ``redis-server``; its writes are compared with ``appendfsync always``, which syncs
each of them as BotWire does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import redis
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks.comparing import Compare
from benchmarks.peers_rows import redis_server
from botwire import AsyncMemory, Memory
from botwire_langgraph import BotWireSaver
from scripts.serving import serve

VALUE = {"text": "word " * 40}
TEXT = '{"text": "' + "word " * 40 + '"}'
AT_ONCE = 32
ROUNDS = 500


def singles(compare: Compare, url: str, always: str) -> None:
    """Measures a get, a set and a turn of a chat, each alone."""
    with Memory("singles", url=url) as memory, redis.Redis.from_url(always) as peer:
        history = memory.history("chat")
        for _ in range(3):  # the second answer opens the channel
            memory.set("k", VALUE)
        peer.set("k", TEXT)
        compare("channel: get", lambda: memory.get("k"), lambda: peer.get("k"), 2.0, ROUNDS)
        compare(
            "channel: durable set",
            lambda: memory.set("k", VALUE),
            lambda: peer.set("k", TEXT),
            2.0,
            ROUNDS,
        )
        compare(
            "channel: turn of a chat",
            lambda: history.extend([VALUE, VALUE]),
            lambda: peer.rpush("chat", TEXT, TEXT),
            2.0,
            ROUNDS,
        )


def many(compare: Compare, url: str) -> None:
    """Measures 32 calls at once of one process, over the channel and over HTTP."""
    with asyncio.Runner() as runner:
        channel = AsyncMemory("many", url=url)
        plain = AsyncMemory("many", url=f"{url}?channel=false")
        numbers = itertools.count()

        async def together(call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
            await asyncio.gather(*(call() for _ in range(AT_ONCE)))

        def read(memory: AsyncMemory) -> Callable[[], None]:
            return lambda: runner.run(together(lambda: memory.get("k")))

        def write(memory: AsyncMemory) -> Callable[[], None]:
            return lambda: runner.run(together(lambda: memory.set(f"k{next(numbers) % 64}", VALUE)))

        for memory in (channel, plain):
            for _ in range(3):
                runner.run(memory.set("k", VALUE))
        compare("channel: 32 reads, to http", read(channel), read(plain), 0.25, ROUNDS // 10)
        compare("channel: 32 writes, to http", write(channel), write(plain), 0.5, ROUNDS // 10)
        for memory in (channel, plain):
            runner.run(memory.aclose())


def graphs(compare: Compare, url: str, folder: Path) -> None:
    """Measures a LangGraph turn with a tool call, on a server and embedded."""

    def model(state: MessagesState) -> dict[str, Any]:
        if isinstance(state["messages"][-1], ToolMessage):
            return {"messages": [AIMessage("It is noon.")]}
        call = {"name": "clock", "args": {}, "id": "call-1"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    def tool(_: MessagesState) -> dict[str, Any]:
        return {"messages": [ToolMessage("12:00", tool_call_id="call-1")]}

    def route(state: MessagesState) -> str:
        last = state["messages"][-1]
        return "tool" if isinstance(last, AIMessage) and last.tool_calls else END

    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tool", tool)  # type: ignore[arg-type]
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", route)
    builder.add_edge("tool", "model")

    def turn(place: str) -> Callable[[], Any]:
        app = builder.compile(checkpointer=BotWireSaver("graphs", url=place))
        numbers = itertools.count()
        return lambda: app.invoke(
            {"messages": [HumanMessage("What time is it?")]},
            {"configurable": {"thread_id": f"t{next(numbers)}"}},
        )

    on_server, embedded = turn(url), turn(f"sqlite:///{folder / 'embedded.db'}")
    for _ in range(3):
        on_server()
    compare("channel: LangGraph turn", on_server, embedded, 1.5, ROUNDS // 5)


def rows(compare: Compare) -> None:
    """Measures all.

    Args:
        compare: Prints a row.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(serve(f"sqlite:///{folder / 'server.db'}")).url
        always = stack.enter_context(redis_server(folder / "always", durable=True))
        if always is not None:
            singles(compare, url, always)
        many(compare, url)
        graphs(compare, url, folder)


if __name__ == "__main__":
    rows(Compare())
