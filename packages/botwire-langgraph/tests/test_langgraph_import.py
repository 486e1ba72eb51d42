"""Threads of LangGraph's own savers are imported with their past, forks and pending writes."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from botwire_langgraph import BotWireSaver


def extend(state: list[str], writes: list[list[str]]) -> list[str]:
    return [*state, *(word for write in writes for word in write)]


class State(TypedDict):
    """Plain, reduced and delta channels."""

    messages: Annotated[list[Any], add_messages]
    log: Annotated[list[str], operator.add]
    words: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=4)]


def graph(saver: Any) -> Any:
    """A graph of two parallel nodes; one of them asks a person."""

    def ask(state: State) -> Any:
        return {"log": [f"answer {interrupt('well?')}"], "words": ["asked"]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)

    def work(state: State) -> Any:
        return {"log": ["worked"], "messages": [AIMessage("done", id=f"{len(state['messages'])}")]}

    builder.add_node("work", work)
    builder.add_edge(START, "ask")
    builder.add_edge(START, "work")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def fill(saver: Any) -> None:
    app = graph(saver)
    for turn in range(3):
        text = HumanMessage(f"turn {turn}", id=f"m{turn}")
        app.invoke({"messages": [text], "words": [f"w{turn}"]}, thread("a"))
        app.invoke(Command(resume=f"{turn}"), thread("a"))
    past = list(app.get_state_history(thread("a")))[4]
    app.invoke({"messages": [HumanMessage("another way")]}, past.config)
    app.invoke({"messages": [HumanMessage("waits")], "words": ["x"]}, thread("b/é"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteSaver]:
    """A file of LangGraph's own."""
    with SqliteSaver.from_conn_string(str(tmp_path / "theirs.db")) as saver:
        fill(saver)
        yield saver


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[PostgresSaver]:
    """Tables of LangGraph's own."""
    with PostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
        fill(saver)
        yield saver
        saver.delete_thread("a")
        saver.delete_thread("b/é")


@pytest.fixture(params=["sqlite", "postgres"])
def theirs(request: pytest.FixtureRequest) -> Any:
    """A saver that holds two threads."""
    return request.getfixturevalue(request.param)


def history(saver: Any, name: str) -> list[Any]:
    return [
        (state.values, state.next, state.metadata, state.config, state.parent_config, state.tasks)
        for state in graph(saver).get_state_history(thread(name))
    ]


def test_every_checkpoint_is_taken_over(theirs: Any, place_url: str, namespace: str) -> None:
    saver = BotWireSaver(namespace, url=place_url)
    assert saver.import_threads(theirs) == 2
    assert saver.list_threads() == ["a", "b/é"]
    for name in ("a", "b/é"):
        assert history(saver, name) == history(theirs, name)
    keys = set(saver.connection.memory.list_keys())
    assert saver.import_threads(theirs, ["a", "nowhere"]) == 1
    assert set(saver.connection.memory.list_keys()) == keys
    # Both are resumed with both savers.
    expected = graph(theirs).invoke(Command(resume="yes"), thread("b/é"))
    done = graph(saver).invoke(Command(resume="yes"), thread("b/é"))
    assert done["log"] == expected["log"] == ["answer yes", "worked"]
    assert done["words"] == expected["words"]


@pytest.mark.anyio
async def test_a_saver_that_is_only_asynchronous(tmp_path: Path, namespace: str) -> None:
    saver = BotWireSaver(namespace, url="sqlite://")
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
        await graph(theirs).ainvoke({"messages": ["hi"], "words": ["x"]}, thread("a"))
        assert await saver.aimport_threads(theirs) == 1
        found = await graph(saver).aget_state(thread("a"))
        assert found == await graph(theirs).aget_state(thread("a"))
