"""Two concurrent requests on one session: one is answered, the other is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory, StaticMemoryBlock

from botwire import ConflictError
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatMemoryBuffer,
    BotWireChatStore,
    BotWireMemory,
    PersistentChatMemory,
)

MEMORIES: dict[str, Callable[[str], Any]] = {
    "buffer": lambda url: BotWireChatMemoryBuffer("ns", url=url),
    "persistent": lambda url: PersistentChatMemory("ns", url=url),
    "memory": lambda url: BotWireMemory("ns", url=url),
    "memory with blocks": lambda url: BotWireMemory(
        "ns", url=url, memory_blocks=[StaticMemoryBlock(name="core", static_content="x")]
    ),
    "stock buffer": lambda url: ChatMemoryBuffer.from_defaults(
        chat_store=BotWireChatStore("ns", url=url)
    ),
    "stock memory": lambda url: Memory.from_defaults(
        session_id="s", chat_store=BotWireAsyncChatStore("ns", url=url)
    ),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'memory.db'}"


@pytest.fixture(params=MEMORIES)
def new_memory(request: pytest.FixtureRequest, url: str) -> Callable[[], Any]:
    """Creates a memory for the same session, as each request does."""
    return lambda: MEMORIES[request.param](url)


class Together(MockFunctionCallingLLM):
    """A model that answers only once two requests are waiting."""

    def __init__(self) -> None:
        super().__init__(response_generator=self.answer)
        self._asked = 0
        self._both = asyncio.Event()
        self._barrier = threading.Barrier(2)

    @staticmethod
    def answer(messages: Sequence[ChatMessage], **kwargs: Any) -> ChatMessage:
        asked = [message.content for message in messages if message.role == "user"]
        return ChatMessage(role="assistant", content=f"re: {asked[-1]}")

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._barrier.wait(30)
        return super().chat(messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        await self._meet()
        return ChatResponse(message=self.answer(messages))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        await self._meet()
        return await super().astream_chat(messages, **kwargs)

    async def _meet(self) -> None:
        self._asked += 1
        if self._asked >= 2:
            self._both.set()
        await asyncio.wait_for(self._both.wait(), 30)


def said(memory: Any) -> list[str]:
    return [message.content for message in memory.get_all()]


def check(memory: Any, outcomes: Sequence[Any]) -> None:
    """One is refused, and the conversation holds one whole turn after the refused question."""
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [ConflictError], outcomes
    assert "Run this one again" in str(refused[0])
    first, second, answer = said(memory)
    assert {first, second} == {"question 0", "question 1"}
    assert answer == f"re: {second}"
    memory.put(ChatMessage(role="user", content=first))  # it is repeated, and answered
    memory.put(ChatMessage(role="assistant", content=f"re: {first}"))
    assert said(memory)[3:] == [first, f"re: {first}"]


@pytest.mark.parametrize("shared", [True, False], ids=["one memory", "two memories"])
@pytest.mark.parametrize("how", ["agent", "achat", "astream_chat"])
def test_of_two_tasks_one_is_refused(
    new_memory: Callable[[], Any], how: str, *, shared: bool
) -> None:
    async def both() -> list[Any]:
        llm, memory = Together(), new_memory()

        async def ask(number: int) -> str:
            mine = memory if shared else new_memory()
            question = f"question {number}"
            if how == "agent":
                agent = FunctionAgent(tools=[], llm=llm, streaming=False)
                return str(await agent.run(question, memory=mine))
            engine = SimpleChatEngine.from_defaults(llm=llm, memory=mine)
            if how == "achat":
                return str(await engine.achat(question))
            stream = await engine.astream_chat(question)
            return "".join([token async for token in stream.async_response_gen()])

        return await asyncio.gather(ask(0), ask(1), return_exceptions=True)

    outcomes = asyncio.run(both())
    check(new_memory(), outcomes)


@pytest.mark.parametrize("name", [name for name in MEMORIES if name != "stock memory"])
def test_of_two_threads_one_is_refused(url: str, name: str) -> None:
    # LlamaIndex's own `Memory` runs each blocking call on an event loop of its own, which knows
    # nothing of the call before.
    memory, llm = MEMORIES[name](url), Together()

    def ask(number: int) -> Any:
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
        try:
            return str(engine.chat(f"question {number}"))
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(ask, range(2)))
    check(memory, outcomes)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_streamed_answer_that_is_refused_raises(url: str) -> None:
    memory = MEMORIES["buffer"](url)

    class Slow(MockFunctionCallingLLM):
        def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
            def tokens() -> Iterator[ChatResponse]:
                other = SimpleChatEngine.from_defaults(
                    llm=MockFunctionCallingLLM(response_generator=Together.answer),
                    memory=MEMORIES["buffer"](url),
                )
                thread = threading.Thread(target=other.chat, args=("question 1",))
                thread.start()
                thread.join()
                yield ChatResponse(message=Together.answer(messages), delta="re: question 0")

            return tokens()

    # LlamaIndex raises it for the reader of the answer, and again in its own thread.
    stream = SimpleChatEngine.from_defaults(llm=Slow(), memory=memory).stream_chat("question 0")
    with pytest.raises(ConflictError):
        list(stream.response_gen)
    assert said(memory) == ["question 0", "question 1", "re: question 1"]


def ask(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def tell(text: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=text)


def test_with_nobody_else_at_work_there_is_no_conflict(new_memory: Callable[[], Any]) -> None:
    memory, other = new_memory(), new_memory()
    memory.put(tell("hello"))
    memory.put(ask("one"))
    assert memory.get()
    other.put(tell("re: one"))  # an object per call
    memory.put(ask("its model fails"))
    memory.put_messages([ask("two"), tell("re: two")])
    with ThreadPoolExecutor(1) as pool:  # calls that share no context
        pool.submit(other.put, ask("three")).result()
        other.put(tell("re: three"))
        memory.put_messages([ask("four"), tell("re: four")])
        pool.submit(other.put, tell("greeting")).result()
    memory.put(ask("five"))
    memory.reset()
    memory.put(tell("re: five"))
    memory.put(ask("six"))
    memory.put(ChatMessage(role="system", content="be brief"))
    memory.set([*memory.get_all(), ask("seven")])
    memory.put(tell("re: seven"))
    assert said(memory) == ["re: five", "six", "be brief", "seven", "re: seven"]


def test_a_memory_of_many_sessions_keeps_apart_who_asked(url: str) -> None:
    memories = [BotWireChatMemoryBuffer("ns", url=url, chat_store_key=f"{i}") for i in range(40)]
    for memory in memories:
        memory.put(ask("q"))
    for memory in memories:
        memory.put(tell("a"))
        assert said(memory) == ["q", "a"]
