"""A deep agent on deepagents' own `StoreBackend`, whose files are in a `BotWireStore`.

For programs that have a store already. `BotWireBackend`, in `langgraph_deepagent.py`, loses no edit
if several agents edit one file, and does not read every file to list a folder.
"""

import sys
import uuid

from deepagents import create_deep_agent
from deepagents.backends import StoreBackend

from botwire_langgraph import BotWireStore
from scripted.langchain import ScriptedNotesModel

store = BotWireStore("langgraph-deepagent-store")
agent = create_deep_agent(
    ScriptedNotesModel(),  # your own model goes here
    backend=StoreBackend(store=store, namespace=lambda _: ("files",)),
)
for line in sys.stdin:
    # A new conversation each time: it knows earlier ones from the files only.
    thread = {"configurable": {"thread_id": uuid.uuid4().hex}}
    state = agent.invoke({"messages": [{"role": "user", "content": line.strip()}]}, thread)
    print(state["messages"][-1].content, flush=True)
