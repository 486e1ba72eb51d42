"""Two MCP clients share one memory: the second recalls what the first remembered."""

import asyncio
import os
import sys

from mcp import Client, StdioServerParameters

# In a client's settings: "command": "uvx", "args": ["botwire-mcp"]
SERVER = StdioServerParameters(
    command=sys.executable,
    args=["-m", "botwire_mcp"],
    env=dict(os.environ),  # clients hide most of it from their servers, BOTWIRE_URL too
)


async def main(said: str) -> None:
    """Remembers a line with one client, and recalls it with another one."""
    async with Client(SERVER) as first:
        await first.call_tool("remember", {"text": said, "about": "/people/ada"})
    async with Client(SERVER) as second:
        answer = await second.call_tool("recall", {"about": "/people/ada"})
    for note in answer.structured_content["notes"]:
        print(note["text"])


asyncio.run(main(input().strip()))
