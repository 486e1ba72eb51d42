"""LlamaIndex's `Memory` on BotWire: its queue, its archive, its blocks, and the next process."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import (
    BaseMemoryBlock,
    FactExtractionMemoryBlock,
    InsertMethod,
    Memory,
    StaticMemoryBlock,
)
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.workflow import Context, JsonSerializer

from botwire import ConfigurationError, NotJSONError
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatMemoryBuffer,
    BotWireKVStore,
    BotWireMemory,
    convert,
)

pytestmark = pytest.mark.anyio

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=text)


def texts(messages: list[ChatMessage]) -> list[str | None]:
    return [message.content for message in messages]


def words(text: str) -> list[str]:
    return text.split()


@pytest.fixture
def store(place: dict[str, Any]) -> BotWireAsyncChatStore:
    """An empty store."""
    return BotWireAsyncChatStore(**place)


async def test_every_method_of_the_store(store: BotWireAsyncChatStore) -> None:
    await store.set_messages("k", [user("old")])
    await store.set_messages("k", [user(t) for t in "abc"])
    await store.add_message("k", user("d"))
    await store.add_messages("k", [user("e"), user("f")])
    assert texts(await store.get_messages("k", limit=2, offset=1)) == ["b", "c"]
    assert texts(await store.archive_oldest_messages("k", 2)) == ["a", "b"]
    assert texts(await store.get_messages("k")) == ["c", "d", "e", "f"]
    assert texts(await store.get_messages("k", ARCHIVED)) == ["a", "b"]
    assert texts(await store.get_messages("k", ARCHIVED, limit=9, offset=1)) == ["b"]
    assert texts(await store.get_messages("k", None)) == ["a", "b", "c", "d", "e", "f"]
    counts = [await store.count_messages("k", status) for status in (ACTIVE, ARCHIVED, None)]
    assert counts == [4, 2, 6]
    assert texts(await store.delete_oldest_messages("k", 1)) == ["c"]
    assert await store.delete_message("k", 0) == user("d")
    assert await store.delete_message("k", -1) == user("f")
    assert await store.delete_message("k", 1) is None
    assert await store.get_keys() == ["k"]
    await store.delete_messages("k", ARCHIVED)
    assert texts(await store.get_messages("k", None)) == ["e"]
    await store.delete_messages("k", ACTIVE)
    assert await store.get_keys() == []
    await store.set_messages("k", [user("put away")], ARCHIVED)
    assert [await store.count_messages("k", status) for status in (ACTIVE, ARCHIVED)] == [0, 1]
    await store.delete_messages("k")
    assert await store.get_messages("k", None) == []
    with pytest.raises(ConfigurationError, match="only the oldest are archived"):
        await store.add_message("k", user("x"), ARCHIVED)


async def test_many_messages_of_a_status_are_deleted_in_several_requests(
    server_url: str, namespace: str
) -> None:
    store = BotWireAsyncChatStore(namespace, url=server_url)
    history = store.connection.memory.history("k")
    await store.add_message("k", user("x"))
    items = history.tail(1)
    for count in (5_000, 5_000):  # with the first, one more than a server takes at once
        history.extend(items * count)
    await store.delete_messages("k", ACTIVE)
    assert await store.count_messages("k", None) == 0


async def test_a_bad_message_leaves_all_as_it_was(store: BotWireAsyncChatStore) -> None:
    await store.set_messages("k", [user("kept")])
    bad = ChatMessage(role="user", content="x", additional_kwargs={"raw": object()})
    for write in (store.add_messages, store.set_messages):
        with pytest.raises(NotJSONError, match=r"messages\[1\].*'raw'"):
            await write("k", [user("good"), bad])
    assert texts(await store.get_messages("k")) == ["kept"]


async def test_the_n_oldest_are_those_that_are_there_when_it_is_asked(
    place: dict[str, Any],
) -> None:
    store, other = BotWireAsyncChatStore(**place), BotWireAsyncChatStore(**place)
    await store.set_messages("k", [user(name) for name in "abcdef"])
    assert len(await store.get_messages("k")) == 6
    assert texts(await other.delete_oldest_messages("k", 2)) == ["a", "b"]
    assert texts(await store.archive_oldest_messages("k", 2)) == ["c", "d"]
    assert len(await store.get_messages("k")) == 2
    assert texts(await other.archive_oldest_messages("k", 1)) == ["e"]
    assert texts(await store.delete_oldest_messages("k", 5)) == ["f"]
    assert await store.delete_oldest_messages("k", 0) == []
    await store.set_messages("k", [user(f"{n}") for n in range(20)])
    taken = await asyncio.gather(*(each.delete_oldest_messages("k", 5) for each in (store, other)))
    # Two concurrent calls may find the same ones; each goes to one of the calls.
    deleted = [text for messages in taken for text in texts(messages)]
    assert len(deleted) == len(set(deleted)) == 20 - await store.count_messages("k")


async def test_concurrent_puts_do_not_archive_too_much(store: BotWireAsyncChatStore) -> None:
    memory = BotWireMemory.from_defaults(
        session_id="s", token_limit=100, chat_history_token_ratio=0.3, token_flush_size=10,
        tokenizer_fn=words, chat_store=store,
    )  # fmt: skip
    seed = [user("w " * 5) if i % 2 == 0 else assistant("w " * 5) for i in range(6)]
    await memory.aset(seed)
    await asyncio.gather(*(memory.aput(user(f"n{i} w w w w")) for i in range(4)))
    active = await memory.aget()
    # Stock's own store would be empty here: each put archives everything over its limit.
    assert {"n0 w w w w", "n1 w w w w", "n2 w w w w", "n3 w w w w"} <= set(texts(active))
    everything = await memory.aget_all()
    assert len(everything) == 10
    assert texts(everything[:6]) == texts(seed)
    assert texts(await memory.aget_all(ARCHIVED)) + texts(active) == texts(everything)


class Notes(BaseMemoryBlock[str]):
    """Collects the messages that leave the queue."""

    kept: list[str] = []  # noqa: RUF012 - a pydantic field

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        return " ".join(self.kept)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        self.kept += [message.content or "" for message in messages]


async def test_memory_blocks_get_what_is_archived(place: dict[str, Any]) -> None:
    notes = Notes(name="notes")
    memory = BotWireMemory.from_defaults(
        token_limit=20, chat_history_token_ratio=0.5, tokenizer_fn=words,
        memory_blocks=[StaticMemoryBlock(name="who", static_content="Ada"), notes], **place,
    )  # fmt: skip
    await memory.aput_messages([user("one " * 4), assistant("two " * 4)])
    await memory.aput_messages([user("three " * 4), assistant("four " * 4)])
    assert [text.split()[0] for text in notes.kept] == ["one", "two"]
    system, *rest = await memory.aget()
    assert "Ada" in str(system.content)
    assert "one one" in str(system.content)
    assert [message.role.value for message in rest] == ["user", "assistant"]


def facts_model(*facts: str) -> Any:
    """A model that finds these facts, and records its prompts."""

    def answer(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        return assistant("".join(f"<fact>{fact}</fact>" for fact in facts))

    return MockFunctionCallingLLM(response_generator=answer)


def with_facts(place: dict[str, Any], *facts: str) -> BotWireMemory:
    block = FactExtractionMemoryBlock(name="facts", llm=facts_model(*facts))
    return BotWireMemory.from_defaults(
        session_id="s", token_limit=20, chat_history_token_ratio=0.5, tokenizer_fn=words,
        memory_blocks=[block], **place,
    )  # fmt: skip


def turn() -> list[ChatMessage]:
    return [user("w " * 4), assistant("w " * 4)]


async def test_facts_outlive_the_process_and_meet_those_of_others(place: dict[str, Any]) -> None:
    here, there = with_facts(place, "Ada likes tea"), with_facts(place, "Bob likes tin")
    stock = Memory.from_defaults(
        token_limit=20, chat_history_token_ratio=0.5, tokenizer_fn=words,
        memory_blocks=[FactExtractionMemoryBlock(name="facts", llm=facts_model("Ada likes tea"))],
        chat_store=BotWireAsyncChatStore(**place), session_id="stock",
    )  # fmt: skip
    for memory in (here, stock, there):
        await memory.aput_messages(turn())
        await memory.aput_messages(turn())
    assert not await BotWireKVStore(**place).aget("stock", "memory/facts")
    for again in (here, there, with_facts(place)):
        said = str((await again.aget())[0].content)
        assert "Ada likes tea" in said
        assert "Bob likes tin" in said
    with_facts(place).put_messages(turn())  # a model that finds nothing changes nothing
    assert "Ada likes tea" in str(with_facts(place).get()[0].content)
    here.reset()
    assert here.get() == there.get() == []
    here.put_messages(turn() * 2)
    await there.areset(ARCHIVED)
    assert "Ada likes tea" in str((await there.aget())[0].content)
    await there.areset()
    assert await with_facts(place).aget() == []


async def test_a_context_finds_a_memory_with_blocks(place: dict[str, Any]) -> None:
    seen: list[int] = []

    def answer(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        seen.append(len(messages))
        return assistant("Hello.")

    def make(name: str, session: str = "s") -> BotWireMemory:
        blocks = [StaticMemoryBlock(name=name, static_content="Ada")]
        return BotWireMemory.from_defaults(session_id=session, memory_blocks=blocks, **place)

    agent = FunctionAgent(tools=[], llm=MockFunctionCallingLLM(response_generator=answer))
    context = Context(agent)
    await agent.run("one", ctx=context, memory=make("who"))
    await agent.run("two", ctx=context)
    await agent.run("three", ctx=context)
    assert seen == [2, 4, 6]  # with what the block says
    stored = make("who").to_dict()
    assert "Ada" not in json.dumps(stored)
    make("what")
    with pytest.raises(ConfigurationError, match=r"'s' has blocks \(who\).*make it with"):
        BotWireMemory.from_dict(stored)
    with pytest.raises(ConfigurationError, match="'other' has blocks"):
        BotWireMemory.from_dict({**stored, "session_id": "other"})


class Waits(Notes):
    """A block with a slow model."""

    calls: int = 0

    async def _aput(self, messages: list[ChatMessage]) -> None:
        self.calls += 1
        await asyncio.sleep(0.01)
        await super()._aput(messages)


async def test_concurrent_puts_give_blocks_each_message_once(place: dict[str, Any]) -> None:
    notes = Waits(name="notes")
    memory = BotWireMemory.from_defaults(
        token_limit=20, chat_history_token_ratio=0.5, tokenizer_fn=words, memory_blocks=[notes],
        **place,
    )  # fmt: skip
    said = [f"{i} w w w" for i in range(8)]
    await asyncio.gather(*(memory.aput(user(text)) for text in said))
    await memory.aput(user("end w w w"))
    assert len(notes.kept) == len(set(notes.kept)) >= 6
    archived = await memory.aget_all(ARCHIVED)
    assert texts(archived) == notes.kept


@pytest.mark.parametrize("blocks", [False, True])
async def test_the_system_message_stays(place: dict[str, Any], blocks: bool) -> None:
    who = [StaticMemoryBlock(name="who", static_content="Ada")] if blocks else []
    memory = BotWireMemory.from_defaults(
        token_limit=20, chat_history_token_ratio=0.5, tokenizer_fn=words, memory_blocks=who, **place
    )
    await memory.aput(ChatMessage(role="system", content="Be kind."))
    for i in range(5):
        await memory.aput_messages([user(f"{i} w w w"), assistant("w w")])
    system, first, *_ = await memory.aget()
    assert str(system.content).endswith("Be kind.")
    assert ("Ada" in str(system.content)) is blocks
    assert first.role == "user"
    assert (await memory.aget_all(ARCHIVED))[0].content == "Be kind."


async def test_arguments_of_calls_count(place: dict[str, Any]) -> None:
    memory = BotWireMemory.from_defaults(token_limit=50, tokenizer_fn=words, **place)
    block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"text": "w " * 500})
    call = ChatMessage(role="assistant", blocks=[block])
    answer = ChatMessage(role="tool", content="done", additional_kwargs={"tool_call_id": "c"})
    await memory.aput_messages([user("go"), call, answer, assistant("there")])
    await memory.aput(user("next"))
    assert texts(await memory.aget()) == ["next"]


@pytest.mark.parametrize(
    "block",
    [
        ThinkingBlock(content="w " * 500),
        CitableBlock(title="t", source="s", content="w " * 500),
        CitationBlock(title="t", source="s", cited_content="w " * 500, additional_location_info={}),
    ],
    ids=lambda block: block.block_type,
)
async def test_all_that_a_model_is_sent_counts(place: dict[str, Any], block: Any) -> None:
    memories = [
        BotWireMemory.from_defaults(session_id="1", token_limit=50, tokenizer_fn=words, **place),
        BotWireMemory.from_defaults(
            session_id="2",
            token_limit=50,
            tokenizer_fn=words,
            memory_blocks=[Notes(name="n")],
            **place,
        ),
        BotWireChatMemoryBuffer(token_limit=50, tokenizer_fn=words, chat_store_key="3", **place),
    ]
    said = ChatMessage(role="assistant", blocks=[block, TextBlock(text="there")])
    for memory in memories:
        await memory.aput_messages([user("go"), said])
        await memory.aput(user("next"))
        assert [one for one in texts(await memory.aget()) if one in ("go", "next")] == ["next"]


async def test_nothing_and_something_to_seed(place: dict[str, Any]) -> None:
    BotWireMemory.from_defaults(chat_history=[user("seed")], **place)
    assert texts(BotWireMemory.from_defaults(chat_history=[], **place).get_all()) == ["seed"]
    # One conversation, whichever class reads it.
    assert texts(BotWireChatMemoryBuffer.from_defaults(**place).get()) == ["seed"]
    memory = BotWireMemory.from_defaults(session_id="other", **place)
    assert memory.get_all() == []
    assert memory
    with pytest.raises(ConfigurationError, match="BotWireAsyncChatStore, not str"):
        BotWireMemory.from_defaults(chat_store="x")  # type: ignore[arg-type]


async def test_a_context_keeps_it_between_runs(place: dict[str, Any]) -> None:
    seen: list[list[str | None]] = []

    def answer(messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:
        seen.append(texts(messages))
        return assistant(f"answer {len(seen)}")

    agent = FunctionAgent(tools=[], llm=MockFunctionCallingLLM(response_generator=answer))
    memory = BotWireMemory.from_defaults(
        session_id="s", token_limit=5000, insert_method=InsertMethod.USER, **place
    )
    context = Context(agent)
    await agent.run("one", ctx=context, memory=memory)
    await agent.run("two", ctx=context)
    await agent.run("three", ctx=context)
    stored = json.dumps(context.to_dict(serializer=JsonSerializer()))
    assert "answer" not in stored
    again = Context.from_dict(agent, json.loads(stored), serializer=JsonSerializer())
    await agent.run("four", ctx=again)
    assert [len(messages) for messages in seen] == [1, 3, 5, 7]
    for copy in (
        BotWireMemory.from_dict(json.loads(json.dumps(memory.to_dict()))),
        pickle.loads(pickle.dumps(memory)),
        memory.model_copy(deep=True),
    ):
        assert copy.to_dict() == memory.to_dict()
        assert len(copy.get_all()) == 8


def test_a_chat_engine_its_threads_and_loops(place: dict[str, Any]) -> None:
    memory = BotWireMemory.from_defaults(**place)
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
    engine.chat("one")
    for _ in engine.stream_chat("two").response_gen:
        pass
    asyncio.run(engine.achat("three"))

    async def inside_a_loop() -> None:
        engine.chat("four")
        stream = await engine.astream_chat("five")
        async for _ in stream.async_response_gen():
            pass

    asyncio.run(inside_a_loop())
    asked = [message.content for message in engine.chat_history if message.role == "user"]
    assert asked == ["one", "two", "three", "four", "five"]
    assert len(memory.get_all(ACTIVE)) == 10
    assert memory.get_all(ARCHIVED) == []
    engine.reset()
    assert engine.chat_history == []


async def test_large_messages_are_converted_off_the_event_loop(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_loop: list[bool] = []
    to_native = convert.to_native

    def convert_and_note(message: ChatMessage, path: str) -> Any:
        in_loop.append(asyncio._get_running_loop() is not None)
        return to_native(message, path)

    monkeypatch.setattr(convert, "to_native", convert_and_note)
    content = b"ABC" * 100_000
    file = tmp_path / "image.png"
    file.write_bytes(content)
    store = BotWireAsyncChatStore(namespace, url="sqlite://")
    memory = BotWireMemory(sql_store=store, session_id="memory")
    buffer = BotWireChatMemoryBuffer(namespace, client=store.connection.async_memory)
    image = ImageBlock(path=file)
    for block, expected in (
        (ImageBlock(image=base64.b64encode(content)), [False] * 4),
        (image, [False] * 4),
        (ImageBlock(image=io.BytesIO(content)), [False] * 4),
        (CitableBlock(title="t", source="s", content=[image]), [False] * 4),
        (TextBlock(text="short"), [True] * 4),
    ):
        message = ChatMessage(role="user", blocks=[block])
        await store.add_message("chat", message)
        await memory.aput(message)
        await buffer.aput(message)
        await store.set_messages("chat", [message])
        assert in_loop == expected
        in_loop.clear()
        kept = (await store.get_messages("chat"))[-1]
        assert kept == (await memory.aget())[-1] == (await buffer.aget())[-1]
