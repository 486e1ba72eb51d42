"""An AG2 task that resumes where it was: stop the program at any time, and start it again."""

import asyncio
import sys

from ag2 import Agent
from ag2.testing import TestConfig

from botwire_ag2 import BotWireCheckpointStore


async def main() -> None:
    """Reads lines, and remembers those of earlier processes."""
    store = BotWireCheckpointStore("ag2-task")
    agent = Agent("reader", config=TestConfig())  # your own model goes here
    unfinished = await store.list_tasks()
    before = unfinished[0] if unfinished else None
    async with agent.task("read all", checkpoint_store=store, resume_from=before) as task:
        lines = list((task.resumed_state or {"lines": []})["lines"])
        for line in sys.stdin:
            lines.append(line.strip())
            await task.checkpoint({"lines": lines})
            if before is not None:  # this task has taken it over
                await store.delete(before)
                before = None
            print(f"{len(lines)}: {' '.join(lines)}", flush=True)


asyncio.run(main())
