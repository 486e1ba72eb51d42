"""An OpenAI Agents SDK agent whose session survives its process."""

import asyncio
import sys

from agents import Agent, Runner, set_tracing_disabled

from botwire_openai_agents import BotWireSession
from scripted.openai_agents import ScriptedModel


async def main() -> None:
    """Answers each line of the input."""
    set_tracing_disabled(disabled=True)  # the SDK sends traces to OpenAI otherwise
    agent = Agent("helper", model=ScriptedModel())  # your own model goes here
    session = BotWireSession("user-42", namespace="openai-agents")
    for line in sys.stdin:
        result = await Runner.run(agent, line.strip(), session=session)
        print(result.final_output, flush=True)


asyncio.run(main())
