"""The window: whole turns from the end, equal to stock's where stock is right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer

from botwire import ConfigurationError, Memory
from botwire_llamaindex import BotWireChatMemoryBuffer, BotWireChatStore
from botwire_llamaindex.window import Window

lengths = st.integers(0, 12)


def words(text: str) -> list[str]:
    """A tokenizer whose counts can be done by hand."""
    return text.split()


def message(role: str, n: int, name: int = 0) -> ChatMessage:
    return ChatMessage(role=role, content=" ".join([f"w{name}"] * n))


def call(args: Any) -> ChatMessage:
    block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs=args)
    return ChatMessage(role="assistant", blocks=[block])


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


roles = st.sampled_from(["user", "assistant", "tool"])


@settings(max_examples=300)
@given(st.lists(st.tuples(roles, lengths), max_size=25), st.integers(1, 40), st.booleans())
def test_it_is_a_suffix_of_whole_turns(
    parts: list[tuple[str, int]], limit: int, with_system: bool
) -> None:
    history = [message(role, n, i) for i, (role, n) in enumerate(parts)]
    if with_system:
        history.insert(0, message("system", 2))
    found = window(history, limit)
    rest = found
    if with_system and history:
        assert found[0] == history[0]
        rest = found[1:]
    if not rest:
        return
    assert rest == history[len(history) - len(rest) :]
    answers = (MessageRole.TOOL, MessageRole.ASSISTANT)
    whole = len(rest) + with_system == len(history)
    has_turn = any(one.role not in answers for one in history[with_system:])
    if has_turn and not whole:
        assert rest[0].role not in answers


def test_a_call_is_never_split_from_its_answer() -> None:
    turn = [message("user", 5), call({"a": 1}), message("tool", 5), message("assistant", 5)]
    history = [message("user", 1), message("assistant", 1), *turn]
    for limit in range(1, 40):
        found = window(history, limit)
        assert found[-4:] == turn  # the last turn whole, even where it does not fit


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
    assert window(history[1:], 100) == history[1:]  # a greeting is no orphan


def test_taken_tokens_leave_less_room() -> None:
    history = [message("user", 5), message("assistant", 5), message("user", 5)]
    assert window(history, 20) == history
    assert window(history, 20, initial=6) == history[-1:]
    with pytest.raises(ConfigurationError, match="21 tokens are taken"):
        window(history, 20, initial=21)


@pytest.mark.anyio
async def test_a_long_history_is_not_read_whole(place_url: str, namespace: str) -> None:
    store = BotWireChatStore(client=Memory(namespace, url=place_url))
    memory = BotWireChatMemoryBuffer.from_defaults(
        chat_store=store, token_limit=3000, tokenizer_fn=words
    )
    history = [message(("user", "assistant")[i % 2], 40, i) for i in range(10_000)]
    memory.set([message("system", 3), *history])
    read = 0
    engine = store.connection.memory.engine
    apply = engine.apply

    def counting(batch: Any) -> Any:
        nonlocal read
        results = apply(batch)
        read += sum(len(getattr(result, "items", ())) for result in results)
        return results

    engine.apply = counting  # type: ignore[method-assign]
    try:
        found = memory.get()
    finally:
        engine.apply = apply  # type: ignore[method-assign]
    assert found[1:] == history[-74:]
    assert found[0].role == MessageRole.SYSTEM
    assert read <= 201
    assert await memory.aget() == found
