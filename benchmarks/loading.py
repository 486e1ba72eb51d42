"""Loads long conversations, each class in programs of its own, as a user runs it.

In a process that holds the modules of all peers, Python's garbage collector would take longer than
in a user's program; without it, what a class makes it do would not count.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.sides import Spent, print_spent

LOADED = {1_000: 10, 10_000: 3}
"""The messages of a conversation, and how often each program loads it."""
PROGRAMS = 4
TEXT = "word " * 40


class _Chat:
    """A conversation of one class; each imports no other class's modules."""

    def __init__(self, place: str, count: int) -> None:
        self.place = place
        self.count = count
        self.name = f"chat of {count}"

    def fill(self) -> None:
        """Stores its messages."""
        raise NotImplementedError

    def load(self) -> list[Any]:
        """Returns its messages."""
        raise NotImplementedError


class _LangChain(_Chat):
    def __init__(self, place: str, count: int) -> None:
        super().__init__(place, count)
        self._history = self._open()

    def _open(self) -> Any:
        from botwire_langchain import BotWireChatMessageHistory

        return BotWireChatMessageHistory(self.name, namespace="lc", url=self.place)

    def fill(self) -> None:
        from langchain_core.messages import AIMessage, HumanMessage

        kinds = (HumanMessage, AIMessage)
        self._history.add_messages([kinds[i % 2](f"{i} {TEXT}") for i in range(self.count)])

    def load(self) -> list[Any]:
        found: list[Any] = self._history.messages
        return found


class _LangChainSQL(_LangChain):
    def _open(self) -> Any:
        from langchain_community.chat_message_histories import SQLChatMessageHistory

        return SQLChatMessageHistory(self.name, connection=self.place)


class _LangChainRedis(_LangChain):
    def _open(self) -> Any:
        from langchain_community.chat_message_histories import RedisChatMessageHistory

        return RedisChatMessageHistory(self.name, url=self.place)


class _LlamaIndex(_Chat):
    def __init__(self, place: str, count: int) -> None:
        super().__init__(place, count)
        self._store = self._open()

    def _open(self) -> Any:
        from botwire_llamaindex import BotWireChatStore

        return BotWireChatStore("li", url=self.place)

    def _messages(self) -> list[Any]:
        from llama_index.core.base.llms.types import ChatMessage

        roles = ("user", "assistant")
        return [ChatMessage(role=roles[i % 2], content=f"{i} {TEXT}") for i in range(self.count)]

    def fill(self) -> None:
        self._store.set_messages(self.name, self._messages())

    def load(self) -> list[Any]:
        found: list[Any] = self._store.get_messages(self.name)
        return found


class _LlamaIndexRedis(_LlamaIndex):
    def _open(self) -> Any:
        from llama_index.storage.chat_store.redis import (  # type: ignore[import-untyped]
            RedisChatStore,
        )

        return RedisChatStore(redis_url=self.place)


class _LlamaIndexSQL(_LlamaIndex):
    def _open(self) -> Any:
        from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

        self._runner = asyncio.Runner()
        return SQLAlchemyChatStore("chats", async_database_uri=self.place)

    def fill(self) -> None:
        self._runner.run(self._store.set_messages(self.name, self._messages()))

    def load(self) -> list[Any]:
        found: list[Any] = self._runner.run(self._store.get_messages(self.name))
        return found


CHATS: dict[str, type[_Chat]] = {
    "langchain": _LangChain,
    "langchain-sql": _LangChainSQL,
    "langchain-redis": _LangChainRedis,
    "llamaindex": _LlamaIndex,
    "llamaindex-sql": _LlamaIndexSQL,
    "llamaindex-redis": _LlamaIndexRedis,
}


def _run(chat: str, place: str, count: int, rounds: int) -> Spent:
    arguments = (chat, place, str(count), str(rounds))
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.loading", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Spent(*json.loads(done.stdout))


def print_loads(framework: str, sides: dict[str, tuple[str, str | None]]) -> None:
    """Measures a framework's classes and prints a row for each and length.

    Args:
        framework: The framework's name.
        sides: What to load by the name to print: the name in `CHATS`, and the place, if there is
            one.
    """
    for count, rounds in LOADED.items():
        spent = {}
        for name, (chat, place) in sides.items():
            if place is not None:
                _run(chat, place, count, 0)
                spent[name] = Spent([], [])
        for _ in range(PROGRAMS):
            for name, found in spent.items():
                chat, place = sides[name]
                assert place is not None
                clock, cpu = _run(chat, place, count, rounds)
                found.clock.extend(clock)
                found.cpu.extend(cpu)
        print_spent(f"{framework}: load {count:,} messages", spent)


def main() -> None:
    """Loads a conversation, or stores it if it is to be loaded no time at all."""
    name, place, count, rounds = sys.argv[1:]
    chat = CHATS[name](place, int(count))
    if not int(rounds):
        chat.fill()
    spent = Spent([], [])
    for _ in range(int(rounds)):
        started, computed = time.perf_counter(), time.process_time()
        messages = chat.load()
        spent.clock.append(time.perf_counter() - started)
        spent.cpu.append(time.process_time() - computed)
        assert len(messages) == chat.count
        del messages
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
