"""A deep agent that keeps notes in files, which any number of agents edit."""

import sys
import uuid

from deepagents import create_deep_agent

from botwire_langgraph import BotWireBackend
from scripted.langchain import ScriptedNotesModel

agent = create_deep_agent(
    ScriptedNotesModel(),  # your own model goes here
    backend=BotWireBackend("langgraph-deepagent"),
)
for line in sys.stdin:
    # A new conversation each time: it knows earlier ones from the files only.
    thread = {"configurable": {"thread_id": uuid.uuid4().hex}}
    state = agent.invoke({"messages": [{"role": "user", "content": line.strip()}]}, thread)
    print(state["messages"][-1].content, flush=True)
