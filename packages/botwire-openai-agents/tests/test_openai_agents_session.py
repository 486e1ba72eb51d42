"""A session continues in the next run and in other frameworks, complete and once."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agents import (
    Agent,
    RunContextWrapper,
    Runner,
    SessionSettings,
    SQLiteSession,
    function_tool,
    tracing,
)
from agents.extensions.memory import EncryptedSession
from agents.memory import OpenAIResponsesCompactionSession, Session
from agents.memory import session as sdk
from hypothesis import given
from hypothesis import strategies as st

from botwire import Author, ConfigurationError, ConflictError, Memory, NotJSONError
from botwire.messages import Message, ToolCall, read_items
from botwire_openai_agents import BotWireSession, list_sessions
from botwire_openai_agents.convert import from_items, to_items
from tests.items import stored_items
from tests.scripted_responses import ScriptedModel, call, message
from tests.waiting import until

HAS_SNAPSHOTS = hasattr(sdk, "_CompactionSnapshot")
"""Whether this release of the SDK replaces the end of a session in one step."""

USER: Any = {"role": "user", "content": "hi"}
ANSWER: Any = message("fine").model_dump()
CALL: Any = call("look", "c1", city="Oslo").model_dump()
OUTPUT: Any = {"type": "function_call_output", "call_id": "c1", "output": "12 degrees"}
REASONING: Any = {"type": "reasoning", "id": "rs_1", "summary": []}


@pytest.fixture
def session(namespace: str, tmp_path: Path) -> BotWireSession:
    return BotWireSession("user-42", namespace=namespace, url=f"sqlite:///{tmp_path / 'memory.db'}")


def again(session: BotWireSession) -> BotWireSession:
    """Returns a session as another process would open it."""
    return BotWireSession("user-42", client=session.connection.memory)


def texts(items: Any) -> list[str]:
    return [value.get("text", "-") for value in to_items(items)]


async def test_it_is_the_sdks_own_interface(namespace: str, place_url: str) -> None:
    session = BotWireSession("user-42", namespace=namespace, url=place_url)
    assert isinstance(session, Session)
    assert await session.get_items() == []
    assert await session.pop_item() is None
    await session.add_items([])
    items = [USER, REASONING, CALL, OUTPUT, ANSWER]
    await session.add_items(items)
    assert await again(session).get_items() == items
    assert await session.pop_item() == ANSWER
    assert await again(session).get_items() == items[:-1]
    await session.clear_session()
    assert await again(session).get_items() == []


@pytest.mark.parametrize("limit", [None, -1, 0, 1, 2, 3, 99])
async def test_a_limit_is_the_arguments_or_the_settings(
    session: BotWireSession, limit: int | None
) -> None:
    items = [USER, CALL, OUTPUT]
    stock = SQLiteSession("user-42", session_settings=SessionSettings(limit=2))
    session.session_settings = SessionSettings(limit=2)
    for one in (stock, session):
        await one.add_items(items)
    assert await session.get_items(limit) == await stock.get_items(limit)
    session.session_settings = None
    assert await session.get_items() == items
    stock.close()


async def test_a_limit_counts_what_can_be_read(
    session: BotWireSession, caplog: pytest.LogCaptureFixture
) -> None:
    await session.add_items([USER, CALL])
    history = session.connection.memory.history("user-42")
    history.append({"envelope": 99, "role": "user"})
    await session.add_items([OUTPUT])
    history.append("nothing of ours")
    assert await session.get_items(2) == [CALL, OUTPUT]
    assert "skipped item 3" in caplog.text
    assert await session.pop_item() == OUTPUT
    assert await session.pop_item() == CALL
    assert history.count() == 1


async def test_a_run_that_is_repeated_stores_its_question_once(session: BotWireSession) -> None:
    stock = SQLiteSession("user-42")
    for one in (stock, session):
        agent = Agent("helper", model=ScriptedModel(ArithmeticError("down"), "fine", "yes"))
        with pytest.raises(ArithmeticError):
            await Runner.run(agent, "hi", session=one)
        await Runner.run(agent, "hi", session=one)
        await Runner.run(agent, "hi", session=one)  # it was answered, so this is a new one
    assert texts(await stock.get_items()) == ["hi", "hi", "fine", "hi", "yes"]
    assert texts(await session.get_items()) == ["hi", "fine", "hi", "yes"]
    stock.close()


async def test_a_call_that_is_repeated_stores_its_items_once(session: BotWireSession) -> None:
    for _ in range(2):
        await session.add_items([CALL, OUTPUT])
    assert await session.get_items() == [CALL, OUTPUT]
    for _ in range(2):  # without an id, a user may have said it twice
        await session.add_items([USER])
    assert await session.get_items() == [CALL, OUTPUT, USER, USER]


async def test_a_run_after_the_last_turn_was_taken_back(session: BotWireSession) -> None:
    agent = Agent("helper", model=ScriptedModel("one", "two"))
    await Runner.run(agent, "first", session=session)
    await session.pop_item()
    await session.pop_item()
    await Runner.run(agent, "second", session=session)
    assert texts(await session.get_items()) == ["second", "two"]


async def test_of_two_runs_that_read_the_same_one_goes_on(session: BotWireSession) -> None:
    runs = [RunContextWrapper(None), RunContextWrapper(None)]
    for run in runs:
        await session.get_items(wrapper=run)
    await session.add_items([USER], wrapper=runs[0])
    with pytest.raises(ConflictError, match="the session 'user-42'"):
        await session.add_items([{"role": "user", "content": "another"}], wrapper=runs[1])
    await session.add_items([CALL, OUTPUT], wrapper=runs[0])
    await session.add_items([ANSWER], wrapper=runs[0])
    assert await session.get_items() == [USER, CALL, OUTPUT, ANSWER]


async def test_a_tool_may_add_to_the_session_of_its_run(session: BotWireSession) -> None:
    @function_tool
    async def note() -> str:
        await session.add_items([{"role": "system", "content": "a note"}])
        return "noted"

    agent = Agent("helper", model=ScriptedModel(call("note", "c1"), "done"), tools=[note])
    await Runner.run(agent, "hi", session=session)
    assert texts(await session.get_items()) == ["hi", "a note", "", "noted", "done"]


@pytest.mark.parametrize("shared", [True, False], ids=["one object", "objects of their own"])
async def test_an_agent_that_is_a_tool_shares_the_session(
    session: BotWireSession, *, shared: bool
) -> None:
    stock = SQLiteSession("user-42")

    @function_tool
    async def ask() -> str:
        await Runner.run(inner, "and?", session=mine)
        await mine.add_items([{"role": "system", "content": "a note"}])
        return "asked"

    @function_tool
    def ask_in_a_thread() -> str:
        run = Runner.run(inner, "and now?", session=mine)
        return str(asyncio.run(run).final_output)

    for one in (stock, session):
        mine: Any = again(session) if one is session and not shared else one
        inner = Agent("inner", model=ScriptedModel("a", "b", "c"))
        model = ScriptedModel(
            call("inner", "c1", input="what?"),
            call("ask", "c2"),
            call("ask_in_a_thread", "c3"),
            "done",
            "yes",
        )
        tools = [inner.as_tool("inner", "Helps.", session=mine), ask, ask_in_a_thread]
        agent = Agent("helper", model=model, tools=tools)
        await Runner.run(agent, "hi", session=one)
        await Runner.run(agent, "again", session=one)
    assert await session.get_items() == await stock.get_items()
    assert texts(await stock.get_items())[-3:] == ["done", "again", "yes"]
    stock.close()


async def test_a_stream_that_is_cancelled_while_it_stores_a_turn_refuses_nobody(
    namespace: str, place_url: str
) -> None:
    for number in range(20):
        session = BotWireSession(f"user-{number}", namespace=namespace, url=place_url)
        model = ScriptedModel(call("look", "c1"), "never")
        run = Runner.run_streamed(Agent("a", model=model, tools=[look]), "hi", session=session)
        async for event in run.stream_events():
            if event.type == "run_item_stream_event":
                run.cancel("after_turn" if event.name == "tool_called" else "immediate")
        await Runner.run(Agent("b", model=ScriptedModel("yes")), "again", session=session)
        assert texts(await session.get_items())[-2:] == ["again", "yes"]


async def test_a_turn_right_after_a_stream_is_cancelled_is_not_refused(
    namespace: str, place_url: str
) -> None:
    """A user presses Stop at any moment, and goes on before the stopped run has ended."""
    for moment in range(8):
        session = BotWireSession(f"user-{moment}", namespace=namespace, url=place_url)
        model = ScriptedModel(call("look", "c1"), "never")
        run = Runner.run_streamed(Agent("a", model=model, tools=[look]), "hi", session=session)
        events = run.stream_events()
        for _ in range(moment):
            await anext(events, None)
        run.cancel()
        await Runner.run(Agent("b", model=ScriptedModel("yes")), "again", session=session)
        assert texts(await session.get_items())[-2:] == ["again", "yes"]
        await events.aclose()


async def test_an_approval_is_not_refused_since_others_spoke_meanwhile(
    session: BotWireSession,
) -> None:
    @function_tool(needs_approval=True)
    async def pay() -> str:
        return "paid"

    agent = Agent("helper", model=ScriptedModel(call("pay", "c1"), "done"), tools=[pay])
    asked = await Runner.run(agent, "pay it", session=session)
    await Runner.run(Agent("helper", model=ScriptedModel("hello")), "hi", session=again(session))
    state = asked.to_state()
    state.approve(state.get_interruptions()[0])
    await Runner.run(agent, state, session=session)
    assert texts(await session.get_items()) == ["pay it", "", "hi", "hello", "paid", "done"]


async def test_each_users_runs_have_a_namespace_of_their_own(
    namespace: str, place_url: str
) -> None:
    session = BotWireSession(
        "chat", url=place_url, namespace_of=lambda context: f"{namespace}/{context.user}"
    )
    for turn in range(2):
        for user in ("ada", "bob"):
            model = ScriptedModel("fine")
            context = SimpleNamespace(user=user)
            await Runner.run(
                Agent("helper", model=model), f"I am {user}", session=session, context=context
            )
            assert texts(model.received[0]) == [f"I am {user}", "fine"] * turn + [f"I am {user}"]
    with pytest.raises(ConfigurationError, match="wrapper="):
        await session.get_items()
    (info,) = await list_sessions(f"{namespace}/ada", url=place_url)
    assert info.name == "chat"


@function_tool
def look() -> str:
    """Looks at the weather."""
    return "12 degrees"


async def test_what_a_run_stores_names_its_agent_and_its_trace(
    namespace: str, place_url: str
) -> None:
    items = Memory(namespace, url=place_url).history("s")

    async def written(**connection: Any) -> set[tuple[str | None, str | None]]:
        items.clear()
        agent = Agent("support", model=ScriptedModel(call("look", "c1"), "warm"), tools=[look])
        session = BotWireSession("s", namespace=namespace, url=place_url, **connection)
        with tracing.trace("chat", trace_id="trace_42"):
            await Runner.run(agent, "how warm?", session=session)
        authors = [item.author for item in items.read()]
        assert all(one is not None and one.framework == "openai-agents" for one in authors)
        return {(one.agent, one.run) for one in authors if one}

    # The SDK stores the question before it has chosen an agent.
    assert await written() == {(None, None), ("support", None)}
    tracing.set_trace_processors([])  # they would send the traces
    tracing.set_tracing_disabled(False)
    try:
        assert await written() == {(None, "trace_42"), ("support", "trace_42")}
        assert await written(author=Author("mine", run="7")) == {("mine", "7")}
    finally:
        tracing.set_tracing_disabled(True)


async def test_sessions_are_listed(namespace: str, place_url: str) -> None:
    where: Any = {"namespace": namespace, "url": place_url}
    for name in ("b/2", "a", "b/1"):
        session = BotWireSession(name, **where)
        await session.add_items([USER, ANSWER])
        await session.set_metadata({"owner": "ada" if name == "a" else "bob"})
    assert await session.metadata() == {"owner": "bob"}
    listed = await list_sessions(**where)
    assert [(one.name, one.count) for one in listed] == [("b/1", 2), ("a", 2), ("b/2", 2)]

    async def names(**options: Any) -> list[str]:
        return [one.name for one in await list_sessions(**where, **options)]

    assert await names(prefix="b/") == ["b/1", "b/2"]
    assert await names(order="name", descending=False) == ["a", "b/1", "b/2"]
    assert await names(where={"owner": "ada"}) == ["a"]
    assert await names(after=listed[0], limit=1) == ["a"]


async def test_a_session_expires_after_its_last_write(namespace: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    session = BotWireSession("user-42", namespace=namespace, url=url, ttl=1000)
    agent = Agent("helper", model=ScriptedModel("one", "two"))
    await Runner.run(agent, "hi", session=session)
    (info,) = await list_sessions(namespace, url=url)
    assert info.updated_at is not None
    assert info.expires_at == info.updated_at + timedelta(seconds=1000)
    await session.connection.async_memory.history("user-42").expire(0.001)

    async def is_empty() -> bool:
        return not await session.get_items()

    await until(is_empty)
    await Runner.run(agent, "hi again", session=session)
    assert texts(await session.get_items()) == ["hi again", "two"]
    with pytest.raises(ConfigurationError):
        BotWireSession("user-42", ttl=0)


async def test_an_encrypted_session_is_kept_as_it_is(
    session: BotWireSession, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedModel("fine", "yes")
    for said in ("secret", "more"):
        wrapped = EncryptedSession("user-42", again(session), "k" * 32, ttl=600)
        await Runner.run(Agent("helper", model=model), said, session=wrapped)
    assert texts(model.received[1]) == ["secret", "fine", "more"]
    stored = [item.value for item in session.connection.memory.history("user-42").read()]
    assert len(stored) == 4
    assert "secret" not in json.dumps(stored)
    assert texts(await wrapped.get_items(2)) == ["more", "yes"]
    assert texts([await wrapped.pop_item()]) == ["yes"]
    assert not caplog.records


class Compacting:
    """Stands in for the OpenAI client: a compaction answers with one item, or with none."""

    def __init__(self, meanwhile: Any = None, *, output: bool = True) -> None:
        self.responses = self
        self._meanwhile = meanwhile
        self._output = output

    async def compact(self, **options: Any) -> Any:
        if self._meanwhile is not None:
            await self._meanwhile()
        summary = {"type": "compaction", "id": "cmp_1", "encrypted_content": "all of it"}
        output = [summary] if self._output else []
        return SimpleNamespace(output=output, usage=None, model_dump=lambda **_: {})


async def compact(
    session: BotWireSession, meanwhile: Any = None, *, output: bool = True
) -> list[Any]:
    """Runs an agent once, whose session is compacted at the end; returns what is left."""
    client: Any = Compacting(meanwhile, output=output)
    wrapped = OpenAIResponsesCompactionSession(
        "user-42",
        session,
        client=client,
        compaction_mode="input",
        should_trigger_compaction=lambda _: True,
    )
    model = ScriptedModel("fine")
    await Runner.run(Agent("helper", model=model), "hi", session=wrapped)
    return await session.get_items()


async def test_a_compacted_session_keeps_what_was_superseded(session: BotWireSession) -> None:
    await session.add_items([USER, ANSWER])
    left = await compact(session)
    assert [item["type"] for item in left] == ["compaction"]
    if HAS_SNAPSHOTS:
        history = session.connection.memory.history("user-42")
        assert [item.value.get("text") for item in history.read(archived=True)] == [
            "hi",
            "fine",
            "hi",
            "fine",
            None,
        ]


@pytest.mark.skipif(not HAS_SNAPSHOTS, reason="this release clears the session and writes it anew")
@pytest.mark.parametrize("output", [True, False], ids=["to-an-item", "to-nothing"])
@pytest.mark.parametrize("does", ["adds", "pops", "clears"])
async def test_what_others_do_during_a_compaction_is_not_lost(
    session: BotWireSession, does: str, output: bool
) -> None:
    other = again(session)

    async def meanwhile() -> None:
        if does == "adds":
            await other.add_items([USER])
        elif does == "pops":
            await other.pop_item()
        else:
            await other.clear_session()

    left = {"adds": ["hi", "fine", "hi"], "pops": ["hi"], "clears": []}
    assert texts(await compact(session, meanwhile, output=output)) == left[does]


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4])
async def test_the_end_of_a_session_is_replaced_in_one_step(
    session: BotWireSession, start: int
) -> None:
    foreign = Message("assistant", "look", tool_calls=[ToolCall("c9", "look", {})])
    history = session.connection.memory.history("user-42")
    await session.add_items([USER, ANSWER])
    history.append(foreign.to_item())
    snapshot = await session._get_compaction_snapshot(3)
    assert snapshot is not None
    assert snapshot.complete
    assert [len(snapshot.items), texts(snapshot.items)] == [4, ["hi", "fine", "look", ""]]
    before = await session.get_items()
    # A message of another framework is replaced as a whole, or not at all.
    assert await snapshot.replace_suffix(start, [OUTPUT]) == (start < 3)
    expected = [*before[:start], OUTPUT] if start < 3 else before
    assert await again(session).get_items() == expected
    assert not await snapshot.replace_suffix(start, [OUTPUT])


async def test_what_has_expired_before_the_replaced_end_is_deleted(session: BotWireSession) -> None:
    await session.add_items([CALL, OUTPUT, USER, ANSWER])
    snapshot = await session._get_compaction_snapshot(
        2, prune_prefix=lambda item: item.get("call_id") == "c1"
    )
    assert snapshot is not None
    assert not snapshot.complete
    assert await snapshot.replace_suffix(1, [REASONING])
    assert await session.get_items() == [USER, REASONING]


async def test_all_that_has_expired_is_deleted_up_to_what_has_not(session: BotWireSession) -> None:
    await session.add_items([USER] * 5 + [ANSWER] + [USER] * 2 + [CALL, OUTPUT])
    snapshot = await session._get_compaction_snapshot(2, prune_prefix=lambda item: item == USER)
    assert snapshot is not None
    assert await snapshot.replace_suffix(0, [REASONING])
    assert await session.get_items() == [ANSWER, USER, USER, REASONING]


async def test_a_message_of_another_framework_is_taken_back_in_parts(
    session: BotWireSession,
) -> None:
    foreign = Message(
        "assistant",
        "let me look",
        tool_calls=[ToolCall("c1", "look", {"city": "Oslo"}), ToolCall("c2", "raw", "not JSON")],
    )
    session.connection.memory.history("user-42").append(foreign.to_item())
    items: Any = await session.get_items()
    assert [item.get("arguments") for item in items] == [None, '{"city": "Oslo"}', "not JSON"]
    assert await session.get_items(2) == items[1:]
    for i in (2, 1, 0):
        assert await session.pop_item() == items[i]
        assert await again(session).get_items() == items[:i]


PORTABLE = [
    (USER, ("user", "hi")),
    ({"role": "developer", "content": [{"type": "input_text", "text": "be"}]}, ("system", "be")),
    (ANSWER, ("assistant", "fine")),
    (
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ("assistant", "no"),
    ),
    (CALL, ("assistant", "", "look", {"city": "Oslo"})),
    (OUTPUT, ("tool", "12 degrees")),
    (
        {"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": "ls -l"},
        ("assistant", "", "sh", "ls -l"),
    ),
    (
        {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}},
        ("assistant", "", "shell", {"commands": ["ls"]}),
    ),
    (
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_image"}]},
        ("tool", ""),
    ),
    (REASONING, None),
    ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, None),
    ({"__enc__": 1, "v": 1, "kid": "k", "payload": "…"}, None),
]


@pytest.mark.parametrize(("item", "expected"), PORTABLE)
def test_others_read_what_is_part_of_a_conversation(
    item: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (value,) = to_items([item])
    if expected is None:
        assert "envelope" not in value
        return
    read = Message.from_item(value)
    calls = tuple(part for one in read.tool_calls for part in (one.name, one.arguments))
    assert (read.role, read.text, *calls) == expected


words = st.text(max_size=5)
json_values = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=3,
)
kinds = st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "x_call"])


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "type": kinds | json_values,
                "role": st.sampled_from(["user", "assistant", "developer"]) | json_values,
                "content": json_values,
                "call_id": words | json_values,
                "arguments": words | json_values,
                "output": json_values,
                "id": words | json_values,
            },
        ).filter(bool),  # an empty one is refused
        max_size=2,
    )
)
def test_whatever_an_item_is_it_comes_back(items: list[Any]) -> None:
    stored = stored_items(to_items(items))
    assert [item for _, group in from_items(stored) for item in group] == items


async def test_what_cannot_be_read_back_is_refused_with_its_place(session: BotWireSession) -> None:
    for wrong in ("hi", {}, {"role": "user", "content": [object()]}):
        with pytest.raises(NotJSONError, match=r"items\[1\]"):
            await session.add_items([USER, wrong])  # type: ignore[list-item]
    assert await session.get_items() == []


def test_wrong_arguments_are_refused_before_anything_is_opened(namespace: str) -> None:
    for wrong in (
        {"session_id": ""},
        {"namespace": "a", "namespace_of": str},
        {"session_settings": {"limitt": 1}},
        {"session_settings": {"limit": "x"}},
        {"session_settings": 5},
        {"client": object()},
    ):
        with pytest.raises(ConfigurationError):
            BotWireSession(**{"session_id": "s", **wrong})  # type: ignore[arg-type]


def test_secrets_are_not_shown(namespace: str) -> None:
    session = BotWireSession("s", namespace=namespace, url="http://x.test", api_key="bw_secret")
    assert "bw_secret" not in repr(session)


async def test_others_skip_what_is_the_sdks_alone(
    session: BotWireSession, caplog: pytest.LogCaptureFixture
) -> None:
    await session.add_items([REASONING, USER])
    items = session.connection.memory.history("user-42").read()
    with caplog.at_level(logging.WARNING):
        read = read_items(
            items, framework="other", formats=(1,), from_native=str, from_portable=lambda m: m.text
        )
    assert [text for _, text in read] == ["hi"]
    assert not caplog.records


async def test_copies_and_pickles_are_the_same_session(session: BotWireSession) -> None:
    for one in (session, copy.deepcopy(session), pickle.loads(pickle.dumps(session))):
        result = await Runner.run(Agent("helper", model=ScriptedModel("fine")), "hi", session=one)
        assert result.final_output
        assert repr(one) == repr(session)
    assert len(await session.get_items()) == 6


async def test_wrong_arguments_say_what_to_give(session: BotWireSession) -> None:
    for wrong in ("hi", USER, 5, None):
        with pytest.raises(ConfigurationError, match="items must be a list"):
            await session.add_items(wrong)
    with pytest.raises(ConfigurationError, match="limit must be an int, not str"):
        await session.get_items("3")  # type: ignore[arg-type]
    for method in (session.get_items, session.clear_session, session.pop_item):
        with pytest.raises(ConfigurationError, match="wrapper must be a RunContextWrapper"):
            await method(wrapper=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="for one namespace use namespace="):
        BotWireSession("user-42", namespace_of="my-app")  # type: ignore[arg-type]
    assert await session.get_items() == []
