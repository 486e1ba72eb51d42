"""What LlamaIndex's own memories lose and ours keep, side by side."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import BaseMemoryBlock, ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from llama_index.core.workflow import Context
from pydantic import PrivateAttr
from sqlalchemy.ext.asyncio import AsyncEngine

from botwire.tool_calls import NOT_COMPLETED
from botwire_llamaindex import BotWireChatMemoryBuffer, BotWireChatStore, BotWireMemory
from tests.zygote import Zygote

pytestmark = pytest.mark.anyio


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=text)


def texts(messages: list[ChatMessage]) -> list[str | None]:
    return [message.content for message in messages]


def words(text: str) -> list[str]:
    return text.split()


@pytest.fixture
def file(tmp_path: Path, namespace: str) -> dict[str, Any]:
    """An empty namespace in a file, as arguments."""
    return {"namespace": namespace, "url": f"sqlite:///{tmp_path / 'memory.db'}"}


async def windows_seen(memory: Any) -> tuple[list[int], str]:
    """Runs an agent three times in one context; returns what its model saw, and the context."""
    seen = []

    def answer(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        seen.append(len(messages))
        return assistant(f"an answer {len(seen)}")

    agent = FunctionAgent(tools=[], llm=MockFunctionCallingLLM(response_generator=answer))
    context = Context(agent)
    await agent.run("a question", ctx=context, memory=memory)
    await agent.run("another question", ctx=context)
    await agent.run("one more question", ctx=context)
    return seen, json.dumps(context.to_dict())


@pytest.mark.filterwarnings("ignore::workflows.context.state_store.UnserializableKeyWarning")
async def test_a_context_keeps_its_memory(place: dict[str, Any], database: AsyncEngine) -> None:
    stock = Memory.from_defaults(session_id="s", async_engine=database)
    assert (await windows_seen(stock))[0][:2] == [1, 1]
    # With pydantic 2.14 the stock buffer is lost too; with older releases it keeps its memory by
    # writing the whole conversation into the context.
    seen, context = await windows_seen(ChatMemoryBuffer.from_defaults())
    assert seen == [1, 1, 1] or "another question" in context

    for ours in (BotWireChatMemoryBuffer.from_defaults(**place, chat_store_key="buffer"),
                 BotWireMemory.from_defaults(**place, session_id="memory")):  # fmt: skip
        seen, context = await windows_seen(ours)
        assert seen == [1, 3, 5]
        assert "an answer" not in context
        assert "another question" not in context  # LlamaIndex itself keeps the last one


DYING = """
import asyncio, os, signal, sys
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from botwire_llamaindex import BotWireChatMemoryBuffer, BotWireChatStore, BotWireMemory

namespace, url = sys.argv[1:]


def lookup(city: str) -> str:
    "Looks up the weather."
    return "12 degrees"


def answer(messages, **kwargs):
    if messages[-1].role == "tool":
        return ChatMessage(role="assistant", content="It is cold.")
    calls = [ToolCallBlock(tool_call_id=city, tool_name="lookup", tool_kwargs={"city": city})
             for city in ("Oslo", "Rome")]
    return ChatMessage(role="assistant", blocks=calls)


def make(kind, key):
    if kind == "ours":
        return BotWireChatMemoryBuffer(namespace, url=url, chat_store_key=key)
    if kind == "newer":
        return BotWireMemory(namespace, url=url, session_id=key)
    store = BotWireChatStore(namespace, url=url)
    return ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key=key)


def turn(kind, step):
    "Takes a turn with two calls; this process is killed before or after its nth write."
    memory = make(kind, f"{kind} {step}")
    connection = (getattr(memory, "chat_store", None) or memory.sql_store).connection
    blocking, awaited = connection.memory.engine, connection.async_memory.engine
    apply, aapply = blocking.apply, awaited.apply
    writes = 0

    def die(batch, after):
        nonlocal writes
        writes += batch.writes and not after
        if batch.writes and (writes, after) == divmod(step + 2, 2):
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(batch):
        die(batch, 0)
        result = apply(batch)
        die(batch, 1)
        return result

    async def adying(batch):
        die(batch, 0)
        result = await aapply(batch)
        die(batch, 1)
        return result

    blocking.apply, awaited.apply = dying, adying
    agent = FunctionAgent(tools=[lookup], llm=MockFunctionCallingLLM(response_generator=answer))

    async def main():
        await agent.run("weather?", memory=memory)

    asyncio.run(main())


turn("ours", 100)  # all that is loaded at first use is loaded once
for kind in ("ours", "newer", "stock"):
    for step in range(100):
        child = os.fork()
        if not child:
            turn(kind, step)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
    print(kind, step, flush=True)
"""


def unanswered(messages: list[ChatMessage]) -> bool:
    calls = [b.tool_call_id for m in messages for b in m.blocks if isinstance(b, ToolCallBlock)]
    answers = [m.additional_kwargs["tool_call_id"] for m in messages if m.role == "tool"]
    return sorted(calls) != sorted(answers)  # tools run concurrently, and end in any order


def test_a_turn_is_whole_wherever_the_process_dies(zygote: Zygote, place: dict[str, Any]) -> None:
    said = zygote.read(DYING, place["namespace"], place["url"])
    # Before and after each write: two writes here (question, turn), one per message in stock.
    assert said.split() == ["ours", "4", "newer", "4", "stock", "10"]
    store = BotWireChatStore(**place)
    left = {key: store.get_messages(key) for key in store.get_keys()}
    assert {len(messages) for key, messages in left.items() if "stock" not in key} == {1, 5}
    assert not [
        key for key, messages in left.items() if "stock" not in key and unanswered(messages)
    ]
    broken = [key for key, messages in left.items() if unanswered(messages)]
    assert broken
    # A call left open by another process is closed before a model sees it.
    ours = BotWireChatMemoryBuffer(chat_store=store, chat_store_key=broken[0])
    ours.put(user("again"))
    shown = ours.get()
    assert not unanswered(shown)
    said = [text for text in texts(shown) if text]
    assert list(dict.fromkeys(said)) == ["weather?", NOT_COMPLETED, "again"]


class Counting:
    """A tokenizer that counts the characters it splits."""

    def __init__(self) -> None:
        self.characters = 0

    def __call__(self, text: str) -> list[str]:
        self.characters += len(text)
        return text.split()


def split_for_window(cls: type[ChatMemoryBuffer], count: int, **place: Any) -> int:
    """Returns the number of characters split to find a conversation's window."""
    tokenizer = Counting()
    memory = cls.from_defaults(token_limit=100, tokenizer_fn=tokenizer, **place)
    memory.set([user("a b c d e") if i % 2 == 0 else assistant("f g h i j") for i in range(count)])
    memory.get()
    return tokenizer.characters


def test_the_cost_of_a_window_does_not_grow_with_the_conversation(file: dict[str, Any]) -> None:
    # https://github.com/run-llama/llama_index/issues/12264
    assert split_for_window(ChatMemoryBuffer, 400) > 3 * split_for_window(ChatMemoryBuffer, 200)
    ours = [split_for_window(BotWireChatMemoryBuffer, n, **file) for n in (200, 400)]
    assert ours[0] == ours[1]
    assert ours[0] < 20 * 100


def test_what_was_counted_is_not_counted_again(file: dict[str, Any]) -> None:
    tokenizer = Counting()
    make: dict[str, Any] = {"token_limit": 100, "tokenizer_fn": tokenizer, **file}
    memory = BotWireChatMemoryBuffer.from_defaults(**make)
    newer = BotWireMemory.from_defaults(session_id="s", **make)
    history = [user(f"a b c {i}") if i % 2 == 0 else assistant(f"d e f {i}") for i in range(60)]
    memory.set(history)
    found = memory.get()
    newer.set(history)
    newer.put(user("and now"))
    tokenizer.characters = 0
    assert BotWireChatMemoryBuffer.from_defaults(**make).get() == found
    assert tokenizer.characters == 0
    newer.put(assistant("so so"))
    newer.get()
    assert tokenizer.characters == len("so so")


def both_windows(history: list[ChatMessage], **place: Any) -> tuple[list[ChatMessage], ...]:
    """Returns what the stock buffer and ours show a model, within 20 tokens."""
    made = [
        cls.from_defaults(history, token_limit=20, tokenizer_fn=words, **kwargs)
        for cls, kwargs in ((ChatMemoryBuffer, {}), (BotWireChatMemoryBuffer, place))
    ]
    return tuple(memory.get() for memory in made)


def test_a_window_is_a_conversation(file: dict[str, Any]) -> None:
    call = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"text": "w " * 50})
    asked = [user("go"), ChatMessage(role="assistant", blocks=[call])]
    long = ChatMessage(role="tool", content="w " * 30, additional_kwargs={"tool_call_id": "c"})

    # The last message alone is too long: the stock window is an answer without its question.
    stock, ours = both_windows([*asked, long], **file)
    assert [message.role.value for message in stock] == ["tool"]
    assert ours == [*asked, long]
    # The stock window does not count the arguments of tool calls.
    stock, ours = both_windows([*asked, user("next")], **file)
    assert len(stock) == 3
    assert ours == [user("next")]
    # The stock window drops the system message as soon as there is too much.
    system = ChatMessage(role="system", content="Be kind.")
    history = [system, *(user("w " * 6) if i % 2 == 0 else assistant("w " * 6) for i in range(6))]
    stock, ours = both_windows([*history, user("w")], **file)
    assert system not in stock
    assert ours[0] == system
    assert len(ours) == len(stock) + 1


class Together(SQLAlchemyChatStore):
    """The stock store with four concurrent puts."""

    _turn: asyncio.Lock = PrivateAttr(default_factory=asyncio.Lock)
    _here: int = PrivateAttr(default=0)
    _all_here: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archives one after the other, once all four have decided how many."""
        self._here += 1
        if self._here == 4:
            self._all_here.set()
        await self._all_here.wait()
        async with self._turn:
            return await super().archive_oldest_messages(key, n)


async def test_puts_at_the_same_time_do_not_archive_the_window(
    place: dict[str, Any], database: AsyncEngine
) -> None:
    settings: dict[str, Any] = {
        "token_limit": 100, "chat_history_token_ratio": 0.3, "token_flush_size": 10,
        "tokenizer_fn": words, "session_id": "s",
    }  # fmt: skip
    stock = Memory.from_defaults(chat_store=Together("messages", async_engine=database), **settings)
    ours = BotWireMemory.from_defaults(**settings, **place)
    new = [f"new {i} w w w" for i in range(4)]
    for memory in (stock, ours):
        await memory.aset([user("w " * 5) if i % 2 == 0 else assistant("w " * 5) for i in range(6)])
        await asyncio.gather(*(memory.aput(user(text)) for text in new))
    assert await stock.aget() == []
    assert set(new) <= set(texts(await ours.aget()))
    assert len(await ours.aget_all()) == 10


async def test_one_put_does_not_archive_nearly_everything(
    file: dict[str, Any], database: AsyncEngine
) -> None:
    settings: dict[str, Any] = {"token_limit": 300, "tokenizer_fn": words, "session_id": "s"}
    stock = Memory.from_defaults(async_engine=database, token_flush_size=300, **settings)
    ours = BotWireMemory.from_defaults(**settings, **file)
    for memory in (stock, ours):  # to stock's flush of 3,000 as to a limit of 3,000
        await memory.aset(
            [user("w " * 5) if i % 2 == 0 else assistant("w " * 5) for i in range(42)]
        )
        await memory.aput_messages([user("w " * 5), assistant("w " * 5)])
    assert len(await stock.aget()) == 2
    assert len(await ours.aget()) == 38


class FailsOnce(BaseMemoryBlock[str]):
    """A block whose model is briefly unavailable."""

    kept: list[str] = []  # noqa: RUF012 - a pydantic field
    failed: bool = False

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        return ""

    async def _aput(self, messages: list[ChatMessage]) -> None:
        if not self.failed:
            self.failed = True
            raise ConnectionError("the model is away")
        self.kept += [message.content or "" for message in messages]


async def test_a_block_that_fails_gets_the_messages_again(
    place: dict[str, Any], database: AsyncEngine
) -> None:
    # https://github.com/run-llama/llama_index/pull/22867
    settings: dict[str, Any] = {
        "token_limit": 20, "chat_history_token_ratio": 0.5, "tokenizer_fn": words,
    }  # fmt: skip
    blocks = [FailsOnce(name="notes"), FailsOnce(name="notes")]
    stock = Memory.from_defaults(async_engine=database, memory_blocks=[blocks[0]], **settings)
    ours = BotWireMemory.from_defaults(memory_blocks=[blocks[1]], **settings, **place)
    for memory in (stock, ours):
        await memory.aput_messages([user("one " * 4), assistant("two " * 4)])
        with pytest.raises(ConnectionError):
            await memory.aput_messages([user("three " * 4), assistant("four " * 4)])
        await memory.aput_messages([user("five " * 4), assistant("six " * 4)])
    assert "one " * 4 not in blocks[0].kept
    assert [text.split()[0] for text in blocks[1].kept] == ["one", "two", "three", "four"]


def test_an_engine_does_not_wipe_what_is_there(place: dict[str, Any]) -> None:
    store = SimpleChatStore()
    store.add_message("chat_history", user("kept?"))
    ChatMemoryBuffer.from_defaults(chat_history=[], chat_store=store)  # as chat engines do
    assert store.get_messages("chat_history") == []
    ours = BotWireChatStore(**place)
    ours.add_message("chat_history", user("kept"))
    for _ in range(2):
        BotWireChatMemoryBuffer.from_defaults(chat_history=[], chat_store=ours)
    assert texts(ours.get_messages("chat_history")) == ["kept"]


async def test_a_history_is_replaced_in_one_step(
    place: dict[str, Any], database: AsyncEngine
) -> None:
    # https://github.com/run-llama/llama_index/pull/23183
    bad = [user("new"), ChatMessage(role="user", content="x", additional_kwargs={"raw": object()})]
    stock = Memory.from_defaults(session_id="s", async_engine=database)
    ours = BotWireMemory.from_defaults(session_id="s", **place)
    for memory in (stock, ours):
        await memory.aput(user("old"))
        with pytest.raises(ValueError, match="object"):
            await memory.aset(bad)
    assert await stock.aget_all() == []
    assert texts(await ours.aget_all()) == ["old"]


async def test_the_system_message_stays_when_it_is_archived(
    place: dict[str, Any], database: AsyncEngine
) -> None:
    # https://github.com/run-llama/llama_index/issues/23144
    settings: dict[str, Any] = {
        "token_limit": 20, "chat_history_token_ratio": 0.5, "tokenizer_fn": words,
    }  # fmt: skip
    system = ChatMessage(role="system", content="Be kind.")
    stock = Memory.from_defaults(async_engine=database, **settings)
    ours = BotWireMemory.from_defaults(**settings, **place)
    for memory in (stock, ours):
        await memory.aput(system)
        for _ in range(3):
            await memory.aput_messages([user("w " * 4), assistant("w " * 4)])
    assert system not in await stock.aget()
    assert (await ours.aget())[0] == system
    assert ours.get() == await ours.aget()
    assert system in await ours.aget_all(MessageStatus.ARCHIVED)
