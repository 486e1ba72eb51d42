"""A Claude agent whose session survives its process, and the machine it ran on."""

import asyncio
import sys
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ResultMessage,
    project_key_for_directory,
)

from botwire_claude import BotWireSessionStore
from scripted.claude import scripted_claude

FOLDER = Path(__file__).parent  # where the agent works; sessions belong to a folder
SESSION = str(uuid5(NAMESPACE_URL, "user-42"))  # Claude Code's ids of sessions are UUIDs


async def main() -> None:
    """Answers each line of the input."""
    store = BotWireSessionStore("claude-session")
    project = project_key_for_directory(FOLDER)
    known = await store.load({"project_key": project, "session_id": SESSION})
    with scripted_claude() as environment:  # leave this out for your own account
        options = ClaudeAgentOptions(
            session_store=store,
            session_store_flush="eager",  # each entry is stored as it comes
            resume=SESSION if known else None,
            session_id=None if known else SESSION,
            tools=[],
            setting_sources=[],
            cwd=FOLDER,
            env=environment,
        )
        async with ClaudeSDKClient(options) as client:
            for line in sys.stdin:
                await client.query(line.strip())
                async for message in client.receive_response():
                    if isinstance(message, ResultMessage):
                        print(message.result, flush=True)


asyncio.run(main())
