"""OpenAI Agents SDK: a session, against the SDK's own SQLiteSession on a file.

Each side runs with its defaults.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from typing import Any

from agents import SQLiteSession

from benchmarks.comparing import Compare
from botwire_openai_agents import BotWireSession

LONG = 10_000
ROUNDS = 300
TEXT = "word " * 40


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        for items in (10, LONG):
            ours = BotWireSession(f"chat-{items}", url=f"sqlite:///{name}/ours.db")
            theirs = SQLiteSession(f"chat-{items}", f"{name}/theirs.db")
            for session in (ours, theirs):
                runner.run(session.add_items(_turn() * (items // 2)))

            def add(session: Any) -> Callable[[], Any]:
                return lambda: runner.run(session.add_items(_turn()))

            def last(session: Any) -> Callable[[], Any]:
                return lambda: runner.run(session.get_items(20))

            compare(f"openai-agents: add, {items} items", add(ours), add(theirs), 1.5)
            compare(f"openai-agents: last 20 of {items}", last(ours), last(theirs), 2)
            theirs.close()


def _turn() -> list[Any]:
    return [{"role": "user", "content": TEXT}, {"role": "assistant", "content": TEXT}]


if __name__ == "__main__":
    rows(Compare(ROUNDS))
