"""A crew of CrewAI with a scripted model, for the tests that need a real one."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from crewai import Agent, BaseLLM, Crew, Task

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from botwire_crewai import BotWireMemory
from scripted.crewai import ScriptedLLM, embed

__all__ = ["ScriptedLLM", "embed", "make_crew", "make_memory"]


def make_crew(memory: Any, llm: BaseLLM | None = None, **of_agent: Any) -> Crew:
    """Returns a crew of one agent that does what ``message`` says."""
    llm = llm or ScriptedLLM(model="scripted")
    agent = Agent(role="Assistant", goal="Help.", backstory="You help.", llm=llm, **of_agent)
    task = Task(description="{message}", expected_output="An answer.", agent=agent)
    return Crew(agents=[agent], tasks=[task], memory=memory)


def make_memory(namespace: str | ContextVar[str], url: str, **options: Any) -> BotWireMemory:
    """Returns a memory that asks the scripted model."""
    llm = ScriptedLLM(model="scripted")
    return BotWireMemory(namespace, url=url, **{"llm": llm, "embedder": embed, **options})
