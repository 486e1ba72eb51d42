"""The memory wherever LlamaIndex accepts one: agents, engines, contexts, the next process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context

import botwire
from botwire import Author
from botwire_llamaindex import (
    BotWireChatMemoryBuffer,
    BotWireChatStore,
    BotWireMemory,
    PersistentChatMemory,
)
from conftest import run_and_kill
from tests.zygote import Zygote


def lookup(city: str) -> str:
    """Looks up the weather."""
    return f"{city}: 12 degrees"


class Recorder:
    """Returns what a model was shown, turn by turn."""

    def __init__(self, *, tool: bool = False) -> None:
        self.seen: list[list[str]] = []
        self.tool = tool
        self.fail = False

    def __call__(self, messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        if self.fail:
            raise RuntimeError("the model fails")
        if self.tool and messages[-1].role != "tool":
            block = ToolCallBlock(
                tool_call_id="c", tool_name="lookup", tool_kwargs={"city": "Oslo"}
            )
            return ChatMessage(role="assistant", blocks=[block])
        self.seen.append([message.content or "" for message in messages])
        return ChatMessage(role="assistant", content=f"answer {len(self.seen)}")

    def agent(self) -> FunctionAgent:
        llm = MockFunctionCallingLLM(response_generator=self)
        return FunctionAgent(name="a", description="d", tools=[lookup], llm=llm)


@pytest.fixture
def memory(place_url: str, namespace: str) -> BotWireChatMemoryBuffer:
    """An empty memory."""
    return BotWireChatMemoryBuffer.from_defaults(namespace=namespace, url=place_url)


def roles(memory: BotWireChatMemoryBuffer) -> list[str]:
    return [message.role.value for message in memory.get_all()]


RESUMED = """
import asyncio, json, sys
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.workflow import Context
import botwire_llamaindex


def answer(messages, **kwargs):
    print(json.dumps([message.content for message in messages]))
    return ChatMessage(role="assistant", content="noted")


async def main():
    for stored in map(json.loads, sys.stdin):
        llm = MockFunctionCallingLLM(response_generator=answer)
        agent = FunctionAgent(name="a", description="d", tools=[], llm=llm)
        if "handoff_output_prompt" in json.dumps(stored):
            agent = AgentWorkflow(agents=[agent])
        await agent.run("four", ctx=Context.from_dict(agent, stored))


asyncio.run(main())
"""


@pytest.mark.anyio
async def test_a_context_keeps_its_memory_between_runs_and_processes(
    zygote: Zygote, place_url: str, namespace: str
) -> None:
    place: Any = {"namespace": namespace, "url": place_url, "api_key": "bw_secret"}
    memories = [
        BotWireChatMemoryBuffer.from_defaults(chat_store_key="buffer", **place),
        BotWireMemory.from_defaults(session_id="memory", **place),
        PersistentChatMemory(chat_store_key="persistent", **place),
        # The stock classes refer to the contents of our stores.
        ChatMemoryBuffer.from_defaults(
            chat_store=BotWireChatStore(**place), chat_store_key="stock"
        ),
    ]
    contexts = []
    for memory in memories:
        for workflow in (False, True):
            recorder = Recorder()
            agent: Any = recorder.agent()
            if workflow:
                agent = AgentWorkflow(agents=[agent])
            context = Context(agent)
            await memory.areset()
            await agent.run("one", ctx=context, memory=memory)
            await agent.run("two", ctx=context)
            async with context.store.edit_state() as state:
                state["mine"] = 1  # edited objects are copied, the memory too
            await agent.run("three", ctx=context)
            assert [len(seen) for seen in recorder.seen] == [1, 3, 5]
            stored = json.dumps(context.to_dict())
            for said in ("bw_secret", "answer", "one\\", "two\\"):
                assert said not in stored
            kept = await memory.aget_all()
            contexts.append(stored)
            assert len(kept) == 6
            # Each context continues in its own process, so with a copy of the conversation.
            again = Context.from_dict(agent, json.loads(stored))
            await agent.run("four", ctx=again)
            assert [len(seen) for seen in recorder.seen] == [1, 3, 5, 7]
            await memory.aset(kept)
    said = zygote.read(RESUMED, given="\n".join(contexts))
    lines = [json.loads(line) for line in said.splitlines()]
    for found in lines[::2]:
        assert found == ["one", "answer 1", "two", "answer 2", "three", "answer 3", "four"]
    # The second context of a memory refers to the conversation that the first has continued.
    assert [len(found) for found in lines] == [7, 9] * len(memories)


@pytest.mark.anyio
async def test_a_turn_with_tools_is_one_append(memory: BotWireChatMemoryBuffer) -> None:
    recorder = Recorder(tool=True)
    await recorder.agent().run("weather?", memory=memory)
    assert roles(memory) == ["user", "assistant", "tool", "assistant"]
    store = memory.chat_store
    items = store.connection.memory.history(memory.chat_store_key).read()
    # One batch: the call, its answer and the reply have the same time.
    assert len({item.created_at for item in items[1:]}) == 1


@pytest.mark.anyio
async def test_a_turn_that_fails_leaves_no_unanswered_call(memory: BotWireChatMemoryBuffer) -> None:
    recorder = Recorder()
    recorder.fail = True
    with pytest.raises(Exception, match="the model fails"):
        await recorder.agent().run("weather?", memory=memory)
    assert roles(memory) == ["user"]
    recorder.fail = False
    await recorder.agent().run("again", memory=memory)
    assert roles(memory) == ["user", "user", "assistant"]


@pytest.mark.anyio
async def test_what_a_run_stores_names_the_run(place_url: str, namespace: str) -> None:
    place: Any = {"namespace": namespace, "url": place_url}
    memories = [
        BotWireChatMemoryBuffer.from_defaults(chat_store_key="buffer", **place),
        BotWireMemory.from_defaults(session_id="memory", **place),
    ]
    handlers = [Recorder(tool=True).agent().run("weather?", memory=one) for one in memories]
    for handler in handlers:
        await handler
    client = botwire.Memory(namespace, url=place_url)
    for name, handler in zip(("buffer", "memory"), handlers, strict=True):
        authors = {item.author for item in client.history(name).read(archived=True)}
        assert authors == {Author(framework="llamaindex", run=handler.run_id)}
    memories[0].put(ChatMessage(role="user", content="outside of a run"))
    assert client.history("buffer").read()[-1].author == Author(framework="llamaindex")


def test_nothing_and_something_to_seed(place_url: str, namespace: str) -> None:
    place: Any = {"namespace": namespace, "url": place_url}
    seed = [ChatMessage(role="user", content="seed")]
    BotWireChatMemoryBuffer.from_defaults(seed, **place)
    assert len(BotWireChatMemoryBuffer.from_defaults([], **place).get_all()) == 1
    assert len(BotWireChatMemoryBuffer.from_defaults(**place).get_all()) == 1
    assert len(BotWireChatMemoryBuffer.from_defaults(seed * 2, **place).get_all()) == 2


def test_a_chat_engine_and_its_threads(memory: BotWireChatMemoryBuffer) -> None:
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
    engine.chat("one")
    for _ in engine.stream_chat("two").response_gen:
        pass
    assert asyncio.run(engine.achat("three"))

    async def inside_a_loop() -> None:
        engine.chat("four")
        stream = await engine.astream_chat("five")
        async for _ in stream.async_response_gen():
            pass

    asyncio.run(inside_a_loop())
    assert [m.content for m in engine.chat_history if m.role == "user"] == [
        "one", "two", "three", "four", "five",
    ]  # fmt: skip
    assert len(engine.chat_history) == 10
    engine.reset()
    assert engine.chat_history == []


AGENT = """
import sys
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms.mock import MockFunctionCallingLLM
from botwire_llamaindex import PersistentChatMemory
import json

url, namespace, text = sys.argv[1:]


def answer(messages, **kwargs):
    print(json.dumps([message.content for message in messages]), flush=True)
    return ChatMessage(role="assistant", content="noted")


memory = PersistentChatMemory(namespace, token_limit=3000, url=url)
llm = MockFunctionCallingLLM(response_generator=answer)
SimpleChatEngine.from_defaults(llm=llm, memory=memory).chat(text)
print("done", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_is_remembered(zygote: Zygote, place_url: str, namespace: str) -> None:
    assert run_and_kill(zygote, AGENT, place_url, namespace, "I am Ada") == ["I am Ada"]
    assert run_and_kill(zygote, AGENT, place_url, namespace, "Who?") == [
        "I am Ada",
        "noted",
        "Who?",
    ]


def test_two_lines(tmp_path: Path) -> None:
    memory = PersistentChatMemory("user-456", token_limit=3000, url=f"sqlite:///{tmp_path / 'm'}")
    assert memory.get() == []
    assert (memory.token_limit, memory.chat_store.namespace) == (3000, "user-456")
    # Frameworks write `memory or default`: an empty one must not vanish.
    assert memory
    assert memory.chat_store
