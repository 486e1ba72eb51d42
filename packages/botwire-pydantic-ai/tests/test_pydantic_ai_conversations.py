"""A conversation is stored as by Pydantic AI's own store, and continues in other frameworks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryImage,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel

from botwire import Author, ConfigurationError, History, NotJSONError
from botwire.messages import Message, Native, ToolCall, read_items
from botwire.tool_calls import NOT_COMPLETED
from botwire_pydantic_ai import BotWireConversationStore, conversations
from conftest import read_url, running


@pytest.fixture
def store(namespace: str, tmp_path: Path) -> BotWireConversationStore:
    return BotWireConversationStore(namespace, url=f"sqlite:///{tmp_path / 'memory.db'}")


def history(store: BotWireConversationStore, name: str = "c") -> History:
    return store.connection.memory.history(name)


def question(text: str) -> ModelMessage:
    return ModelRequest([UserPromptPart(text)])


def answer(text: str) -> ModelMessage:
    return ModelResponse([TextPart(text)])


def texts(messages: Sequence[ModelMessage]) -> list[Any]:
    return [getattr(message.parts[0], "content", None) for message in messages]


def visible(store: BotWireConversationStore, name: str = "c") -> list[str]:
    """Returns what another framework reads of a conversation."""
    return [
        text
        for _, text in read_items(
            history(store, name).read(),
            framework="other",
            formats=(1,),
            from_native=str,
            from_portable=lambda message: message.text,
        )
    ]


async def tell(store: ConversationStore, *messages: ModelMessage, name: str = "c") -> None:
    conversation = await store.load(name) or Conversation(conversation_id=name)
    conversation.messages.extend(messages)
    await store.save(conversation)


async def load(store: ConversationStore, name: str = "c", **options: Any) -> list[Any]:
    conversation = await store.load(name, **options)
    assert conversation is not None
    return texts(conversation.messages)


async def test_a_conversation_goes_on_with_another_agent(namespace: str, place_url: str) -> None:
    runs: list[str] = []
    for turn in range(2):
        store = BotWireConversationStore(namespace, url=place_url)
        conversation = await store.load("c") or Conversation(conversation_id="c")
        assert len(conversation.messages) == 4 * turn
        agent = Agent(TestModel(custom_output_text="fine"))

        @agent.tool_plain
        def look() -> str:
            return "12 degrees"

        result = await agent.run(f"turn {turn}", conversation=conversation)
        await store.save(result, scope="ada")
        kept = await store.load("c")
        assert kept == result.conversation
        runs.append(result.run_id)
    authors = dict.fromkeys(item.author for item in history(store).read())
    assert list(authors) == [Author(framework="pydantic-ai", run=run) for run in runs]
    assert [record.scope for record in await store.list_conversations()] == ["ada"]


MESSAGES: list[ModelMessage] = [
    ModelRequest([SystemPromptPart("be kind"), UserPromptPart("hi")], instructions="short"),
    ModelResponse(
        [
            ThinkingPart("hm"),
            TextPart("let me look"),
            ToolCallPart("look", {"city": "Oslo"}, "c1"),
            ToolCallPart("raw", "not JSON", "c2"),
        ]
    ),
    ModelRequest([ToolReturnPart("look", {"degrees": 12}, "c1"), ToolReturnPart("raw", "", "c2")]),
    ModelResponse([ThinkingPart("only this")]),
    ModelRequest([UserPromptPart(["see", BinaryImage(b"\x00\xff", media_type="image/png")])]),
    ModelResponse([TextPart("\ud800 fine")], metadata={"a": 1}),
]


async def test_every_part_of_a_message_comes_back_and_others_read_what_they_can(
    store: BotWireConversationStore, caplog: pytest.LogCaptureFixture
) -> None:
    await tell(store, *MESSAGES)
    kept = await store.load("c")
    assert kept is not None
    assert kept.messages == MESSAGES
    values = [item.value for item in history(store).read()]
    read = [Message.from_item(value) for value in values if "envelope" in value]
    assert [(one.role, one.text, one.tool_call_id) for one in read] == [
        ("system", "be kind", None),
        ("user", "hi", None),
        ("assistant", "let me look", None),
        ("tool", '{"degrees":12}', "c1"),
        ("tool", "", "c2"),
        ("user", "see", None),
        ("assistant", "\ud800 fine", None),
    ]
    assert [(call.id, call.name, call.arguments) for call in read[2].tool_calls] == [
        ("c1", "look", {"city": "Oslo"}),
        ("c2", "raw", "not JSON"),
    ]
    assert visible(store)
    assert not caplog.records


async def test_numbers_that_json_lacks_come_back(store: BotWireConversationStore) -> None:
    nan, infinity = float("nan"), float("inf")
    call = ToolCallPart("look", {"a": [nan, None], "b": {"c": -infinity}}, "c1")
    answer = ModelRequest([ToolReturnPart("look", {"d": nan}, "c1")], metadata={"e": infinity})
    said: list[ModelMessage] = [ModelRequest([UserPromptPart("hi")]), ModelResponse([call]), answer]
    await tell(store, *said)
    kept = await store.load("c")
    assert kept is not None
    _, asked, answered = kept.messages
    assert isinstance(asked.parts[0], ToolCallPart)
    assert isinstance(answered.parts[0], ToolReturnPart)
    found = (asked.parts[0].args, answered.parts[0].content, answered.metadata)
    assert repr(found) == repr((call.args, {"d": nan}, {"e": infinity}))


async def test_a_second_save_of_what_was_loaded_is_refused(store: BotWireConversationStore) -> None:
    await tell(store, question("one"), answer("1"))
    first, second = await store.load("c"), await store.load("c")
    assert first is not None
    assert second is not None
    first.messages.append(question("first"))
    second.messages.append(question("second"))
    outcomes = await asyncio.gather(store.save(first), store.save(second), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["ConversationConflict", "list"]
    assert len(await load(store)) == 3
    with pytest.raises(ConversationConflict):
        await store.save(Conversation(conversation_id="c", messages=[question("new")]))


async def test_concurrent_saves_of_different_conversations_are_not_refused(
    store: BotWireConversationStore,
) -> None:
    names = [f"c{i}" for i in range(10)]
    await asyncio.gather(*(tell(store, question(name), name=name) for name in names))
    assert {record.conversation_id for record in await store.list_conversations()} == set(names)


async def test_a_branch_that_was_left_is_hidden_from_others_and_can_be_taken_up(
    store: BotWireConversationStore,
) -> None:
    await tell(store, question("one"), answer("1"), question("two"), answer("2"))
    first = await store.load("c")
    assert first is not None
    await store.branch("c", at=2, expected_revision=first.revision)
    assert await load(store) == visible(store) == ["one", "1"]
    await tell(store, question("other"), answer("3"))
    assert await load(store) == visible(store) == ["one", "1", "other", "3"]
    record = await store.read_record("c")
    assert record is not None
    await store.branch("c", from_entry=record.branches[0], expected_revision=record.revision)
    assert await load(store) == visible(store) == ["one", "1", "two", "2"]
    assert await load(store, limit=3) == ["1", "two", "2"]


async def test_forks_share_entries_until_the_last_is_deleted(
    store: BotWireConversationStore,
) -> None:
    await tell(store, question("one"), answer("1"))
    await store.fork("c", new_conversation_id="f")
    await store.fork("f", new_conversation_id="g")
    await tell(store, question("in f"), name="f")
    await store.fork("f", new_conversation_id="h")
    await store.delete("c")
    assert await store.load("c") is None
    assert visible(store) == []
    assert await load(store, "h") == ["one", "1", "in f"]
    await tell(store, question("anew"))
    history(store).append(Message("user", "elsewhere").to_item())
    assert await load(store) == ["anew", "elsewhere"]
    await store.delete("c")
    for name, left in (("f", ["g", "h"]), ("g", ["h"]), ("h", [])):
        await store.delete(name)
        records = await store.list_conversations()
        assert sorted(record.conversation_id for record in records) == left
        for other in left:
            assert (await load(store, other))[:2] == ["one", "1"]
    memory = store.connection.memory
    assert memory.list_keys() == []
    assert memory.list_histories() == []
    assert history(store).read(archived=True) == []


async def test_it_goes_on_in_another_framework_and_back(
    store: BotWireConversationStore, caplog: pytest.LogCaptureFixture
) -> None:
    await tell(store, question("one"), answer("1"))
    before = await store.load("c")
    assert before is not None
    history(store).extend(
        [
            Message("system", "be kind").to_item(),
            Message("assistant", "", tool_calls=[ToolCall("c9", "look", {"n": 1})]).to_item(),
            Native("other", 1, "its own").to_value(),
            Message("tool", "12", tool_call_id="c9").to_item(),
        ]
    )
    kept = await store.load("c")
    assert kept is not None
    assert texts(kept.messages)[:3] == ["one", "1", "be kind"]
    call, returned = kept.messages[3].parts[0], kept.messages[4].parts[0]
    assert isinstance(call, ToolCallPart)
    assert isinstance(returned, ToolReturnPart)
    assert (call.tool_name, call.args, returned.tool_name) == ("look", {"n": 1}, "look")
    before.messages.append(question("unaware"))
    with pytest.raises(ConversationConflict):
        await store.save(before)
    await tell(store, answer("thanks"))
    assert await load(store, limit=2) == ["12", "thanks"]
    entry = (await store.load_entries("c") or [])[-2]
    assert await store.read_entry(entry.id) == replace(
        entry, message=(await store.read_history(entry.id, limit=1))[0].message
    )
    assert not caplog.records


async def test_what_another_framework_began_goes_on_here(store: BotWireConversationStore) -> None:
    history(store).extend(
        [
            Message("user", "hello").to_item(),
            Message("assistant", "let me look", tool_calls=[ToolCall("c1", "look", {})]).to_item(),
        ]
    )
    agent = Agent(TestModel(custom_output_text="fine"))
    conversation = await store.load("c")
    assert conversation is not None
    # The process that called the tool was killed; Pydantic AI accepts no question after an open
    # call.
    assert conversation.messages[-1].parts[-1] == TextPart(NOT_COMPLETED)
    await store.save(await agent.run("are you there?", conversation=conversation))
    conversation = await store.load("c")
    assert conversation is not None
    await store.save(await agent.run("and now?", conversation=conversation))
    assert visible(store) == ["hello", "let me look", "are you there?", "fine", "and now?", "fine"]
    assert [record.conversation_id for record in await store.list_conversations()] == ["c"]


async def test_a_paused_run_is_continued_by_another_process(
    store: BotWireConversationStore,
) -> None:
    agent = Agent(TestModel(), output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def pay() -> str:
        return "paid"

    asked = await agent.run("pay it", conversation=Conversation(conversation_id="c"))
    await store.save(asked)
    again = BotWireConversationStore(client=store.connection.memory)
    paused = await again.load("c")
    assert paused is not None
    assert paused.deferred_tool_requests is not None
    results = paused.deferred_tool_requests.build_results(approve_all=True)
    await again.save(await agent.run(conversation=paused, deferred_tool_results=results))
    done = await store.load("c")
    assert done is not None
    assert done.deferred_tool_requests is None
    assert isinstance(done.messages[2].parts[0], ToolReturnPart)


async def test_lists_are_of_this_framework_newest_first_and_keep_what_others_set(
    store: BotWireConversationStore,
) -> None:
    history(store, "of others").append(Message("user", "hi").to_item())
    for name, scope in (("a", "ada"), ("b", "bob"), ("c", "ada")):
        await store.save(Conversation(conversation_id=name, messages=[question(name)]), scope=scope)
    history(store, "a").set_metadata({**history(store, "a").metadata(), "title": "tea"})
    await tell(store, question("more"), name="a")
    assert history(store, "a").metadata()["title"] == "tea"

    async def names(**options: Any) -> list[str]:
        return [record.conversation_id for record in await store.list_conversations(**options)]

    assert await names() == ["a", "c", "b"]
    assert await names(limit=2) == ["a", "c"]
    assert await names(scope="ada") == ["a", "c"]
    assert await names(scope="nobody") == []
    record = await store.read_record("b")
    assert record is not None
    await store.branch("b", at=0, expected_revision=record.revision)
    assert await names() == ["b", "a", "c"]


async def test_nothing_is_written_if_something_cannot_be_read_back(
    store: BotWireConversationStore,
) -> None:
    wrong = ModelResponse([TextPart("a")], metadata={"object": object()})
    with pytest.raises(NotJSONError, match=r"new_entries\[1\]\.message"):
        await store.save(Conversation(conversation_id="c", messages=[question("hi"), wrong]))
    assert await store.load("c") is None
    assert store.connection.memory.list_keys() == []
    with pytest.raises(ConfigurationError):
        await store.load("")
    none: Any = None
    with pytest.raises(ConfigurationError, match="record must be a ConversationRecord"):
        await store.write_record(none, expected_revision=None)
    record = ConversationRecord(conversation_id="c", head_id=None, revision="1")
    for wrong, says in ((none, "must be a list of entries"), ([none], r"new_entries\[0\] must be")):
        with pytest.raises(ConfigurationError, match=says):
            await store.write_record(record, new_entries=wrong, expected_revision=None)


async def test_an_item_that_cannot_be_read_is_logged_and_left_out(
    store: BotWireConversationStore, caplog: pytest.LogCaptureFixture
) -> None:
    await tell(store, question("one"), answer("1"))
    history(store).append("nothing of ours")
    with caplog.at_level(logging.WARNING):
        assert await load(store) == ["one", "1"]
    await tell(store, question("two"))
    assert await load(store) == ["one", "1", "two"]


@pytest.mark.parametrize("data", [None, [], {"x": 1}, {"id": "e", "message": {}}], ids=str)
async def test_a_damaged_entry_hides_no_other(store: BotWireConversationStore, data: Any) -> None:
    native = Native("pydantic-ai", 1, data)
    history(store).extend(
        [
            Message("user", "first").to_item(),
            Message("user", "damaged", native=native).to_item(),
            native.to_value(),
            Message("user", "last").to_item(),
        ]
    )
    said = await load(store)
    assert [text for text in said if text != "damaged"] == ["first", "last"]


async def test_a_conversation_longer_than_a_request_is_deleted(
    tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "_PART", 5)
    with running(tmp_path / "memory.db", "--max-batch", "20") as process:
        store = BotWireConversationStore(namespace, url=read_url(process))
        for number in range(12):
            await tell(store, question(f"question {number}"), answer(f"answer {number}"))
        record = await store.read_record("c")
        assert record is not None
        await store.delete_record("c", expected_revision=record.revision)
        assert await store.load("c") is None
        assert store.connection.memory.list_keys() == []
        process.terminate()


async def test_a_head_that_is_not_there_is_a_conflict(store: BotWireConversationStore) -> None:
    record = ConversationRecord(conversation_id="c", head_id="nowhere")
    with pytest.raises(ConversationConflict):
        await store.write_record(record, expected_revision=None)
    with pytest.raises(LookupError, match="nowhere"):
        await store.read_entry("nowhere")
    entry = ConversationEntry(parent_id=None, message=question("hi"))
    record = ConversationRecord(conversation_id="c", head_id=entry.id)
    await store.write_record(record, new_entries=[entry], expected_revision=None)
    assert await store.read_entry(entry.id) == entry
    assert await store.read_record("c") == record
    with pytest.raises(ConversationConflict):
        await store.delete_record("c", expected_revision="another")
    await store.delete_record("c", expected_revision=record.revision)
    with pytest.raises(LookupError):
        await store.read_entry(entry.id)


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("tell"), NAMES, st.integers(1, 2)),
    st.tuples(st.just("rewrite"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("branch"), NAMES, st.integers(0, 4)),
    st.tuples(st.just("back"), NAMES, st.integers(0, 2)),
    st.tuples(st.just("fork"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES, st.none()),
)


async def _apply(store: ConversationStore, step: Any, number: int) -> Any:
    """Applies a step; returns the state that every store must then show."""
    does, name, more = step
    said = [replace_time(question(f"{number}.{i}")) for i in range(2)]
    try:
        if does == "tell":
            await tell(store, *said[:more], name=name)
        elif does == "rewrite":
            kept = await store.load(name)
            if kept is not None:
                kept.messages = [*kept.messages[:more], said[0]]
                kept.new_message_index = None
                await store.save(kept)
        elif does == "fork":
            await store.fork(name, new_conversation_id=more)
        elif does == "delete":
            await store.delete(name)
        else:
            record = await store.read_record(name)
            if record is not None:
                tips = [*record.branches, "none"]
                options: Any = {"at": more}
                if does == "back":
                    options = {"from_entry": tips[more % len(tips)]}
                await store.branch(name, expected_revision=record.revision, **options)
        outcome = None
    except UserError as error:
        outcome = type(error)
    shown = {}
    for one in "abc":
        kept, window = await store.load(one), await store.load(one, limit=2)
        record = await store.read_record(one)
        shown[one] = (
            kept and texts(kept.messages),
            window and texts(window.messages),
            record and len(record.branches),
        )
    listed = [record.conversation_id for record in await store.list_conversations()]
    return outcome, shown, listed


def replace_time(message: ModelMessage) -> ModelMessage:
    """Returns a message that is equal in every store."""
    for part in message.parts:
        if isinstance(part, UserPromptPart):
            part.timestamp = part.timestamp.replace(year=2020, month=1, day=1, hour=0, minute=0)
            part.timestamp = part.timestamp.replace(second=0, microsecond=0)
    return message


@settings(max_examples=25)
@given(st.lists(STEPS, max_size=8))
def test_it_does_what_pydantic_ais_own_store_does(steps: list[Any]) -> None:
    async def compare() -> None:
        ours = BotWireConversationStore("compared", url="sqlite://")
        stock = InMemoryConversationStore()
        for number, step in enumerate(steps):
            assert await _apply(ours, step, number) == await _apply(stock, step, number)
            for name in "abc":
                kept = await ours.load(name)
                told = [] if kept is None else texts(kept.messages)
                record = await ours.read_record(name)
                if record is None or record.forked_from is None:
                    assert visible(ours, name) == told
        for name in "abc":
            await ours.delete(name)
        assert ours.connection.memory.list_keys() == []

    asyncio.run(compare())
