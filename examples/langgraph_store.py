"""A LangGraph agent that knows its user in every conversation: it keeps facts in a store."""

import sys
import uuid

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool

from botwire_langgraph import BotWireSaver, BotWireStore
from scripted.langchain import ScriptedToolChatModel

USER = ("users", "user-42")


@tool
def remember(fact: str, runtime: ToolRuntime) -> str:
    """Stores a fact about the user."""
    runtime.store.put(USER, uuid.uuid4().hex, {"fact": fact})
    return "Noted."


@tool
def recall(question: str, runtime: ToolRuntime) -> str:
    """Finds facts about the user."""
    found = runtime.store.search(USER, query=question, limit=3)
    return "\n".join(item.value["fact"] for item in found) or "Nothing."


agent = create_agent(
    ScriptedToolChatModel(),  # your own model goes here
    tools=[remember, recall],
    checkpointer=BotWireSaver("langgraph-store"),  # this conversation
    store=BotWireStore("langgraph-store"),  # what all conversations share
)
# A new conversation each time; its thread knows nothing of earlier ones.
thread = {"configurable": {"thread_id": uuid.uuid4().hex}}

for line in sys.stdin:
    state = agent.invoke({"messages": [{"role": "user", "content": line.strip()}]}, thread)
    print(state["messages"][-1].content, flush=True)
