"""Claude with the memory tool: its notes survive the process, and all agents share them."""

import sys

from anthropic import Anthropic

from botwire_claude import BotWireMemoryTool
from scripted.claude import scripted_api

tool = BotWireMemoryTool("claude-memory")
with scripted_api() as url:
    client = Anthropic(base_url=url, api_key="scripted")  # your own: Anthropic()
    for line in sys.stdin:
        runner = client.beta.messages.tool_runner(
            model="claude-sonnet-5-5",
            max_tokens=1000,
            tools=[tool],
            messages=[{"role": "user", "content": line.strip()}],
            betas=["context-management-2025-06-27"],
        )
        print(runner.until_done().content[0].text, flush=True)
