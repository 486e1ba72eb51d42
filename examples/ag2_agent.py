"""An AG2 agent whose stream and files survive its process."""

import asyncio
import sys

from ag2 import Agent, KnowledgeConfig

from botwire_ag2 import BotWireKnowledgeStore, BotWireStorage
from scripted.ag2 import ScriptedConfig


async def main() -> None:
    """Answers each line of the input."""
    agent = Agent(
        "helper",
        config=ScriptedConfig(),  # your own model goes here
        knowledge=KnowledgeConfig(BotWireKnowledgeStore("ag2-agent")),
    )
    stream = await BotWireStorage("ag2-agent").stream("user-42")
    for line in sys.stdin:
        reply = await agent.ask(line.strip(), stream=stream)
        print(reply.body, flush=True)


asyncio.run(main())
