"""A conversation outlives its process, and views read no more than they show."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall, Image
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.model_context import (
    BufferedChatCompletionContext,
    ChatCompletionContext,
    HeadAndTailChatCompletionContext,
    UnboundedChatCompletionContext,
)
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    RequestUsage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient
from hypothesis import given
from hypothesis import strategies as st

from botwire import AsyncMemory, ConfigurationError, ConflictError, Memory
from botwire.messages import Message
from botwire_autogen import BotWireChatCompletionContext, BotWireMemory
from botwire_autogen.llm_messages import from_items, to_item
from tests.holding import longest_hold
from tests.items import stored_items
from tests.zygote import Zygote


class Counter(ReplayChatCompletionClient):
    """A model client that counts every message as one token."""

    def count_tokens(self, messages: Sequence[LLMMessage], **kwargs: Any) -> int:
        return len(messages)


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)


def user(text: str) -> UserMessage:
    return UserMessage(content=text, source="user")


def call(number: int) -> AssistantMessage:
    content = [FunctionCall(id=f"c{number}", name="look", arguments='{"at": 1}')]
    return AssistantMessage(content=content, thought="let me see", source="a")


def answer(number: int) -> FunctionExecutionResultMessage:
    result = FunctionExecutionResult(content="12", name="look", call_id=f"c{number}")
    return FunctionExecutionResultMessage(content=[result])


CONVERSATION: list[LLMMessage] = [
    SystemMessage(content="Be brief. \ud800"),
    user("How warm is it?"),
    call(1),
    answer(1),
    AssistantMessage(content="12 degrees", source="a"),
    user("And now?"),
    call(2),
    answer(2),
    AssistantMessage(content="13 degrees", thought="warmer", source="a"),
]


words = st.text(max_size=9) | st.sampled_from(["\ud800", '{"$bytes":"AA=="}'])
IMAGE = Image(PIL.Image.new("RGB", (1, 1)))
results = st.builds(
    FunctionExecutionResult,
    content=words, name=words, call_id=words, is_error=st.none() | st.booleans(),
)  # fmt: skip
llm_messages = st.one_of(
    st.builds(SystemMessage, content=words),
    st.builds(UserMessage, content=words | st.lists(words | st.just(IMAGE)), source=words),
    st.builds(
        AssistantMessage,
        content=words | st.lists(st.builds(FunctionCall, id=words, name=words, arguments=words)),
        thought=st.none() | words,
        source=words,
    ),
    st.builds(FunctionExecutionResultMessage, content=st.lists(results)),
)


@given(llm_messages, st.booleans())
def test_whatever_a_message_holds_comes_back(message: LLMMessage, decoded: bool) -> None:
    (found,) = from_items(stored_items([to_item(message)], decoded=decoded))
    assert found.model_dump() == message.model_dump()


async def fill(context: ChatCompletionContext) -> None:
    for message in CONVERSATION:
        await context.add_message(message)


async def test_what_is_stored_names_its_agent_and_its_team(place_url: str, namespace: str) -> None:
    contexts = {
        name: BotWireChatCompletionContext(namespace, url=place_url, name=name)
        for name in ("writer", "critic", "alone")
    }
    agents = {
        name: AssistantAgent(name, ReplayChatCompletionClient(["fine"]), model_context=context)
        for name, context in contexts.items()
    }
    await agents["alone"].run(task="hi")
    team = RoundRobinGroupChat([agents["writer"], agents["critic"]], max_turns=2)
    await team.run(task="hi")
    with Memory(namespace, url=place_url) as memory:
        authors = {name: [item.author for item in memory.history(name).read()] for name in agents}
    told = {name: [(one.agent, one.run) for one in authors[name] if one] for name in authors}
    # An agent by itself has no runtime, so only its answers name it.
    assert told["alone"] == [(None, None), ("alone", None)]
    (team_id,) = {run for name in ("writer", "critic") for _, run in told[name]}
    assert team_id
    assert told["writer"] == [("writer", team_id)] * 2
    assert told["critic"] == [("critic", team_id)] * 3


@pytest.mark.anyio
async def test_every_message_comes_back_from_another_object(place_url: str, namespace: str) -> None:
    await fill(BotWireChatCompletionContext(namespace, url=place_url))
    found = await BotWireChatCompletionContext(namespace, url=place_url).get_messages()
    assert found == CONVERSATION


@pytest.mark.anyio
async def test_an_image_between_texts_comes_back(place_url: str, namespace: str) -> None:
    context = BotWireChatCompletionContext(namespace, url=place_url)
    image = Image.from_base64(PIXEL)
    await context.add_message(UserMessage(content=["look:", image, "nice"], source="user"))
    (found,) = await context.get_messages()
    assert isinstance(found, UserMessage)
    first, second, third = found.content
    assert (first, third) == ("look:", "nice")
    assert isinstance(second, Image)
    assert second.to_base64() == image.to_base64()


@pytest.mark.anyio
@pytest.mark.parametrize("size", range(1, 11))
async def test_the_views_are_those_of_autogen(place_url: str, namespace: str, size: int) -> None:
    stock = BufferedChatCompletionContext(size)
    ours = BotWireChatCompletionContext(namespace, url=place_url, buffer_size=size)
    await fill(stock)
    await fill(ours)
    assert await ours.get_messages() == await stock.get_messages()
    for head in range(1, 6):
        both = HeadAndTailChatCompletionContext(head, size)
        await fill(both)
        view = BotWireChatCompletionContext(
            namespace, url=place_url, head_size=head, buffer_size=size
        )
        assert await view.get_messages() == await both.get_messages()


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [1, 3, 5, 8, 12, 1000])
async def test_a_limit_of_tokens_keeps_the_newest(
    place_url: str, namespace: str, limit: int
) -> None:
    counter = ReplayChatCompletionClient(["unused"])
    context = BotWireChatCompletionContext(
        namespace, url=place_url, token_limit=limit, model_client=counter
    )
    await fill(context)
    found = await context.get_messages()
    assert found == CONVERSATION[len(CONVERSATION) - len(found) :]
    assert not found or not isinstance(found[0], FunctionExecutionResultMessage)
    assert counter.count_tokens(found) <= limit
    if limit == 1000:
        assert found == CONVERSATION


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("view", "requests", "rows"),
    [
        # One of the requests reads the last number, which records what a model has seen.
        ({"buffer_size": 5}, 2, 5),
        ({"head_size": 3, "buffer_size": 5}, 4, 8),
        ({"token_limit": 20}, 2, 200),  # a page, from which the counter takes what fits
    ],
    ids=str,
)
async def test_a_view_of_a_long_conversation_reads_what_it_shows(
    tmp_path: Path, namespace: str, view: dict[str, Any], requests: int, rows: int
) -> None:
    memory = AsyncMemory(namespace, url=f"sqlite:///{tmp_path / 'memory.db'}")
    counted = Counted(memory.engine)
    client = AsyncMemory(namespace, engine=counted)
    if "token_limit" in view:
        view = {**view, "model_client": ReplayChatCompletionClient(["unused"])}
    context = BotWireChatCompletionContext(namespace, client=client, **view)
    await client.history("context").extend(to_item(user(f"m{i}")) for i in range(1000))
    counted.requests = counted.rows = 0
    shown = await context.get_messages()
    assert shown[-1] == user("m999")
    assert (counted.requests, counted.rows) == (requests, rows)
    counted.requests = counted.rows = 0
    state = await context.save_state()
    assert (counted.requests, counted.rows) == (2, 0)
    assert "m999" not in json.dumps(state)
    await memory.aclose()


class Counted:
    """An engine that counts requests and returned items."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.requests, self.rows = engine, 0, 0

    async def apply(self, batch: Any) -> Any:
        answers = await self.engine.apply(batch)
        self.requests += 1
        self.rows += sum(len(getattr(answer, "items", ())) for answer in answers)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


@pytest.mark.anyio
async def test_initial_messages_are_stored_once(place_url: str, namespace: str) -> None:
    for said in ("one", "two"):
        context = BotWireChatCompletionContext(
            namespace, url=place_url, initial_messages=[user("first")]
        )
        await context.add_message(user(said))
    assert [m.content for m in await context.get_messages()] == ["first", "one", "two"]
    await context.clear()
    assert await context.get_messages() == []


@pytest.mark.anyio
async def test_a_state_is_a_reference_that_can_be_gone_back_to(
    place_url: str, namespace: str
) -> None:
    context = BotWireChatCompletionContext(namespace, url=place_url)
    await fill(context)
    state = json.loads(json.dumps(await context.save_state()))
    assert len(json.dumps(state)) < 200
    await context.add_message(user("half a turn, lost with its process"))
    again = BotWireChatCompletionContext(namespace, url=place_url)
    await again.load_state(state)
    assert await again.get_messages() == CONVERSATION
    with pytest.raises(ConflictError):
        await context.add_message(user("from the one that was replaced"))
    await again.add_message(user("goes on"))
    assert await again.get_messages() == [*CONVERSATION, user("goes on")]


@pytest.mark.anyio
async def test_a_state_of_autogens_own_context_moves_in(place_url: str, namespace: str) -> None:
    stock = UnboundedChatCompletionContext()
    await fill(stock)
    context = BotWireChatCompletionContext(namespace, url=place_url)
    await context.add_message(user("was here before"))
    await context.load_state(await stock.save_state())
    await context.add_message(user("more"))
    assert await context.get_messages() == [*CONVERSATION, user("more")]


@pytest.mark.anyio
async def test_any_state_can_be_gone_back_to_an_older_or_a_newer_one(
    place_url: str, namespace: str
) -> None:
    context = BotWireChatCompletionContext(namespace, url=place_url)
    states = []
    for message in CONVERSATION:
        await context.add_message(message)
        states.append(json.loads(json.dumps(await context.save_state())))
    await context.clear()
    states.append(await context.save_state())
    assert await context.get_messages() == []
    for count in (4, 9, 0, 6, 6, 0, 9, 1):
        state = states[count - 1]
        await context.load_state(state)
        assert await context.get_messages() == CONVERSATION[:count]
        assert await context.save_state() == state
        again = BotWireChatCompletionContext(namespace, url=place_url)
        assert await again.save_state() == state
        await again.load_state(state)
        assert await again.save_state() == state
        context = again
    await context.add_message(user("another way"))
    assert await context.get_messages() == [*CONVERSATION[:1], user("another way")]
    assert await context.save_state() not in states
    history = AsyncMemory(namespace, url=place_url).history("context")
    archived = from_items(await history.read(archived=True))
    assert all(message in archived for message in CONVERSATION)


@pytest.mark.anyio
async def test_a_state_goes_to_another_context_of_the_namespace(
    place_url: str, namespace: str
) -> None:
    ada = BotWireChatCompletionContext(namespace, url=place_url, name="ada")
    await fill(ada)
    state = await ada.save_state()
    bob = BotWireChatCompletionContext(namespace, url=place_url, name="bob")
    await bob.add_message(user("hello"))
    await bob.load_state(state)
    assert await bob.get_messages() == CONVERSATION
    assert await bob.save_state() == state
    await ada.add_message(user("only ada"))
    assert await bob.get_messages() == CONVERSATION


@pytest.mark.anyio
async def test_a_state_that_cannot_be_loaded_says_why(place_url: str, namespace: str) -> None:
    ada = BotWireChatCompletionContext(namespace, url=place_url, name="ada")
    await fill(ada)
    state = await ada.save_state()
    stranger = BotWireChatCompletionContext(f"{namespace}-2", url=place_url, name="ada")
    with pytest.raises(ConfigurationError, match="namespace"):
        await stranger.load_state(state)
    with pytest.raises(ConfigurationError, match="saved state"):
        await ada.load_state({"botwire_context": {"namespace": namespace, "name": "ada"}})
    wrong: Any
    for wrong, says in (
        ({}, "neither 'botwire_context' nor 'messages'"),
        (5, "state must be a dict, not int: 5"),
        ({"messages": 5}, r"state\['messages'\]"),
        ({"messages": [{"type": "odd"}]}, r"state\['messages'\]"),
        ({"botwire_context": 5}, "not a saved state"),
        ({"botwire_context": {**state["botwire_context"], "count": "x"}}, "count of the saved"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            await ada.load_state(wrong)
    with pytest.raises(ConfigurationError, match="message must be a message of autogen_core"):
        await ada.add_message("hi")  # type: ignore[arg-type]
    assert await ada.get_messages() == CONVERSATION
    await AsyncMemory(namespace, url=place_url).history("ada").delete(2)
    await ada.add_message(user("more"))
    with pytest.raises(ConfigurationError, match="deleted since"):
        await ada.load_state(state)


@pytest.mark.anyio
async def test_a_component_comes_back_without_a_key(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOGEN_ALLOWED_PROVIDER_NAMESPACES", "botwire_autogen")
    context = BotWireChatCompletionContext(
        namespace,
        url=server_url,
        api_key="bw_secret",
        name="talk",
        token_limit=100,
        model_client=ReplayChatCompletionClient(["unused"]),
        initial_messages=[user("first")],
    )
    dumped = context.dump_component().model_dump_json()
    assert "bw_secret" not in dumped + repr(context)
    again = ChatCompletionContext.load_component(json.loads(dumped))
    assert isinstance(again, BotWireChatCompletionContext)
    assert again.dump_component() == context.dump_component()
    assert await again.get_messages() == [user("first")]
    await context.add_message(user("second"))
    assert await again.get_messages() == [user("first"), user("second")]  # it is the name's


@pytest.mark.parametrize(
    "arguments",
    [
        {"buffer_size": 0},
        {"head_size": 2},
        {"token_limit": 5},
        {"token_limit": 5, "buffer_size": 5},
        {"name": ""},
        {"name": 5},
        {"initial_messages": 5},
        {"initial_messages": ["hi"]},
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BotWireChatCompletionContext("n", **arguments)


@pytest.mark.anyio
async def test_what_another_framework_wrote_is_read_and_what_nobody_can_read_left_out(
    place_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    history = Memory(namespace, url=place_url).history("context")
    history.extend([Message("user", "hi", name="Ada").to_item(), {"odd": 1}])
    context = BotWireChatCompletionContext(namespace, url=place_url)
    assert await context.get_messages() == [UserMessage(content="hi", source="Ada")]
    assert "skipped item 2" in caplog.text


AGENT = """
import asyncio, os, signal, sys
from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.replay import ReplayChatCompletionClient
from botwire_autogen import BotWireChatCompletionContext, BotWireMemory
from botwire_autogen.llm_messages import from_items, to_item
from tests.holding import longest_hold

async def main():
    url, namespace = sys.argv[1:]
    agent = AssistantAgent(
        "a",
        ReplayChatCompletionClient(["one", "two", "three"]),
        model_context=BotWireChatCompletionContext(namespace, url=url),
    )
    for task in ("x", "y", "z"):
        await agent.run(task=task)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.anyio
async def test_an_agent_goes_on_after_its_process_was_killed(
    zygote: Zygote, place_url: str, namespace: str
) -> None:
    assert zygote.run(AGENT, place_url, namespace) == -signal.SIGKILL
    context = BotWireChatCompletionContext(namespace, url=place_url, buffer_size=4)
    agent = AssistantAgent("a", ReplayChatCompletionClient(["four"]), model_context=context)
    await agent.run(task="w")
    shown = [message.content for message in await context.get_messages()]
    assert shown == ["z", "three", "w", "four"]
    assert await context.connection.async_memory.history("context").count() == 8


KILLED_IN_A_TOOL = """
import asyncio, os, signal, sys
from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient
from botwire_autogen import BotWireChatCompletionContext, BotWireMemory

url, namespace = sys.argv[1:]
info = dict(vision=False, function_calling=True, json_output=True, family="unknown",
            structured_output=True)

def look(city: str) -> str:
    "Looks."
    os.kill(os.getpid(), signal.SIGKILL)

call = CreateResult(
    finish_reason="function_calls",
    content=[FunctionCall(id="c1", name="look", arguments='{"city": "Oslo"}')],
    usage=RequestUsage(prompt_tokens=1, completion_tokens=1), cached=False,
)
agent = AssistantAgent(
    "a", ReplayChatCompletionClient([call], model_info=info), tools=[look],
    model_context=BotWireChatCompletionContext(namespace, url=url),
)
asyncio.run(agent.run(task="how warm?"))
"""


@pytest.mark.anyio
@pytest.mark.parametrize("view", [{}, {"buffer_size": 2}, {"head_size": 2, "buffer_size": 1}])
async def test_a_model_is_told_of_the_tool_in_which_its_process_was_killed(
    zygote: Zygote, place_url: str, namespace: str, view: dict[str, Any]
) -> None:
    assert zygote.run(KILLED_IN_A_TOOL, place_url, namespace) == -signal.SIGKILL
    model = ReplayChatCompletionClient(["hello"])
    context = BotWireChatCompletionContext(namespace, url=place_url, **view)
    await AssistantAgent("a", model, model_context=context).run(task="are you there?")
    shown = model.create_calls[0]["messages"]
    calls = [m for m in shown if isinstance(m, AssistantMessage)]
    answers = [m for m in shown if isinstance(m, FunctionExecutionResultMessage)]
    assert len(answers) == len(calls) == 1
    for message in answers:
        assert message.content[0].call_id == "c1"
        assert message.content[0].is_error
        assert "not completed" in message.content[0].content
    stored = await AsyncMemory(namespace, url=place_url).history("context").count()
    assert stored == 4  # the stored messages say exactly what happened


MODEL_INFO: Any = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "family": "unknown",
    "structured_output": True,
}


def scripted(number: int, started: asyncio.Event, go_on: asyncio.Event) -> Any:
    """An agent whose tool waits for permission to answer."""

    async def look() -> str:
        started.set()
        await go_on.wait()
        return f"found {number}"

    calls = CreateResult(
        finish_reason="function_calls",
        content=[FunctionCall(id=f"c{number}", name="look", arguments="{}")],
        usage=RequestUsage(prompt_tokens=1, completion_tokens=1),
        cached=False,
    )
    model = ReplayChatCompletionClient([calls, f"done {number}"], model_info=MODEL_INFO)
    return model, [FunctionTool(look, "Looks.", name="look")]


@pytest.mark.anyio
@pytest.mark.parametrize("shared", [False, True], ids=["two objects", "one object"])
async def test_of_two_requests_at_once_one_is_refused_and_nothing_lost(
    place_url: str, namespace: str, shared: bool
) -> None:
    context = BotWireChatCompletionContext(namespace, url=place_url)
    events = [(asyncio.Event(), asyncio.Event()) for _ in range(2)]
    runs = []
    for number, (started, go_on) in enumerate(events):
        model, tools = scripted(number, started, go_on)
        mine = context if shared else BotWireChatCompletionContext(namespace, url=place_url)
        agent = AssistantAgent("helper", model, tools=tools, model_context=mine)
        runs.append(asyncio.create_task(agent.run(task=f"task {number}")))
        await started.wait()  # each is inside its tool before the next begins
    for _, go_on in events:
        go_on.set()
    first, second = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(first, ConflictError)
    assert not isinstance(second, BaseException)
    messages = await context.get_messages()
    calls = [m for m in messages if isinstance(m, AssistantMessage)]
    results = [m for m in messages if isinstance(m, FunctionExecutionResultMessage)]
    assert [m.content for m in messages if isinstance(m, UserMessage)] == ["task 0", "task 1"]
    assert [m.content[0].content for m in results] == ["found 0", "found 1"]
    for message in calls:
        if not isinstance(message.content, str):
            assert messages[messages.index(message) + 1] in results


@pytest.mark.anyio
async def test_an_agent_in_a_tool_shares_the_context(place_url: str, namespace: str) -> None:
    def agent(replies: list[Any], **options: Any) -> AssistantAgent:
        context = BotWireChatCompletionContext(namespace, name="talk", url=place_url)
        model = ReplayChatCompletionClient(replies, model_info=MODEL_INFO)
        return AssistantAgent("a", model, model_context=context, **options)

    async def ask() -> str:
        """Asks another agent."""
        await agent(["inner"]).run(task="and?")
        return "asked"

    calls = CreateResult(
        finish_reason="function_calls",
        content=[FunctionCall(id="c1", name="ask", arguments="{}")],
        usage=RequestUsage(prompt_tokens=0, completion_tokens=0),
        cached=False,
    )
    await agent([calls, "done"], tools=[ask], reflect_on_tool_use=True).run(task="hi")
    reader = pickle.loads(pickle.dumps(agent([]).model_context))
    said = [str(message.content) for message in await reader.get_messages()]
    assert [text for text in said if "c1" not in text] == ["hi", "and?", "inner", "done"]


@pytest.mark.anyio
async def test_a_run_that_is_alone_is_never_refused(place_url: str, namespace: str) -> None:
    def agent(replies: list[Any], **options: Any) -> AssistantAgent:
        context = BotWireChatCompletionContext(namespace, url=place_url)
        return AssistantAgent(
            "a", ReplayChatCompletionClient(replies), model_context=context, **options
        )

    kept = agent([], system_message="no reply is left: the model fails")
    with pytest.raises(ValueError, match="No more mock responses"):
        await kept.run(task="one")
    other = agent(["two", "three", "four"])
    await other.run(task="two")
    kept._model_client = ReplayChatCompletionClient(["after", "and", "again"])
    await kept.run()  # it continues from what the other one wrote
    await other.run(task="three")
    await kept.run(task="four")
    started, never = asyncio.Event(), asyncio.Event()
    model, tools = scripted(1, started, never)
    context = BotWireChatCompletionContext(namespace, url=place_url)
    cancelled = AssistantAgent("a", model, tools=tools, model_context=context)
    run = asyncio.create_task(cancelled.run(task="five"))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await kept.run(task="six")
    await cancelled.run(task="seven")
    said = [m.content for m in await context.get_messages() if isinstance(m, UserMessage)]
    assert said == ["one", "two", "three", "four", "five", "six", "seven"]


@pytest.mark.anyio
@pytest.mark.parametrize("view", [{}, {"buffer_size": 3}, {"head_size": 1, "buffer_size": 1}])
async def test_a_run_without_a_task_goes_on_from_a_conversation_whose_end_was_deleted(
    place_url: str, namespace: str, view: dict[str, int]
) -> None:
    context = BotWireChatCompletionContext(namespace, url=place_url, name="ada", **view)
    agent = AssistantAgent(
        "a", ReplayChatCompletionClient(["one", "a slip", "two", "three"]), model_context=context
    )
    await agent.run(task="first")
    await agent.run(task="second")
    history = context.connection.async_memory.history("ada")
    for _ in range(2):
        await history.pop()
        await agent.run()
    assert [item.value["text"] for item in await history.read()] == [
        *("first", "one", "second", "three")
    ]


@pytest.mark.anyio
async def test_two_agents_do_not_share_a_context_without_a_name(
    place_url: str, namespace: str
) -> None:
    def team(**options: str) -> RoundRobinGroupChat:
        agents = [
            AssistantAgent(
                name,
                ReplayChatCompletionClient(["x", "y"]),
                model_context=BotWireChatCompletionContext(namespace, url=place_url, **options),
            )
            for name in "ab"
        ]
        return RoundRobinGroupChat([*agents], max_turns=2)

    with pytest.raises(RuntimeError, match=r"'a' and 'b'.*name="):
        await team().run(task="go")
    assert len((await team(name="shared").run(task="go")).messages) == 3


VIEWS: list[dict[str, Any]] = [
    {"buffer_size": 3},
    {"head_size": 1, "buffer_size": 2},
    {"token_limit": 9, "model_client": Counter(["unused"])},
]


@pytest.mark.anyio
async def test_images_hold_no_other_task(tmp_path: Path, namespace: str) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    picture = PIL.Image.frombytes("RGB", (900, 950), os.urandom(900 * 950 * 3))  # 2.5 MB as PNG
    message = UserMessage(content=["look:", Image(picture)], source="user")
    held: dict[str, float] = {}
    context = BotWireChatCompletionContext(namespace, url=url, initial_messages=[message])
    _, held["initial"] = await longest_hold(context.get_messages())
    state, held["save"] = await longest_hold(context.save_state())
    _, held["add"] = await longest_hold(context.add_message(message))
    for view in VIEWS:
        shown = BotWireChatCompletionContext(namespace, url=url, **view)
        found, held[str(view)] = await longest_hold(shown.get_messages())
        assert len(found) == 2
    stock = UnboundedChatCompletionContext([message])
    for one in (await stock.save_state(), state):
        _, hold = await longest_hold(context.load_state(one))
        held["load"] = max(hold, held.get("load", 0))
    memory = BotWireMemory(namespace, url=url, recall_timeout=20)
    image = MemoryContent(content=Image(picture), mime_type=MemoryMimeType.IMAGE)
    _, held["memory add"] = await longest_hold(memory.add(image))
    _, held["memory query"] = await longest_hold(memory.query())
    assert max(held.values()) < 0.05, held
