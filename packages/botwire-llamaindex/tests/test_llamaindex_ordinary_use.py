"""How applications use a memory: shared blocks, an object per request, a typed state."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from llama_index.core import MockEmbedding
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import (
    BaseMemory,
    BaseMemoryBlock,
    ChatMemoryBuffer,
    FactExtractionMemoryBlock,
    Memory,
    VectorMemoryBlock,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, create_model

from botwire import ConfigurationError
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatMemoryBuffer,
    BotWireChatStore,
    BotWireMemory,
    PersistentChatMemory,
)


class Facts(MockLLM):
    """Finds out who speaks."""

    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        said = str([m.content for m in messages if m.role.value != "system"])
        who = next(who for who in ("BOB", "CYD", "ADA") if f"{who} says" in said or who == "ADA")
        facts = f"<facts><fact>{who} lives at {who} street</fact></facts>"
        return ChatResponse(message=ChatMessage(role="assistant", content=facts))


async def talk(memory_of: Any, user: str) -> None:
    for i in range(8):
        memory = memory_of(user)
        said = f"{user} says {i} " + "word " * 20
        await memory.aput(ChatMessage(role="user", content=said))
        await memory.aput(ChatMessage(role="assistant", content="yes " * 20))


SMALL: dict[str, Any] = {"token_limit": 200, "token_flush_size": 20}


async def test_a_block_that_is_made_once_keeps_the_facts_of_users_apart(
    place: dict[str, Any],
) -> None:
    block = FactExtractionMemoryBlock(name="facts", llm=Facts())

    def memory_of(user: str, blocks: Any = None) -> BotWireMemory:
        return BotWireMemory.from_defaults(
            session_id="chat", namespace=f"{place['namespace']}-{user}", url=place["url"],
            memory_blocks=blocks or [block], **SMALL,
        )  # fmt: skip

    await talk(memory_of, "ADA")
    assert "ADA lives" in str(await memory_of("ADA").aget())
    assert "ADA" not in str(await memory_of("BOB").aget())

    def memory_with_block_added(user: str) -> BotWireMemory:
        memory = BotWireMemory(f"{place['namespace']}-{user}", url=place["url"], **SMALL)
        memory.memory_blocks.append(block)
        return memory

    await talk(memory_with_block_added, "CYD")
    assert "CYD lives" in str(await memory_with_block_added("CYD").aget())
    await talk(memory_of, "BOB")
    fresh = [FactExtractionMemoryBlock(name="facts", llm=Facts())]
    for blocks in (None, fresh):
        shown = str(await memory_of("BOB", blocks).aget())
        assert "ADA" not in shown
        assert "BOB lives" in shown
    assert block.facts == []  # it stays as the application created it


class Kept(SimpleVectorStore):
    """A vector store that stores texts, as database-backed ones do."""

    stores_text: bool = True
    nodes: dict[str, Any] = Field(default_factory=dict)

    async def async_add(self, nodes: Any, **kwargs: Any) -> list[str]:
        self.nodes.update({node.node_id: node for node in nodes})
        return super().add(nodes, **kwargs)

    async def aquery(self, query: Any, **kwargs: Any) -> Any:
        found = super().query(query, **kwargs)
        found.nodes = [self.nodes[id] for id in found.ids]
        return found


async def test_vector_blocks_of_two_namespaces_stay_apart_in_one_store(
    place: dict[str, Any],
) -> None:
    store = Kept()

    def memory_of(user: str) -> BotWireMemory:
        block = VectorMemoryBlock(
            name="vectors", vector_store=store, embed_model=MockEmbedding(4), similarity_top_k=50
        )
        return BotWireMemory.from_defaults(
            namespace=f"{place['namespace']}-{user}", url=place["url"], memory_blocks=[block],
            **SMALL,
        )  # fmt: skip

    await talk(memory_of, "ADA")
    assert "ADA says 0" in str(await memory_of("ADA").aget(input="hello"))
    assert "ADA says" not in str(await memory_of("BOB").aget(input="hello"))


async def test_a_slash_in_a_name_mixes_no_two_sessions_in_one_vector_store(
    place: dict[str, Any],
) -> None:
    store = Kept()

    def memory_at(namespace: str, session: str) -> BotWireMemory:
        block = VectorMemoryBlock(
            name="vectors", vector_store=store, embed_model=MockEmbedding(4), similarity_top_k=50
        )
        return BotWireMemory.from_defaults(
            session, namespace=f"{place['namespace']}-{namespace}", url=place["url"],
            memory_blocks=[block], **SMALL,
        )  # fmt: skip

    await talk(lambda user: memory_at("team/ada", "chat"), "ADA")
    assert "ADA says 0" in str(await memory_at("team/ada", "chat").aget(input="hello"))
    assert "ADA says" not in str(await memory_at("team", "ada/chat").aget(input="hello"))


class Given(BaseMemoryBlock[str]):
    """Counts what it is given."""

    counts: Counter[str] = Field(default_factory=Counter)
    fails: bool = False

    async def _aget(self, messages: Any = None, **kwargs: Any) -> str:
        return ""

    async def _aput(self, messages: list[ChatMessage]) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise RuntimeError("no model")
        self.counts.update(str(message.content).split()[0] for message in messages)


async def test_blocks_are_given_each_message_once_whoever_puts(place: dict[str, Any]) -> None:
    counts: Counter[str] = Counter()

    async def request(i: int) -> None:
        block = Given(name="b")
        block.counts = counts
        memory = BotWireMemory.from_defaults(
            session_id="s", memory_blocks=[block], **SMALL, **place
        )
        await memory.aput(ChatMessage(role="user", content=f"m{i} " + "word " * 15))

    for turn in range(6):
        await asyncio.gather(*(request(turn * 4 + i) for i in range(4)))
    assert len(counts) > 10
    assert set(counts.values()) == {1}


async def test_a_block_that_fails_is_given_the_messages_again(place: dict[str, Any]) -> None:
    block = Given(name="b", fails=True)
    memory = BotWireMemory.from_defaults(memory_blocks=[block], **SMALL, **place)
    with pytest.raises(RuntimeError, match="no model"):
        for i in range(20):
            await memory.aput(ChatMessage(role="user", content=f"m{i} " + "word " * 15))
    block.fails = False
    await memory.aput(ChatMessage(role="user", content="last " + "word " * 15))
    assert "m0" in block.counts
    assert set(block.counts.values()) == {1}


class State(BaseModel):
    """The state that a workflow keeps between runs."""

    memory: BotWireMemory | None = None
    buffer: BotWireChatMemoryBuffer | None = None
    chats: BotWireChatStore | None = None
    awaited: BotWireAsyncChatStore | None = None


class Flow(Workflow):
    """Says hello to each."""

    @step
    async def go(self, ctx: Context[State], ev: StartEvent) -> StopEvent:
        hello = ChatMessage(role="user", content="hello")
        place = ev.place
        async with ctx.store.edit_state() as state:
            state.memory = state.memory or BotWireMemory(session_id="1", **place)
            state.buffer = state.buffer or PersistentChatMemory(chat_store_key="2", **place)
            state.chats = state.chats or BotWireChatStore(**place)
            state.awaited = state.awaited or BotWireAsyncChatStore(**place)
            await state.memory.aput(hello)
            await state.buffer.aput(hello)
            state.chats.add_message("3", hello)
            await state.awaited.add_message("4", hello)
            counts = [
                len(await state.memory.aget()),
                len(await state.buffer.aget()),
                len(state.chats.get_messages("3")),
                len(await state.awaited.get_messages("4")),
            ]
        return StopEvent(result=counts)


async def test_a_typed_state_finds_its_memories_again(place: dict[str, Any]) -> None:
    flow = Flow()
    context = Context(flow)
    assert await flow.run(ctx=context, place=place) == [1, 1, 1, 1]
    again = Context.from_dict(flow, json.loads(json.dumps(context.to_dict())))
    assert await flow.run(ctx=again, place=place) == [2, 2, 2, 2]
    state = State(buffer=PersistentChatMemory(**place))
    found = State.model_validate_json(state.model_dump_json()).buffer
    assert type(found) is PersistentChatMemory
    assert found.chat_store.namespace == place["namespace"]


@pytest.mark.parametrize("kind", [Memory, BaseMemory, ChatMemoryBuffer])
@pytest.mark.parametrize("as_any", [False, True])
def test_a_state_of_llamaindexs_own_types_never_comes_back_empty(
    place: dict[str, Any], kind: Any, as_any: bool
) -> None:
    made: Any = PersistentChatMemory if kind is ChatMemoryBuffer else BotWireMemory
    memory = made(**place)
    memory.put(ChatMessage(role="user", content="I am Ada."))
    kept = create_model("Kept", memory=(SerializeAsAny[kind] if as_any else kind, ...))
    dumped = kept(memory=memory).model_dump_json()
    with pytest.raises((ValidationError, TypeError)):
        kept.model_validate_json(dumped)


async def test_an_agents_state_is_before_the_model_at_each_call(place: dict[str, Any]) -> None:
    seen: list[bool] = []

    def look_up(city: str) -> str:
        """Looks up the weather."""
        return "12 degrees"

    def answer(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        seen.append(any("Current state" in (m.content or "") for m in messages))
        if len(seen) == 1:
            call = ToolCallBlock(
                tool_call_id="c", tool_name="look_up", tool_kwargs={"city": "Oslo"}
            )
            return ChatMessage(role="assistant", blocks=[call])
        return ChatMessage(role="assistant", content="done")

    memory = PersistentChatMemory(**place)
    agent = FunctionAgent(
        name="a", description="a", tools=[look_up],
        llm=MockFunctionCallingLLM(response_generator=answer),
    )  # fmt: skip
    flow = AgentWorkflow(
        agents=[agent], root_agent="a", initial_state={"budget": 5},
        state_prompt="Current state: {state}. User message: {msg}",
    )  # fmt: skip
    await flow.run("How is Oslo?", memory=memory)
    assert seen == [True, True]
    # What is stored is what the user said.
    assert PersistentChatMemory(**place).get()[0].content == "How is Oslo?"


def test_a_window_is_counted_once_and_not_for_each_place_where_it_may_begin(
    place: dict[str, Any],
) -> None:
    counted = 0

    def tokenizer(text: str) -> list[str]:
        nonlocal counted
        counted += len(text)
        return text.split()

    memory = BotWireChatMemoryBuffer.from_defaults(
        token_limit=20_000, tokenizer_fn=tokenizer, **place
    )
    memory.put_messages(
        [
            ChatMessage(role=("user", "assistant")[i % 2], content=f"some ten words {i} " * 3)
            for i in range(2_600)
        ]
    )
    memory.get()
    counted = 0
    memory.put(ChatMessage(role="user", content="and now?"))
    assert len(memory.get()) > 1_000
    assert counted < 100


async def test_a_persistent_memory_takes_a_role_and_a_text(place: dict[str, Any]) -> None:
    memory = PersistentChatMemory(**place)
    memory.put("user", "text")
    await memory.aput("assistant", "answer")
    memory.put(ChatMessage(role="user", content="message"))
    assert [(m.role.value, m.content) for m in PersistentChatMemory(**place).get_all()] == [
        ("user", "text"), ("assistant", "answer"), ("user", "message"),
    ]  # fmt: skip
    for wrong in (("text",), ("nobody", "text"), ("user", 1), (ChatMessage(), "text")):
        with pytest.raises(ConfigurationError, match="a role"):
            memory.put(*wrong)
    assert len(memory.get_all()) == 3


def test_from_defaults_takes_every_field_of_llamaindexs_own_class(place: dict[str, Any]) -> None:
    given = {name: 7 for name, field in Memory.model_fields.items() if field.annotation is int} | {
        "token_limit": 1000
    }
    memory = BotWireMemory.from_defaults(**given, **place)
    assert {name: getattr(memory, name) for name in given} == given
    again = BotWireMemory.from_dict(memory.to_dict())
    assert {name: getattr(again, name) for name in given} == given


@pytest.mark.parametrize("cls", [BotWireMemory, BotWireChatMemoryBuffer, PersistentChatMemory])
def test_memories_without_a_name_share_no_conversation(
    cls: Any, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_URL", place["url"])
    monkeypatch.delenv("BOTWIRE_NAMESPACE", raising=False)
    for make in (cls, cls.from_defaults, lambda: cls(token_limit=50)):
        with pytest.raises(ConfigurationError, match="needs a name"):
            make()
    with pytest.raises(ConfigurationError, match="needs a name"):
        SimpleChatEngine.from_defaults(llm=MockLLM(), memory_cls=cls)
    name = "session_id" if cls is BotWireMemory else "chat_store_key"
    for named in ({"namespace": place["namespace"]}, {name: place["namespace"]}):
        assert cls(**named).get() == cls.from_defaults(**named).get() == []
    monkeypatch.setenv("BOTWIRE_NAMESPACE", place["namespace"])
    assert cls().get() == []
