"""Agno: a `Toolkit` by which an agent remembers, recalls and forgets, on BotWire.

Agno's own databases keep its sessions and runs; this is what an agent knows across all of them.
"""

from __future__ import annotations

import sys

from agno.agent import Agent
from agno.tools import Toolkit

from botwire import Memory
from scripted.agno import ScriptedModel


class BotWireTools(Toolkit):
    """Tools with which a model keeps what it should know next time.

    Args:
        memory: Whose memories; one namespace per user keeps users apart.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        super().__init__(
            name="botwire",
            tools=[self.remember, self.recall, self.forget],
            instructions="Recall before you answer. Remember what users tell you about themselves.",
            add_instructions=True,
        )

    def remember(self, text: str) -> str:
        """Remembers a fact for later conversations.

        Args:
            text: The fact, in a sentence that stands for itself.
        """
        return f"Remembered as {self.memory.remember(text)}."

    def recall(self, query: str) -> str:
        """Returns what was remembered about something, with the id of each memory.

        Args:
            query: What to look for.
        """
        found = self.memory.recall(query)
        return "\n".join(f"{one.text} (id {one.id})" for one in found) or str(found)

    def forget(self, id: str) -> str:
        """Forgets a memory that is wrong.

        Args:
            id: The id that `recall` returned.
        """
        return "Forgotten." if self.memory.records().delete(ids=[id]) else f"There is no {id!r}."


def main() -> None:
    """Answers each line of standard input, and remembers it."""
    agent = Agent(
        model=ScriptedModel(id="scripted"),  # your own model goes here
        tools=[BotWireTools(Memory("agno-user-42"))],
        telemetry=False,
    )
    for line in sys.stdin:
        print(agent.run(line.strip()).content, flush=True)


if __name__ == "__main__":
    main()
