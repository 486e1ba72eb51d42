"""A stored conversation is compacted like those of Agent Framework's own providers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentSession,
    CompactionProvider,
    InMemoryHistoryProvider,
    SlidingWindowStrategy,
    SummarizationStrategy,
    ToolResultCompactionStrategy,
    TruncationStrategy,
    tool,
)

from botwire import AsyncMemory
from botwire_agent_framework import BotWireHistoryProvider
from tests.scripted_agent import ScriptedClient, call


@tool(approval_mode="never_require")
def look(city: str) -> str:
    """Looks at the weather."""
    return f"12 degrees in {city}"


STRATEGIES = {
    "window": lambda: SlidingWindowStrategy(keep_last_groups=2),
    "truncation": lambda: TruncationStrategy(max_n=6, compact_to=3),
    "tools": lambda: ToolResultCompactionStrategy(keep_last_tool_call_groups=1),
    "summary": lambda: SummarizationStrategy(
        client=ScriptedClient(*(f"summary {i}" for i in range(9))), target_count=2, threshold=1
    ),
}


async def shown(provider: Any, strategy: Any, *, each_call: bool, anew: bool) -> list[Any]:
    """Returns what the model was shown in each of six turns, every third with a tool."""
    said: list[Any] = []
    session = AgentSession(session_id="s")
    for turn in range(6):
        answers = [call("look", city="Oslo")] if turn % 3 == 1 else []
        client = ScriptedClient(*answers, f"answer {turn}")
        compaction = CompactionProvider(
            after_strategy=strategy, history_source_id=provider.source_id
        )
        agent = Agent(
            client=client,
            context_providers=[provider, compaction],
            tools=[look],
            require_per_service_call_history_persistence=each_call,
        )
        await agent.run(
            f"question {turn}", session=AgentSession(session_id="s") if anew else session
        )
        said += [[(m.role, m.text) for m in one] for one in client.received]
    return said


@pytest.mark.parametrize("each_call", [False, True])
@pytest.mark.parametrize("name", STRATEGIES)
async def test_an_after_strategy_does_what_it_does_in_memory(
    tmp_path: Path, namespace: str, name: str, each_call: bool
) -> None:
    make: Any = STRATEGIES[name]
    stock = await shown(
        InMemoryHistoryProvider(skip_excluded=True), make(), each_call=each_call, anew=False
    )
    for anew in (False, True):
        memory = AsyncMemory(f"{namespace}-{anew}", url=f"sqlite:///{tmp_path / 'memory.db'}")
        provider = BotWireHistoryProvider(client=memory, skip_excluded=True)
        ours = await shown(provider, make(), each_call=each_call, anew=anew)
        assert ours == stock
        history = memory.history("s")
        archived = await history.read(archived=True)
        texts = [item.value["text"] for item in archived]
        assert all(f"question {turn}" in texts for turn in range(6))
        assert await history.count() < len(archived)
        await memory.aclose()
