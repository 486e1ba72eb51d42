"""A Microsoft Agent Framework agent whose session survives its process."""

import asyncio
import sys

from agent_framework import Agent, AgentSession

from botwire_agent_framework import BotWireContextProvider, BotWireHistoryProvider
from scripted.agent_framework import ScriptedClient


async def main() -> None:
    """Answers each line of the input."""
    agent = Agent(
        client=ScriptedClient(),  # your own chat client goes here
        context_providers=[
            BotWireHistoryProvider("agent-framework"),
            BotWireContextProvider("agent-framework"),
        ],
        require_per_service_call_history_persistence=True,
    )
    session = AgentSession(session_id="user-42")
    for line in sys.stdin:
        print(await agent.run(line.strip(), session=session), flush=True)


asyncio.run(main())
