"""AutoGen: memory against autogen-ext's ChromaDB, state against JSON files."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from autogen_core.memory import Memory, MemoryContent, MemoryMimeType
from autogen_core.model_context import BufferedChatCompletionContext, ChatCompletionContext
from autogen_core.models import UserMessage
from autogen_ext.memory.chromadb import (
    ChromaDBVectorMemory,
    CustomEmbeddingFunctionConfig,
    PersistentChromaDBVectorMemoryConfig,
)

from benchmarks.comparing import Compare
from botwire_autogen import BotWireChatCompletionContext, BotWireMemory

MEMORIES, DIMENSION, MESSAGES, SHOWN = 1000, 384, 10_000, 20
ROUNDS = 50


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
        compare: Prints a row.
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
        compare("autogen: memory add", _adds(run, ours), _adds(run, theirs), 1)
        compare("autogen: memory query", _queries(run, ours), _queries(run, theirs), 1)

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
    rows(Compare(ROUNDS))
