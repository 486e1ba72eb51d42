"""The window: whole turns from the end, equal to stock's where stock is right."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.memory import Memory as StockMemory
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.utils import get_tokenizer

from botwire import ConfigurationError, Memory
from botwire.tool_calls import NOT_COMPLETED
from botwire_llamaindex import BotWireAsyncChatStore, BotWireChatMemoryBuffer, BotWireMemory
from botwire_llamaindex.pairing import with_answered_calls
from botwire_llamaindex.window import Window

lengths = st.integers(0, 12)


def words(text: str) -> list[str]:
    """A tokenizer whose counts are easy to check by hand."""
    return text.split()


def message(role: str, n: int, name: int = 0) -> ChatMessage:
    return ChatMessage(role=role, content=" ".join([f"w{name}"] * n))


def call(args: Any, said: str = "") -> ChatMessage:
    block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs=args)
    text = [TextBlock(text=said)] if said else []
    return ChatMessage(role="assistant", blocks=[*text, block])


def window(messages: list[ChatMessage], limit: int, initial: int = 0) -> list[ChatMessage]:
    """Runs a window over a history, as the memory does."""
    taken = Window(limit, words, initial)
    for one in reversed(messages):
        if taken.add(one):
            return taken.messages(complete=False, first=messages[0])
    return taken.messages(complete=True)


turns = st.lists(st.tuples(lengths, lengths), min_size=0, max_size=15)


@given(turns, st.integers(1, 60))
def test_it_equals_stock_on_well_formed_histories(turns: list[tuple[int, int]], limit: int) -> None:
    history = [
        one
        for i, (asked, answered) in enumerate(turns)
        for one in (message("user", asked, i), message("assistant", answered, i))
    ]
    history.append(message("user", 1))
    stock = ChatMemoryBuffer.from_defaults(token_limit=limit, tokenizer_fn=words)
    for one in history:
        stock.put(one)
    assert window(history, limit) == stock.get()


roles = st.sampled_from(["user", "assistant", "call", "tool"])
TOOL, USER, SYSTEM = MessageRole.TOOL, MessageRole.USER, MessageRole.SYSTEM


def one_of(role: str, n: int, name: int) -> ChatMessage:
    return call({"n": name}, said=f"w{name}") if role == "call" else message(role, n, name)


def calls(one: ChatMessage) -> list[ToolCallBlock]:
    return [block for block in one.blocks if isinstance(block, ToolCallBlock)]


@settings(max_examples=300)
@given(st.lists(st.tuples(roles, lengths), max_size=25), st.integers(1, 40), st.booleans())
def test_whatever_the_history_a_model_takes_the_window(
    parts: list[tuple[str, int]], limit: int, with_system: bool
) -> None:
    history = [one_of(role, n, i) for i, (role, n) in enumerate(parts)]
    if with_system:
        history.insert(0, message("system", 2))
    found = window(history, limit)
    assert [one.role for one in found[:1] if with_system] == [SYSTEM] * with_system
    for i, one in enumerate(found):
        before = [*reversed(found[:i])]
        if one.role == TOOL:  # its call, or another answer to the call, precedes it
            assert before
            assert before[0].role not in (USER, SYSTEM)
        rest = found[i + 1 :]
        if calls(one) and any(other.role != TOOL for other in rest):
            assert rest[0].role == TOOL
    # The newest turn is complete: nothing newer than the window's first message is missing.
    asked = [one for one in history if one.role == USER]
    if asked:
        assert [one for one in found if one.role == USER] == asked[-_count(found, USER) :]
        assert asked[-1] in found
        if len(found) > with_system and found[with_system].role != USER:
            assert _count(found, USER) == len(asked)  # it begins at the start of the history


def _count(messages: list[ChatMessage], role: MessageRole) -> int:
    return sum(one.role == role for one in messages)


def calling(*ids: str | None, older: bool = False) -> ChatMessage:
    if older:  # where calls were before blocks
        extra = {"tool_calls": [{"id": id} for id in ids]}
        return ChatMessage(role="assistant", additional_kwargs=extra)
    blocks = [ToolCallBlock(tool_call_id=id, tool_name="f", tool_kwargs={}) for id in ids]
    return ChatMessage(role="assistant", blocks=blocks)


def answer(id: str | None, said: str = "done") -> ChatMessage:
    extra = {} if id is None else {"tool_call_id": id}
    return ChatMessage(role="tool", content=said, additional_kwargs=extra)


CLOSED = answer("c1", NOT_COMPLETED)


@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        ([calling("c1")], [calling("c1"), CLOSED]),
        ([calling("c1", older=True)], [calling("c1", older=True), CLOSED]),
        (
            [calling("c1", "c2"), answer("c2")],
            [calling("c1", "c2"), answer("c2"), CLOSED],
        ),
        # c1 is answered as c2, so neither matches.
        ([calling("c1"), answer("c2")], [calling("c1"), CLOSED]),
        ([calling("c1"), answer("c1"), answer("c1", "again")], [calling("c1"), answer("c1")]),
        ([answer("c1")], []),
        ([message("assistant", 1), answer("c1")], [message("assistant", 1)]),
        ([message("assistant", 1), answer(None)], [message("assistant", 1)]),
        # Programs without ids rely on the order.
        ([calling("c1"), answer(None)], [calling("c1"), answer(None)]),
        ([calling(None, None), answer(None), answer(None)],) * 2,
    ],
)  # fmt: skip
def test_a_model_is_given_each_call_with_its_answer(
    broken: list[ChatMessage], shown: list[ChatMessage]
) -> None:
    asked, later = message("user", 1), [message("user", 1, 2), message("assistant", 1, 3)]
    assert window([asked, *broken, *later], 100) == [asked, *shown, *later]


def test_a_call_at_the_end_is_left_alone() -> None:
    asked = message("user", 1)
    for history in (
        [asked, calling("c1")],  # the program is about to call the tool
        [asked, calling("c1", "c2"), answer("c1")],
    ):
        assert window(history, 100) == history
    assert window([asked, calling("c1"), answer("c1"), answer("c1")], 100) == [
        asked, calling("c1"), answer("c1"),
    ]  # fmt: skip


def test_a_call_is_never_split_from_its_answer() -> None:
    turn = [message("user", 5), call({"a": 1}), message("tool", 5), message("assistant", 5)]
    history = [message("user", 1), message("assistant", 1), *turn]
    for limit in range(1, 40):
        found = window(history, limit)
        assert found[-4:] == turn  # the whole last turn, even if it does not fit


def test_arguments_of_calls_are_counted() -> None:
    history = [
        message("user", 1),
        call({"text": "w " * 500}),
        message("tool", 1),
        message("assistant", 1),
        message("user", 1),
    ]
    assert window(history, 100) == history[-1:]


def test_no_orphan_at_the_beginning() -> None:
    history = [message("tool", 1), message("assistant", 1), message("user", 1)]
    assert window(history, 100) == history[2:]
    assert window(history[1:], 100) == history[1:]  # a greeting is not an orphan


def test_taken_tokens_leave_less_room() -> None:
    history = [message("user", 5), message("assistant", 5), message("user", 5)]
    assert window(history, 20) == history
    assert window(history, 20, initial=6) == history[-1:]
    with pytest.raises(ConfigurationError, match="Initial token count exceeds token limit"):
        window(history, 20, initial=21)


pieces = ("Hello", "wörld", "42", "naïve?", "don't", "日本", "😀", "\n- item", '{"a": 1}', "  ")
sentence = st.lists(st.sampled_from(pieces), max_size=12).map(" ".join)
sentences = st.lists(sentence, min_size=1, max_size=24)


@settings(max_examples=60)  # the first call reads the tokenizer's file
@given(sentences, st.integers(1, 200))
def test_it_is_stocks_with_llamaindex_s_own_tokenizer_but_for_a_few_tokens(
    texts: list[str], limit: int
) -> None:
    texts = texts[: len(texts) - 1 + len(texts) % 2]  # the user speaks last
    history = [
        ChatMessage(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(texts)
    ]
    stock = ChatMemoryBuffer.from_defaults(history, token_limit=limit)

    def shown(limit: int) -> int:
        taken = Window(limit, get_tokenizer())
        complete = not any(taken.add(one) for one in reversed(history))
        return len(taken.messages(complete=complete, first=history[0]))

    # The sum of the texts' tokens differs slightly from that of the joined text.
    slack = limit // 10 + 10
    assert shown(max(0, limit - slack)) <= len(stock.get()) <= shown(limit + slack)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(lengths, lengths, st.booleans()), min_size=1, max_size=9),
    st.integers(10, 60),
    st.integers(1, 70),
)
def test_the_queue_of_memory_is_stocks(
    turns: list[tuple[int, int, bool]], limit: int, flush_size: int
) -> None:
    settings: Any = {
        "token_limit": limit, "token_flush_size": flush_size, "tokenizer_fn": words,
        "chat_history_token_ratio": 1.0,
    }  # fmt: skip
    client = Memory("n", url="sqlite://")
    ours = BotWireMemory.from_defaults(client=client, session_id="ours", **settings)
    stock = StockMemory.from_defaults(
        chat_store=BotWireAsyncChatStore(client=client), session_id="stock", **settings
    )

    async def talk() -> None:
        for i, (asked, answered, with_tool) in enumerate(turns):
            answer = [message("assistant", answered, i)]
            if with_tool:  # with no arguments: stock does not count them
                answer = [message("assistant", 1, i), message("tool", 1, i), *answer]
            for memory in (ours, stock):
                await memory.aput(message("user", asked, i))
            # Stock shows a model answers to calls that were never made.
            assert await ours.aget() == with_answered_calls(await stock.aget())
            for memory in (ours, stock):
                await memory.aput_messages(answer)
            # Stock shows a model answers to calls that were never made.
            assert await ours.aget() == with_answered_calls(await stock.aget())
            assert await ours.aget_all() == await stock.aget_all()

    asyncio.run(talk())


def test_a_queue_of_a_very_low_limit_comes_to_an_end() -> None:
    memory = BotWireMemory(client=Memory("n", url="sqlite://"), token_limit=3, tokenizer_fn=words)
    for i in range(4):
        memory.put(message("user", i, i))
    assert memory.get() == [message("user", 3, 3)]


async def places(memories: list[Any], history: list[ChatMessage]) -> list[int]:
    """Returns how many messages each memory shows a model, equal in both halves."""
    for memory in memories:
        await memory.aset(history)
        assert memory.get() == await memory.aget()
    return [len(memory.get()) for memory in memories]


@pytest.mark.anyio
async def test_a_message_that_is_longer_than_the_limit(place_url: str, namespace: str) -> None:
    memories = [
        cls.from_defaults(token_limit=10, tokenizer_fn=words, namespace=namespace, url=place_url)
        for cls in (BotWireChatMemoryBuffer, BotWireMemory)
    ]
    long = message("user", 300_000)  # about a megabyte, which the model will refuse
    assert await places(memories, [message("user", 2), message("assistant", 2), long]) == [1, 1]
    assert memories[0].get() == [long]
    await memories[1].aput(message("assistant", 1))
    assert memories[1].get()[0] == long


@pytest.mark.anyio
async def test_a_window_with_images_and_taken_tokens(place_url: str, namespace: str) -> None:
    image = ImageBlock(image=b"\x89PNG\r\n\x1a\n" * 100)
    seen = ChatMessage(role="user", blocks=[TextBlock(text="look"), image])
    history = [seen, message("assistant", 5)] * 4
    memories: list[Any] = [
        cls.from_defaults(token_limit=limit, tokenizer_fn=words, namespace=namespace, url=place_url)
        # Stock's buffer counts texts only, its `Memory` 256 for an image.
        for cls, limit in ((BotWireChatMemoryBuffer, 12), (BotWireMemory, 786))
    ]
    assert await places(memories, history) == [4, 4]
    assert memories[0].get()[0] == seen
    assert len(memories[0].get(initial_token_count=6)) == 2
    assert len(await memories[0].aget(initial_token_count=6)) == 2
    with pytest.raises(ConfigurationError, match="Initial token count exceeds token limit"):
        memories[0].get(initial_token_count=13)
    # As SimpleChatEngine does with every memory.
    assert len(memories[1].get(initial_token_count=6)) == 4


class Reads:
    """Counts reads and writes, for a client of either kind."""

    def __init__(self, engine: Any, awaited: bool) -> None:
        self.items = self.requests = 0
        self._engine, self._apply = engine, engine.apply
        engine.apply = self._async_apply if awaited else self._blocking_apply

    def stop(self) -> None:
        self._engine.apply = self._apply

    def _count(self, results: Any) -> Any:
        self.requests += 1
        self.items += sum(len(getattr(result, "items", ())) for result in results)
        return results

    def _blocking_apply(self, batch: Any) -> Any:
        return self._count(self._apply(batch))

    async def _async_apply(self, batch: Any) -> Any:
        return self._count(await self._apply(batch))


@pytest.mark.anyio
async def test_a_long_history_is_not_read_whole(place_url: str, namespace: str) -> None:
    client = Memory(namespace, url=place_url)
    memory = BotWireChatMemoryBuffer.from_defaults(
        client=client, token_limit=3000, tokenizer_fn=words
    )
    newer = BotWireMemory.from_defaults(
        client=client, token_limit=3000, chat_history_token_ratio=1.0, tokenizer_fn=words
    )
    history = [message(("user", "assistant")[i % 2], 40, i) for i in range(9_998)]
    memory.set([message("system", 3), *history])
    connection = memory.chat_store.connection
    first, again = (3, 1001), (2, 1)  # requests, most items: nothing is read twice
    for reads, get, most in (
        (Reads(connection.memory.engine, awaited=False), memory.get, first),
        (Reads(connection.async_memory.engine, awaited=True), memory.aget, again),
        (Reads(connection.memory.engine, awaited=False), newer.get, first),
        (Reads(connection.async_memory.engine, awaited=True), newer.aget, again),
    ):
        found: Any = get()
        found = await found if inspect.isawaitable(found) else found
        reads.stop()
        assert found[0].role == MessageRole.SYSTEM
        assert found[1:] == history[-len(found) + 1 :]
        assert 66 <= len(found[1:]) <= 74
        assert (reads.requests, reads.items <= most[1]) == (most[0], True)
    reads = Reads(connection.memory.engine, awaited=False)
    newer.put(message("user", 40))
    reads.stop()
    assert (reads.requests, reads.items) == (4, 1)  # append, look, read one, archive the rest
    assert len(newer.get_all()) == 10_000
    assert len(newer.get_all(MessageStatus.ACTIVE)) < 80


class Counted:
    """A tokenizer that counts its calls, and cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, text: str) -> list[str]:
        self.calls += 1
        return text.split()


@pytest.mark.parametrize("cls", [BotWireChatMemoryBuffer, BotWireMemory])
def test_after_a_new_message_nothing_else_is_counted(
    cls: Any, place_url: str, namespace: str
) -> None:
    tokenizer = Counted()
    memory = cls(namespace, 140, url=place_url, tokenizer_fn=tokenizer)
    other = cls(namespace, 140, url=place_url, tokenizer_fn=tokenizer)
    memory.put_messages([message(("user", "assistant")[i % 2], 1, i) for i in range(90)])
    memory.get()
    memory.put(message("user", 1, 90))
    tokenizer.calls = 0
    memory.put(message("assistant", 1, 91))
    assert len(memory.get()) == 92
    assert tokenizer.calls <= 3
    other.put_messages([message("user", 1, 92), message("assistant", 1, 93)])
    tokenizer.calls = 0
    assert memory.get()[-1] == message("assistant", 1, 93)
    assert tokenizer.calls <= 3


@pytest.mark.anyio
@pytest.mark.parametrize("cls", [BotWireChatMemoryBuffer, BotWireMemory])
async def test_what_others_did_meanwhile_is_seen(cls: Any, place_url: str, namespace: str) -> None:
    memory = cls(namespace, 100, url=place_url, tokenizer_fn=words)
    history = Memory(namespace, url=place_url).history("chat_history")
    said = [message(("user", "assistant")[i % 2], 1, i) for i in range(8)]
    memory.put_messages(said)
    assert memory.get() == said == await memory.aget()
    history.delete(3)
    assert memory.get() == [*said[:2], *said[3:]]
    history.delete(4)
    memory.put(said[3])  # as many as before
    assert await memory.aget() == [*said[:2], *said[4:], said[3]]
    history.archive(2)
    assert texts_of(memory.get()) == texts_of([*said[4:], said[3]])
    memory.set(said[:2])
    assert memory.get() == said[:2]
    history.clear()
    assert await memory.aget() == memory.get() == []
    history.extend(["not a message"])
    assert memory.get() == []
    memory.put_messages(said[:2])
    assert memory.get() == await memory.aget() == said[:2]
    other = memory.model_copy(update={"tokenizer_fn": lambda text: [*text] * 40})
    assert other.get() == said[:2]
    assert memory.get() == said[:2]


def texts_of(messages: list[ChatMessage]) -> list[str | None]:
    return [message.content for message in messages]
