"""A LangGraph agent whose thread survives its process."""

import sys

from langchain.agents import create_agent

from botwire_langgraph import BotWireSaver
from scripted.langchain import ScriptedChatModel

agent = create_agent(
    ScriptedChatModel(),  # your own model goes here
    tools=[],
    checkpointer=BotWireSaver("langgraph-agent"),
)

for line in sys.stdin:
    state = agent.invoke(
        {"messages": [{"role": "user", "content": line.strip()}]},
        {"configurable": {"thread_id": "user-42"}},
    )
    print(state["messages"][-1].content, flush=True)
