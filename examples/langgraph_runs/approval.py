"""A LangGraph run that waits for a person: asked in one process, answered in the next."""

import sys
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from botwire_langgraph import BotWireSaver


class State(TypedDict, total=False):
    """A task to be approved, and its outcome."""

    request: str
    outcome: str


def ask(state: State) -> State:
    """Stops the run until somebody resumes it with an answer."""
    answer = interrupt(f"Shall I: {state['request']}?")
    return {"outcome": f"{'Done' if answer == 'yes' else 'Left'}: {state['request']}"}


builder = StateGraph(State)
builder.add_node("ask", ask)
builder.add_edge(START, "ask")
builder.add_edge("ask", END)
graph = builder.compile(checkpointer=BotWireSaver("langgraph-approval"))
thread = {"configurable": {"thread_id": "user-42"}}

for line in sys.stdin:
    said = line.strip()
    # The stored state, not this process, knows whether something waits.
    waits = bool(graph.get_state(thread).next)
    state = graph.invoke(Command(resume=said) if waits else {"request": said}, thread)
    waiting = state.get("__interrupt__")
    print(waiting[0].value if waiting else state["outcome"], flush=True)
