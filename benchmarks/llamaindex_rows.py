"""LlamaIndex's window of 3,000 tokens, from long conversations, against the stock buffer.

The stock buffer recounts the whole rest for each turn that it drops, so 10,000 messages take it
minutes. It gets a fiftieth of them here, which is in its favor.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.utils import get_tokenizer

from botwire_llamaindex import BotWireChatMemoryBuffer, BotWireMemory

OURS, STOCK = 10_000, 200  # messages
TOKEN_LIMIT = 3_000
LARGE_LIMIT = 96_000  # what ``llm=`` leads to for a model of 128,000
ROUNDS = 20
TARGET_MILLISECONDS = 50


def conversation(count: int) -> list[ChatMessage]:
    """Returns messages of 40 words, questions and answers in turn."""
    return [
        ChatMessage(role=("user", "assistant")[i % 2], content=f"message {i} " + "word " * 38)
        for i in range(count)
    ]


def milliseconds(work: Callable[[], Any]) -> float:
    """Returns the median time of `ROUNDS` calls in milliseconds, after one warm-up call."""
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def uncounted(memory: BotWireChatMemoryBuffer) -> BotWireChatMemoryBuffer:
    """Returns the same memory with a new tokenizer, so nothing is counted yet."""
    return memory.model_copy(update={"tokenizer_fn": functools.partial(get_tokenizer())})


def turn(memory: BotWireChatMemoryBuffer | BotWireMemory) -> float:
    """Returns the median time of a `get` after one new message, in milliseconds."""
    memory.put_messages(conversation(OURS))
    memory.get()
    times = []
    for count in range(ROUNDS):
        memory.put(ChatMessage(role="user", content=f"and now? {count}"))
        started = time.perf_counter()
        memory.get()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def main() -> None:
    """Measures the blocking `get` on a file, and its growth with the conversation."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'memory.db'}"
        ours, short = (
            BotWireChatMemoryBuffer.from_defaults(
                conversation(count), namespace="bench", url=url, chat_store_key=str(count),
                token_limit=TOKEN_LIMIT,
            )
            for count in (OURS, STOCK)
        )  # fmt: skip
        stock = ChatMemoryBuffer.from_defaults(conversation(STOCK), token_limit=TOKEN_LIMIT)
        assert ours.get()
        assert short.get() == stock.get()
        long = milliseconds(ours.get)
        print(f"window, {OURS:,} messages: {long:.1f} ms (target {TARGET_MILLISECONDS} ms)")
        first = milliseconds(lambda: uncounted(ours).get())
        print(f"  counted for the first time: {first:.1f} ms (target {TARGET_MILLISECONDS} ms)")
        for memory in (
            BotWireChatMemoryBuffer("turns", LARGE_LIMIT, url=url),
            BotWireMemory("turns-newer", LARGE_LIMIT, url=url, chat_history_token_ratio=1.0),
        ):
            print(
                f"  get after a message, {LARGE_LIMIT:,} tokens, {type(memory).__name__}: "
                f"{turn(memory):.1f} ms (target {TARGET_MILLISECONDS} ms)"
            )
        print(f"  to ours of {STOCK}:      {long / milliseconds(short.get):.2f} (target 1.2)")
        print(f"  to stock's of {STOCK}:   {long / milliseconds(stock.get):.2f} (target 1)")


if __name__ == "__main__":
    main()
