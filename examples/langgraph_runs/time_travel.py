"""A LangGraph thread that can go back: a story told line by line, with other endings."""

import operator
import sys
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph

from botwire_langgraph import BotWireSaver


class State(TypedDict):
    """The story so far."""

    lines: Annotated[list[str], operator.add]


builder = StateGraph(State)
builder.add_node("tell", lambda state: {})
builder.add_edge(START, "tell")
builder.add_edge("tell", END)
graph = builder.compile(checkpointer=BotWireSaver("langgraph-time-travel"))
thread = {"configurable": {"thread_id": "user-42"}}


def go_back() -> None:
    """Makes the state before the last line the latest one; the old ending stays in the past."""
    told = graph.get_state(thread).values["lines"]
    for state in graph.get_state_history(thread):
        if not state.next and state.values.get("lines") == told[:-1]:
            graph.update_state(state.config, None, as_node="__copy__")
            return


def endings() -> list[str]:
    """Returns every version of the story that was ever told."""
    return [
        " ".join(state.values["lines"])
        for state in graph.get_state_history(thread)
        if not state.next and state.metadata["source"] == "loop"
    ]


for line in sys.stdin:
    said = line.strip()
    if said == "back":
        go_back()
    elif said:
        graph.invoke({"lines": [said]}, thread)
    print(" ".join(graph.get_state(thread).values["lines"]), flush=True)
    if not said:
        print("\n".join(endings()), flush=True)
