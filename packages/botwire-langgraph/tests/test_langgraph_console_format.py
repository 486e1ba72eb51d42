"""The stored format that the console reads without LangGraph, in an export and as written now."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from botwire import Memory, transfer
from botwire import operations as ops
from botwire.engines.sqlite import SQLiteEngine
from botwire_langgraph import BotWireSaver

THREADS = Path(__file__).parents[2] / "botwire-console/tests/langgraph_threads.jsonl.gz"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SQLiteEngine]:
    engine = SQLiteEngine(tmp_path / "memory.db")
    with gzip.open(THREADS) as file:
        transfer.load(engine, file)
    yield engine
    engine.close()


def test_the_export_that_the_console_is_tested_with_is_still_read(engine: SQLiteEngine) -> None:
    saver = BotWireSaver(client=Memory("user-123", engine=engine))
    found = saver.get_tuple({"configurable": {"thread_id": "oslo trip"}})
    assert found is not None
    assert found.metadata["step"] == 10
    messages = found.checkpoint["channel_values"]["messages"]
    assert [message.content for message in messages if message.type == "human"] == [
        "Is it a good week for Oslo?",
        "Yes, and a window seat please.",
    ]


def test_what_is_written_now_has_the_same_form(engine: SQLiteEngine) -> None:
    memory = Memory("user-123", engine=engine)
    graph = (
        StateGraph(MessagesState)
        .add_node("wait", lambda _: {"messages": []})
        .add_edge(START, "wait")
        .add_edge("wait", END)
        .compile(checkpointer=BotWireSaver(client=memory))
    )
    graph.invoke({"messages": [HumanMessage("hi")]}, {"configurable": {"thread_id": "now"}})
    (page,) = engine.apply(ops.Batch("user-123", (ops.ScanKeys("checkpoints/"),)))
    fields = {}
    for entry in page.entries:
        thread = entry.key.split("/")[1]
        fields.setdefault(thread, set()).add((len(entry.key.split("/")), *entry.value.value))
    assert fields["now"] == fields["oslo%20trip"]
    kinds = [{key.split("/")[0] for key in memory.list_keys() if f"/{name}/" in key}
             for name in ("now", "oslo%20trip")]  # fmt: skip
    assert kinds[0] == kinds[1] - {"busy"}
