"""LangGraph: the checkpointer against LangGraph's own SqliteSaver.

It measures the bytes stored, the cost of a turn on a long thread, the requests per turn of an agent
to a server, and how many turns survive when several processes write to one thread.
"""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks.comparing import Compare
from botwire_langgraph import BotWireSaver, ConcurrentRunError
from scripts.serving import serve

TURNS = 100  # of three messages of some 200 characters
WRITERS, TURNS_EACH = 8, 10
ROUNDS = 100
TEXT = "word " * 40


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = BotWireSaver("bench", url=f"sqlite:///{folder / 'ours.db'}")
        with SqliteSaver.from_conn_string(str(folder / "theirs.db")) as theirs:
            mine, its = _turn(ours), _turn(theirs)
            for _ in range(TURNS):
                mine()
                its()
            _show("langgraph: bytes, 100 turns of 3", _size(folder / "ours.db"),
                  _size(folder / "theirs.db"), "kB", 0.1)  # fmt: skip
            compare("langgraph: a turn of 3 messages", mine, its, 1.5)
            compare("langgraph: get_tuple", _read(ours), _read(theirs), 2)
        ours.connection.memory.close()
        _show("langgraph: lost, 8 processes x 10", *_lost(folder), "turns", 0)
        _show("langgraph: a turn with a tool call", *_requests(folder), "requests", 0.6)


def _turn(saver: Any) -> Callable[[], Any]:
    """Returns a function that runs a turn of one human message and two others."""
    builder = StateGraph(MessagesState)
    for node in ("one", "two"):
        builder.add_node(node, lambda state: {"messages": [AIMessage(f"{time.time()} {TEXT}")]})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    builder.add_edge("two", END)
    app = builder.compile(checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "t"}}
    said = f"{time.time()} {TEXT}"
    return lambda: app.invoke({"messages": [HumanMessage(said)]}, thread, durability="sync")


def _read(saver: Any) -> Callable[[], Any]:
    return lambda: saver.get_tuple({"configurable": {"thread_id": "t"}})


def _size(database: Path) -> float:
    """Returns the size of a file in kilobytes, after everything was written to it."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("VACUUM")
    connection.close()
    return database.stat().st_size / 1000


def _show(name: str, mine: float, its: float, unit: str, target: float) -> None:
    ratio = mine / its if its else float("nan")
    print(f"{name:34} {mine:9.1f} {unit} {its:9.1f} {unit} {ratio:6.2f} (target {target})")


def _lost(folder: Path) -> tuple[int, int]:
    """Returns how many acknowledged turns of several processes are missing from the thread."""

    def ours() -> Any:
        return BotWireSaver("lost", url=f"sqlite:///{folder / 'ours.db'}")

    @contextmanager
    def theirs() -> Iterator[Any]:
        connection = sqlite3.connect(folder / "lost.db", timeout=60, check_same_thread=False)
        saver = SqliteSaver(connection)
        saver.setup()
        yield saver

    with theirs() as saver:
        children = [_fork(lambda who: _write(who, ours()), who) for who in range(WRITERS)]
        _join(children)
        mine = WRITERS * TURNS_EACH - _kept(ours())
        saver.conn.close()

    def write_theirs(who: int) -> None:
        with theirs() as saver:
            _write(who, saver)

    _join([_fork(write_theirs, who) for who in range(WRITERS)])
    with theirs() as saver:
        return mine, WRITERS * TURNS_EACH - _kept(saver)


def _write(who: int, saver: Any) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("noted")]})
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    app = builder.compile(checkpointer=saver)
    source = random.Random(who)  # noqa: S311 - spreading, not secrecy
    for turn in range(TURNS_EACH):
        message, wait = HumanMessage("hi", id=f"{who}-{turn}"), 0.02
        while True:
            try:
                app.invoke({"messages": [message]}, {"configurable": {"thread_id": "t"}})
                break
            except ConcurrentRunError:
                time.sleep(source.random() * wait)
                wait = min(wait * 2, 1)


def _kept(saver: Any) -> int:
    found = _read(saver)()
    ids = {message.id for message in found.checkpoint["channel_values"]["messages"]}
    return sum(f"{who}-{turn}" in ids for who in range(WRITERS) for turn in range(TURNS_EACH))


def _fork(work: Callable[[int], None], who: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work(who)
        os._exit(0)
    finally:
        os._exit(1)


def _join(children: list[int]) -> None:
    for child in children:
        if os.waitpid(child, 0)[1]:
            raise RuntimeError("a writer failed")


class ScriptedModel(BaseChatModel):
    """Calls a tool, then answers; each takes as long as a fast model takes to its first token."""

    seconds: float = 0.2

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Returns this model, which knows what to call."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        time.sleep(self.seconds)
        message = AIMessage("done")
        if not isinstance(messages[-1], ToolMessage):
            message = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c"}])
        return ChatResult(generations=[ChatGeneration(message=message)])


@tool
def look() -> str:
    """Looks something up."""
    return "found"


class _Counting:
    """An engine that counts the batches it passes on."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.count = 0

    def apply(self, batch: Any) -> Any:
        self.count += 1
        return self.engine.apply(batch)


def _requests(folder: Path) -> tuple[float, float]:
    """Returns the requests per turn of an agent, and how often LangGraph calls the checkpointer."""
    calls = 0

    class Called(BotWireSaver):
        def get_tuple(self, *args: Any) -> Any:
            nonlocal calls
            calls += 1
            return super().get_tuple(*args)

        def put(self, *args: Any) -> Any:
            nonlocal calls
            calls += 1
            return super().put(*args)

        def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            nonlocal calls
            calls += 1
            super().put_writes(config, writes, task_id, task_path)

    database = f"sqlite:///{folder / 'server.db'}"
    with serve(database) as server:
        saver = Called("bench", url=server.url)
        memory = saver.connection.memory
        counting = _Counting(memory.engine)
        memory.engine = counting  # type: ignore[assignment]
        agent: Any = create_agent(ScriptedModel(), [look], checkpointer=saver)
        turns = 10
        for _ in range(turns):
            agent.invoke({"messages": [("human", "hi")]}, {"configurable": {"thread_id": "t"}})
        return counting.count / turns, calls / turns


if __name__ == "__main__":
    rows(Compare(ROUNDS))
