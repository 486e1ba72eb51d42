"""An AutoGen team whose agent remembers what it learned in earlier processes."""

import asyncio
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.memory import MemoryContent, MemoryMimeType

from botwire_autogen import BotWireMemory
from scripted.autogen import ScriptedClient


async def main() -> None:
    """Answers each line of the input, and remembers statements."""
    memory = BotWireMemory("autogen-team")
    for line in sys.stdin:
        agent = AssistantAgent(
            "helper",
            ScriptedClient(),  # your own model client goes here
            memory=[memory],
        )
        team = RoundRobinGroupChat([agent], max_turns=1)
        result = await team.run(task=line.strip())
        if not line.strip().endswith("?"):
            content = MemoryContent(content=line.strip(), mime_type=MemoryMimeType.TEXT)
            await memory.add(content)
        print(result.messages[-1].content, flush=True)


asyncio.run(main())
