"""A Google ADK agent whose sessions survive its process."""

import asyncio
import sys

from google.adk.agents import LlmAgent
from google.adk.runners import Runner
from google.genai import types

from botwire_google_adk import BotWireSessionService
from scripted.google_adk import ScriptedModel


async def main() -> None:
    """Answers each line of the input."""
    runner = Runner(
        app_name="notes",
        agent=LlmAgent(name="helper", model=ScriptedModel()),  # your own model goes here
        session_service=BotWireSessionService("google-adk-agent"),
        auto_create_session=True,
    )
    for line in sys.stdin:
        said = types.UserContent(line.strip())
        async for event in runner.run_async(user_id="ada", session_id="1", new_message=said):
            if event.is_final_response() and event.content and event.content.parts:
                print(event.content.parts[0].text, flush=True)


asyncio.run(main())
