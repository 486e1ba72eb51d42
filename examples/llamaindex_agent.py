"""A LlamaIndex agent that remembers. Tell it something, stop it, start it again, and ask."""

import asyncio
import sys

from llama_index.core.agent.workflow import FunctionAgent

from botwire_llamaindex import BotWireChatMemoryBuffer
from scripted.llamaindex import function_calling_llm


def city_of(name: str) -> str:
    """Says where somebody lives."""
    return f"{name} lives in Oslo"


async def main() -> None:
    """Answers each line of the input."""
    memory = BotWireChatMemoryBuffer.from_defaults(namespace="llamaindex-agent")
    agent = FunctionAgent(
        name="helper",
        description="Helps",
        tools=[city_of],
        llm=function_calling_llm(),  # your own model goes here
    )
    for line in sys.stdin:
        print(await agent.run(line.strip(), memory=memory), flush=True)


asyncio.run(main())
