"""LangGraph: a turn of a graph, whose message has an image, and the state after it."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks.images.frame import ENCODED, MIME, Works, main
from botwire_langgraph import BotWireSaver

Work = Callable[[], Awaitable[Any]]


def _turn_and_state(saver: Any) -> tuple[Work, Work]:
    async def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("seen")]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    app = builder.compile(checkpointer=saver)
    threads = itertools.count()
    last: Any = {"configurable": {"thread_id": "0"}}

    def turn() -> Awaitable[Any]:
        thread: Any = {"configurable": {"thread_id": str(next(threads))}}
        message = HumanMessage([{"type": "image", "base64": ENCODED, "mime_type": MIME}])
        return app.ainvoke({"messages": [message]}, thread)

    return turn, lambda: app.aget_state(last)


async def works(url: str) -> Works:
    """Returns what is measured."""
    turn, state = _turn_and_state(BotWireSaver("images", url=url))
    # A saver of its own, so that it reads what is stored.
    _, fresh = _turn_and_state(BotWireSaver("images", url=url))
    stock_turn, stock_state = _turn_and_state(InMemorySaver())
    return {
        "`BotWireSaver`: `ainvoke`": turn,
        "`BotWireSaver`: `aget_state`": state,
        "`BotWireSaver`: `aget_state`, another process": fresh,
        "`InMemorySaver`: `ainvoke`": stock_turn,
        "`InMemorySaver`: `aget_state`": stock_state,
    }


if __name__ == "__main__":
    main("LangGraph", works)
