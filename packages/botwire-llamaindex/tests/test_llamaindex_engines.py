"""Every chat engine and agent of LlamaIndex remembers through our memories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    CompletionResponse,
    LLMMetadata,
    ToolCallBlock,
)
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.llms import CustomLLM, MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from botwire_llamaindex import BotWireChatMemoryBuffer, BotWireMemory

Memories = BotWireChatMemoryBuffer | BotWireMemory


class Retriever(BaseRetriever):
    """Finds one short text."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="Oslo is cold."), score=1.0)]


def simple(memory: Memories, streaming: bool) -> Any:
    return SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)


def context(memory: Memories, streaming: bool) -> Any:
    return ContextChatEngine.from_defaults(retriever=Retriever(), llm=MockLLM(), memory=memory)


def condense_plus_context(memory: Memories, streaming: bool) -> Any:
    return CondensePlusContextChatEngine.from_defaults(
        retriever=Retriever(), llm=MockLLM(), memory=memory
    )


def condense_question(memory: Memories, streaming: bool) -> Any:
    query_engine = RetrieverQueryEngine.from_args(Retriever(), llm=MockLLM(), streaming=streaming)
    return CondenseQuestionChatEngine.from_defaults(
        query_engine=query_engine, llm=MockLLM(), memory=memory
    )


ENGINES = (simple, context, condense_plus_context, condense_question)


@pytest.fixture(params=[BotWireChatMemoryBuffer, BotWireMemory])
def memory(request: pytest.FixtureRequest, place_url: str, namespace: str) -> Memories:
    """An empty memory of each class."""
    made: Memories = request.param.from_defaults(namespace=namespace, url=place_url)
    return made


def again(memory: Memories) -> Memories:
    """Returns a new object for the same conversation, as the next process would create it."""
    return type(memory).from_dict(memory.to_dict())


def asked(engine: Any) -> list[str]:
    return [message.content for message in engine.chat_history if message.role == "user"]


@pytest.mark.parametrize("make", ENGINES)
def test_an_engine_remembers(memory: Memories, make: Callable[[Memories, bool], Any]) -> None:
    make(memory, False).chat("one")
    for _ in make(again(memory), True).stream_chat("two").response_gen:
        pass
    engine = make(again(memory), False)
    assert asked(engine) == ["one", "two"]
    roles = [message.role.value for message in engine.chat_history]
    assert roles == ["user", "assistant"] * 2
    engine.reset()
    assert make(again(memory), False).chat_history == []


@pytest.mark.anyio
@pytest.mark.parametrize("make", ENGINES)
async def test_an_engine_remembers_when_awaited(
    memory: Memories, make: Callable[[Memories, bool], Any]
) -> None:
    await make(memory, False).achat("one")
    stream = await make(again(memory), True).astream_chat("two")
    async for _ in stream.async_response_gen():
        pass
    engine = make(again(memory), False)
    await engine.achat("three")
    roles = [message.role.value for message in await again(memory).aget_all()]
    assert roles == ["user", "assistant"] * 3
    assert asked(engine) == ["one", "two", "three"]


def test_a_history_given_to_an_engine_takes_the_place_of_all(memory: Memories) -> None:
    simple(memory, False).chat("old")
    simple(memory, False).chat("new", chat_history=[ChatMessage(role="user", content="given")])
    assert [message.content for message in again(memory).get_all()][:2] == ["given", "new"]


@pytest.mark.anyio
async def test_a_handoff_goes_on_in_one_conversation(memory: Memories) -> None:
    seen: list[list[str]] = []

    def front(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        call = ToolCallBlock(
            tool_call_id="h", tool_name="handoff", tool_kwargs={"to_agent": "back", "reason": "r"}
        )
        return ChatMessage(role="assistant", blocks=[call])

    def back(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        seen.append([str(message.content) for message in messages if message.role == "user"])
        return ChatMessage(role="assistant", content="solved")

    def workflow() -> AgentWorkflow:
        agents = [
            FunctionAgent(
                name="front", description="d", can_handoff_to=["back"],
                llm=MockFunctionCallingLLM(response_generator=front),
            ),
            FunctionAgent(
                name="back", description="d",
                llm=MockFunctionCallingLLM(response_generator=back),
            ),
        ]  # fmt: skip
        return AgentWorkflow(agents=agents, root_agent="front")

    await workflow().run("I am Ada", memory=memory)
    await workflow().run("Who am I?", memory=again(memory))
    assert [text for text in seen[-1] if "Ada" in text]
    stored = await again(memory).aget_all()
    calls = [b.tool_call_id for m in stored for b in m.blocks if isinstance(b, ToolCallBlock)]
    answers = [m.additional_kwargs["tool_call_id"] for m in stored if m.role == "tool"]
    assert calls == answers  # none is left without its answer
    assert len(calls) == 2


class ReAct(CustomLLM):
    """A model that uses the tool once for each question, in ReAct's form."""

    prompts: list[str] = []  # noqa: RUF012 - a pydantic field

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="scripted")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.prompts.append(prompt)
        if "Observation: 12 degrees" in prompt.rsplit("user:", 1)[-1]:
            return CompletionResponse(text="Thought: I know.\nAnswer: it is cold")
        return CompletionResponse(
            text='Thought: look.\nAction: lookup\nAction Input: {"city": "Oslo"}'
        )

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        whole = self.complete(prompt)
        whole.delta = whole.text
        yield whole


def lookup(city: str) -> str:
    """Looks up the weather."""
    return "12 degrees"


# llama-index-core 0.14.25 calls `ctx.is_running` in a step, which workflows 2.26 deprecates.
@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
@pytest.mark.anyio
async def test_a_react_agent_remembers(memory: Memories) -> None:
    llm = ReAct()
    await ReActAgent(tools=[lookup], llm=llm).run("Oslo?", memory=memory)
    await ReActAgent(tools=[lookup], llm=llm).run("And now?", memory=again(memory))
    assert "Oslo?" in llm.prompts[-1]
    roles = [message.role.value for message in await again(memory).aget_all()]
    assert roles == ["user", "assistant"] * 2
    assert sum("Observation: 12 degrees" in p.rsplit("user:", 1)[-1] for p in llm.prompts) == 2


@pytest.mark.anyio
async def test_a_code_act_agent_remembers(memory: Memories) -> None:
    executed: list[str] = []
    seen: list[list[str]] = []

    def execute(code: str) -> str:
        executed.append(code.strip())
        return "2"

    def answer(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        seen.append([str(message.content) for message in messages])
        ran = messages[-1].role != "user" or "2" in str(messages[-1].content)
        text = "It is two." if ran else "<execute>print(1 + 1)</execute>"
        return ChatMessage(role="assistant", content=text)

    def agent() -> CodeActAgent:
        llm = MockFunctionCallingLLM(response_generator=answer)
        return CodeActAgent(code_execute_fn=execute, llm=llm, tools=[])

    await agent().run("one and one?", memory=memory)
    await agent().run("again?", memory=again(memory))
    assert executed == ["print(1 + 1)"] * 2
    assert any("one and one?" in text for text in seen[-1])
