"""A Pydantic AI agent whose conversation survives its process."""

import asyncio
import sys

from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation

from botwire_pydantic_ai import BotWireConversationStore
from scripted.pydantic_ai import scripted_model


async def main() -> None:
    """Answers each line of the input."""
    agent = Agent(scripted_model())  # your own model goes here
    store = BotWireConversationStore("pydantic-ai")
    for line in sys.stdin:
        conversation = await store.load("user-42") or Conversation(conversation_id="user-42")
        result = await agent.run(line.strip(), conversation=conversation)
        await store.save(result)
        print(result.output, flush=True)


asyncio.run(main())
