"""AutoGen: memory against autogen-ext's ChromaDB, state against JSON files.

The rows of teams measure CPU time. They compare a late turn of a conversation with an early one,
also for a team whose state is saved in memory after each turn: no store can be faster than that.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.memory import Memory, MemoryContent, MemoryMimeType
from autogen_core.model_context import BufferedChatCompletionContext, ChatCompletionContext
from autogen_core.models import UserMessage
from autogen_ext.memory.chromadb import (
    ChromaDBVectorMemory,
    CustomEmbeddingFunctionConfig,
    PersistentChromaDBVectorMemoryConfig,
)
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire_autogen import BotWireChatCompletionContext, BotWireMemory, CheckpointedTeam

MEMORIES, DIMENSION, MESSAGES, SHOWN = 1000, 384, 10_000, 20
EARLY, LATE = 20, 600
ROUNDS = 50
Compare = Callable[[str, Callable[[], Any], Callable[[], Any], float], None]


def embed(texts: list[str]) -> list[list[float]]:
    """Returns a vector for each text; equal texts get equal vectors."""
    vectors = []
    for text in texts:
        source = random.Random(text)  # noqa: S311 - the same numbers in every run
        vectors.append([source.gauss(0, 1) for _ in range(DIMENSION)])
    return vectors


def _embedding_function() -> Any:
    import numpy as np  # noqa: PLC0415 - ChromaDB's own, and only its side needs it
    from chromadb import EmbeddingFunction  # noqa: PLC0415 - takes a second

    class Embedding(EmbeddingFunction[Any]):
        def __init__(self) -> None: ...

        def __call__(self, input: Any) -> Any:  # noqa: A002 - ChromaDB's name
            return [np.asarray(vector, dtype=np.float32) for vector in embed(list(input))]

    return Embedding()


def rows(compare: Compare) -> None:
    """Measures memory and conversations; both sides are durable, on one machine.

    Args:
        compare: `run.compare`.
    """
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        url = f"sqlite:///{Path(folder) / 'ours.db'}"

        def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return runner.run(coroutine)

        ours = BotWireMemory("bench", url=url, embedder=embed, retrieval="vector", k=5)
        theirs = ChromaDBVectorMemory(
            PersistentChromaDBVectorMemoryConfig(
                persistence_path=str(Path(folder) / "theirs"),
                k=5,
                embedding_function_config=CustomEmbeddingFunctionConfig(
                    function=_embedding_function, params={}
                ),
            )
        )
        for memory in (ours, theirs):
            for i in range(MEMORIES):
                run(memory.add(_content(f"fact {i}")))
        compare("autogen: memory add", *(_adds(run, m) for m in (ours, theirs)), 1)
        compare("autogen: memory query", *(_queries(run, m) for m in (ours, theirs)), 1)

        context = BotWireChatCompletionContext("bench", url=url, buffer_size=SHOWN)
        buffered = BufferedChatCompletionContext(SHOWN)
        message = UserMessage(content="hello " * 20, source="user")
        for one in (context, buffered):
            for _ in range(MESSAGES):
                run(one.add_message(message))
        kept = Path(folder, "context.json")
        compare(
            "autogen: message kept at 10,000",
            lambda: run(context.add_message(message)),
            lambda: run(_add_and_save(buffered, message, kept)),
            0.1,
        )
        compare(
            "autogen: last 20 of 10,000",
            lambda: run(
                BotWireChatCompletionContext("bench", url=url, buffer_size=SHOWN).get_messages()
            ),
            lambda: run(_load(json.loads(kept.read_text()))),
            0.1,
        )
        run(theirs.close())
        _turns(run, url)


def _turns(run: Callable[..., Any], url: str) -> None:
    """Measures a turn of a team of two agents, each of which sees only the last messages."""

    def team(turns: int, name: str) -> RoundRobinGroupChat:
        agents = [
            AssistantAgent(
                agent,
                ReplayChatCompletionClient(["word " * 20] * 2000),
                model_context=BotWireChatCompletionContext(
                    "bench", url=url, name=f"{name}/{agent}", buffer_size=SHOWN
                ),
            )
            for agent in "ab"
        ]
        return RoundRobinGroupChat([*agents], max_turns=turns)

    stock = team(1, "stock")

    async def in_memory(turns: int) -> None:
        for turn in range(turns):
            await stock.run(task=None if turn else "go")
            await stock.save_state()

    async def saved(turns: int) -> None:
        await CheckpointedTeam(team(1, "ours"), "bench", url=url, max_turns=turns).run(task="go")

    spent: list[list[float]] = []
    for work in (saved, in_memory):
        spent.append([])
        for before, turns in ((EARLY - 1, 20), (LATE - EARLY - 21, 20)):
            run(work(before))
            started = time.process_time()
            run(work(turns))
            spent[-1].append((time.process_time() - started) / turns * 1e3)
    for name, (early, late) in zip(("saved", "in memory"), spent, strict=True):
        ratio = f"{late / early:6.2f}" + (" (target 2)" if name == "saved" else "")
        row = f"autogen: turn {LATE}, {EARLY}, {name}"
        print(f"{row:34} {late:9.1f} ms {early:9.1f} ms {ratio}")


def _content(text: str) -> MemoryContent:
    return MemoryContent(content=text, mime_type=MemoryMimeType.TEXT)


def _adds(run: Callable[..., Any], memory: Memory) -> Callable[[], Any]:
    return lambda: run(memory.add(_content("one more")))


def _queries(run: Callable[..., Any], memory: Memory) -> Callable[[], Any]:
    return lambda: run(memory.query("fact 7"))


async def _add_and_save(context: ChatCompletionContext, message: UserMessage, file: Path) -> None:
    """Keeps a conversation as AutoGen's documentation does, but durably."""
    await context.add_message(message)
    new = file.with_suffix(".new")
    with new.open("w") as opened:
        json.dump(await context.save_state(), opened)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


async def _load(state: Any) -> Any:
    context = BufferedChatCompletionContext(SHOWN)
    await context.load_state(state)
    return await context.get_messages()


if __name__ == "__main__":
    import run

    run.ROUNDS = ROUNDS
    rows(run.compare)
