"""The window: whole turns from the end, equal to stock's where stock is right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock
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
        if one.role == TOOL:  # its call, or another answer to it, is before it
            assert before
            assert before[0].role not in (USER, SYSTEM)
        rest = found[i + 1 :]
        if calls(one) and any(other.role != TOOL for other in rest):
            assert rest[0].role == TOOL
    # The newest turn is there, whole: nothing newer than the first of the window is missing.
    asked = [one for one in history if one.role == USER]
    if asked:
        assert [one for one in found if one.role == USER] == asked[-_count(found, USER) :]
        assert asked[-1] in found
        if len(found) > with_system and found[with_system].role != USER:
            assert _count(found, USER) == len(asked)  # it begins where the history does


def _count(messages: list[ChatMessage], role: MessageRole) -> int:
    return sum(one.role == role for one in messages)


def test_calls_that_were_never_answered_are_not_given_to_a_model() -> None:
    pending = [message("user", 1), call({"a": 1}), message("tool", 1)]
    lost = call({"a": 1})
    said = call({"a": 1}, said="let me look")
    both = ChatMessage(role="assistant", blocks=[*calls(lost), *calls(lost)])
    for broken in ([lost], [both, message("tool", 1)], [message("tool", 1)]):
        history = [message("user", 1), *broken, *pending]
        assert window(history, 100) == [history[0], *pending]
    assert [one.content for one in window([message("user", 1), said, *pending], 100)][1] == (
        "let me look"
    )
    older = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [{"id": "c"}]})
    assert window([message("user", 1), older, *pending], 100) == [message("user", 1), *pending]
    assert window([message("user", 1), older, message("tool", 1), *pending], 100)[1] == older
    # At the end it is not lost: the program is about to call the tool.
    assert window([message("user", 1), lost], 100) == [message("user", 1), lost]


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
