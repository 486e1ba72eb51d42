"""LangGraph: a turn of ``create_agent`` with a tool call, at turn 10 and at turn 500."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.langgraph_rows import TEXT, ScriptedModel, look
from benchmarks.length.frame import print_row
from botwire_langgraph import BotWireSaver

EARLY, LATE = 10, 500
TIMES = 15


class _Thread:
    """A thread that already has some turns."""

    def __init__(self, saver: Any, turns: int) -> None:
        self._agent: Any = create_agent(ScriptedModel(seconds=0), [look], checkpointer=saver)
        self._config: RunnableConfig = {"configurable": {"thread_id": f"after {turns}"}}
        self._past: list[Any] = []
        for i in range(turns):
            call = {"name": "look", "args": {}, "id": f"c{i}"}
            self._past += [
                HumanMessage(TEXT, id=f"h{i}"),
                AIMessage("", id=f"a{i}", tool_calls=[call]),
                ToolMessage("found", id=f"t{i}", tool_call_id=f"c{i}"),
                AIMessage(TEXT, id=f"b{i}"),
            ]
        if saver is not None:
            self._agent.update_state(self._config, {"messages": self._past}, as_node="model")
            self._past = []  # it is stored

    def turn(self) -> float:
        """Runs a turn; returns its CPU seconds."""
        begun = time.process_time()
        self._agent.invoke({"messages": [*self._past, HumanMessage(TEXT)]}, self._config)
        return time.process_time() - begun


def main() -> None:
    """Prints a row for each saver, and one without any."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SqliteSaver.from_conn_string(str(folder / "theirs.db")) as stock:
            savers = {
                "**`BotWireSaver`**": BotWireSaver("length", url=f"sqlite:///{folder / 'ours.db'}"),
                "`SqliteSaver`": stock,
                "`InMemorySaver`": InMemorySaver(),
                "no saver": None,
            }
            for kind, saver in savers.items():
                early, late = _Thread(saver, EARLY), _Thread(saver, LATE)
                rounds = [(early.turn(), late.turn()) for _ in range(TIMES)]
                first, last = (statistics.median(column) for column in zip(*rounds, strict=True))
                print_row("`create_agent`", kind, (EARLY, LATE), (first, last))


if __name__ == "__main__":
    main()
