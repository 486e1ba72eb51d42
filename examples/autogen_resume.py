"""An AutoGen team that resumes in the next process where this one ended, killed or not."""

import asyncio
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat

from botwire_autogen import BotWireChatCompletionContext, CheckpointedTeam
from scripted.autogen import ScriptedClient


def agent(name: str) -> AssistantAgent:
    """Returns an agent whose conversation is stored on BotWire; its model sees the end of it."""
    return AssistantAgent(
        name,
        ScriptedClient(),  # your own model client goes here
        model_context=BotWireChatCompletionContext(
            "autogen-resume", name=f"context/{name}", buffer_size=20
        ),
    )


async def main() -> None:
    """Finishes what a killed process left undone, then gives the team each line of the input."""
    team = RoundRobinGroupChat([agent("helper"), agent("reviewer")], max_turns=1)
    checkpointed = CheckpointedTeam(team, "autogen-resume", max_turns=2)
    if await checkpointed.pending():
        await checkpointed.run()
    for line in sys.stdin:
        result = await checkpointed.run(task=line.strip())
        for message in result.messages[1:]:  # the first is the task
            print(f"{message.source}: {message.to_text()}", flush=True)


asyncio.run(main())
