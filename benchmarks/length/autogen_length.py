"""AutoGen: a turn of a team of two, after 20 messages and after 600.

Each agent sees only the last messages. The team without a store saves its state in memory after
each turn: no store can be faster than that.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from benchmarks.length.frame import print_row
from botwire_autogen import BotWireChatCompletionContext, CheckpointedTeam

EARLY, LATE = 20, 600
TURNS = 20
SHOWN = 20


def _team(url: str, turns: int, name: str) -> RoundRobinGroupChat:
    agents = [
        AssistantAgent(
            agent,
            ReplayChatCompletionClient(["word " * 20] * 2000),
            model_context=BotWireChatCompletionContext(
                "length", url=url, name=f"{name}/{agent}", buffer_size=SHOWN
            ),
        )
        for agent in "ab"
    ]
    return RoundRobinGroupChat([*agents], max_turns=turns)


async def _spent(run: Callable[[int], Awaitable[None]], turns: int) -> tuple[float, float]:
    """Returns the CPU seconds of a turn after `EARLY` and after `LATE` messages.

    Args:
        run: Runs some turns.
        turns: How many turns to run at a time.
    """
    found, count = [], 0
    for start in (EARLY, LATE):
        await run(start - count)
        times = []
        for _ in range(TURNS // turns):
            began = time.process_time()
            await run(turns)
            times.append((time.process_time() - began) / turns)
        found.append(statistics.median(times))
        count = start + TURNS
    return found[0], found[1]


async def _measure(url: str) -> None:
    stock = _team(url, 1, "stock")
    begun = False

    async def in_memory(turns: int) -> None:
        nonlocal begun
        for _ in range(turns):
            await stock.run(task=None if begun else "go")
            await stock.save_state()
            begun = True

    def saved(name: str) -> Callable[[int], Awaitable[None]]:
        async def run(turns: int) -> None:
            team = CheckpointedTeam(_team(url, 1, name), name, url=url, max_turns=turns)
            await team.run(task="go")

        return run

    for store, run, turns in (
        ("**a file**, 20 turns per run", saved("long-runs"), TURNS),
        ("**a file**, opened for each turn", saved("short-runs"), 1),
        ("state saved in memory", in_memory, 1),
    ):
        print_row("`CheckpointedTeam`", store, (EARLY, LATE), await _spent(run, turns))


def main() -> None:
    """Prints a row for each way."""
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(_measure(f"sqlite:///{Path(name) / 'ours.db'}"))


if __name__ == "__main__":
    main()
