"""A conversation continues in the next process and in other frameworks, complete and once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentExecutor,
    AgentSession,
    Content,
    InMemoryHistoryProvider,
    Message,
    WorkflowBuilder,
    WorkflowCheckpoint,
    _sessions,
    tool,
)
from hypothesis import given
from hypothesis import strategies as st

from botwire import AsyncMemory, ConfigurationError, Memory, TransportError
from botwire.messages import Message as Envelope
from botwire.messages import ToolCall
from botwire_agent_framework import BotWireCheckpointStorage, BotWireHistoryProvider
from botwire_agent_framework.convert import from_items, item_id, to_item
from tests.clients import later
from tests.holding import longest_hold
from tests.items import stored_items
from tests.scripted_agent import ScriptedClient, call
from tests.zygote import Zygote

ROOT = Path(__file__).resolve().parents[3]
Texts = list[tuple[str, str]]


def texts(messages: Sequence[Message]) -> Texts:
    return [(message.role, message.text) for message in messages]


@tool(approval_mode="never_require")
def look(city: str) -> str:
    """Looks at the weather."""
    return f"12 degrees in {city}"


async def test_a_conversation_goes_on_with_another_agent(place_url: str, namespace: str) -> None:
    for said, expected in (
        ("I am Ada", [("user", "I am Ada")]),
        ("hi", [("user", "I am Ada"), ("assistant", "noted"), ("user", "hi")]),
    ):
        client = ScriptedClient("noted", "you are new")
        provider = BotWireHistoryProvider(namespace, url=place_url)
        agent = Agent(client=client, context_providers=[provider])
        await agent.run(said, session=AgentSession(session_id="s1"))
        assert texts(client.received[0]) == expected
    await agent.run("who am I?", session=AgentSession(session_id="s2"))
    assert texts(client.received[-1]) == [("user", "who am I?")]
    assert sorted(await provider.list_sessions()) == ["s1", "s2"]
    await provider.clear("s1")
    assert await provider.get_messages("s1") == []


EXPIRING = """
import asyncio, sys
from agent_framework import Agent, AgentSession
from botwire_agent_framework import BotWireHistoryProvider
from tests.scripted_agent import ScriptedClient
url, namespace = sys.argv[1:]
provider = BotWireHistoryProvider(namespace, url=url, ttl=60)
agent = Agent(client=ScriptedClient("noted"), context_providers=[provider])
asyncio.run(agent.run("I am Ada", session=AgentSession(session_id="s")))
"""


async def test_a_conversation_expires_a_while_after_its_last_message(
    zygote: Zygote, tmp_path: Path, namespace: str
) -> None:
    path = tmp_path / "memory.db"

    async def run(client: Memory, said: str, ttl: float | None = 60) -> Texts:
        model = ScriptedClient("noted")
        provider = BotWireHistoryProvider(client=client, ttl=ttl)
        agent = Agent(client=model, context_providers=[provider])
        await agent.run(said, session=AgentSession(session_id="s"))
        return texts(model.received[0])

    with zygote.start(EXPIRING, f"sqlite:///{path}", namespace) as process:
        assert process.wait() == 0, process.stderr
    with later(path, namespace, 50) as client:  # the run renews the expiry
        assert (await run(client, "hi"))[0] == ("user", "I am Ada")
    with later(path, namespace, 100) as client:
        assert len(await BotWireHistoryProvider(client=client).get_messages("s")) == 4
    with later(path, namespace, 120) as client:
        assert await BotWireHistoryProvider(client=client).list_sessions() == []
        assert await run(client, "who am I?", None) == [("user", "who am I?")]
    with later(path, namespace, 1_000_000) as client:
        assert await BotWireHistoryProvider(client=client).list_sessions() == ["s"]
        client.history("titled").set_metadata({"title": "Untitled"})
        assert await BotWireHistoryProvider(client=client).list_sessions() == ["s"]
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireHistoryProvider(namespace, ttl=0)


async def test_a_stream_and_a_tool_are_stored_as_agent_framework_does(
    place_url: str, namespace: str
) -> None:
    answers = [call("look", city="Oslo"), "12 degrees", "bye"]
    stock, ours = InMemoryHistoryProvider(), BotWireHistoryProvider(namespace, url=place_url)
    shown = []
    for provider in (stock, ours):
        client = ScriptedClient(*answers)
        agent = Agent(client=client, context_providers=[provider], tools=[look])
        session = AgentSession(session_id="s")
        async for _ in agent.run("how warm?", session=session, stream=True):
            pass
        await agent.run("thanks", session=session)
        shown.append([[_plain(message) for message in one] for one in client.received])
    assert shown[1] == shown[0]
    assert len(shown[1]) == 3


def _plain(message: Message) -> Any:
    """Returns a message as a service gets it: without attribution and generated ids."""
    contents = [{**content.to_dict(), "id": None} for content in message.contents]
    return message.role, message.author_name, contents


MESSAGES = [
    Message("system", ["Be brief. \ud800"]),
    Message("user", ["look:", Content.from_uri("https://x.y/a.png", media_type="image/png")]),
    Message("user", [Content.from_data(b"\x00\xff", media_type="image/png")], author_name="Ada"),
    Message(
        "assistant",
        [
            Content.from_text_reasoning(text="hm"),
            Content.from_function_call("c1", "look", arguments={"city": "Oslo"}),
            Content.from_function_call("c2", "look", arguments='{"city": "Rome"}'),
        ],
        message_id="m1",
        additional_properties={"deep": {"a": [1, None]}, "n": 10**30},
    ),
    Message("tool", [Content.from_function_result("c1", result="12")]),
    Message("tool", [Content.from_function_result("c2", exception="no such city")]),
    Message("developer", ["odd role"]),
]


async def test_every_message_comes_back_from_another_object(place_url: str, namespace: str) -> None:
    await BotWireHistoryProvider(namespace, url=place_url).save_messages("s", MESSAGES)
    found = await BotWireHistoryProvider(namespace, url=place_url).get_messages("s")
    assert [message.to_dict() for message in found] == [m.to_dict() for m in MESSAGES]


words = st.text(max_size=20)
parts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=6,
)


@given(st.sampled_from(["user", "assistant", "system", "tool"]), st.lists(words), parts)
def test_whatever_is_said_comes_back(role: str, said: list[str], extra: Any) -> None:
    message = Message(role, said, additional_properties={"x": extra})
    item = json.loads(json.dumps(to_item(message)))
    (found,) = from_items(stored_items([item]))
    assert found.to_dict() == message.to_dict()


async def test_what_was_stored_under_an_id_is_not_stored_again(
    place_url: str, namespace: str
) -> None:
    provider = BotWireHistoryProvider(namespace, url=place_url)
    first = Message("user", ["hi"], message_id="m1")
    await provider.save_messages("s", [first, Message("assistant", ["hello"], message_id="m2")])
    # A client that sends the whole transcript again, as AG-UI does.
    more = Message("user", ["more"], message_id="m3")
    await provider.save_messages("s", [first, more, more])
    assert texts(await provider.get_messages("s")) == [
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "more"),
    ]
    # With other content it is another message, even under the same id.
    await provider.save_messages("s", [Message("assistant", ["other"], message_id="m2")])
    assert len(await provider.get_messages("s")) == 4
    assert item_id(Message("user", ["x"]), {}) is None


@pytest.mark.parametrize("each_call", [False, True])
async def test_an_agent_that_is_a_tool_shares_the_session(
    place_url: str, namespace: str, *, each_call: bool
) -> None:
    found = []
    for ours in (False, True):
        session = AgentSession(session_id="s")

        def agent(*says: Any, ours: bool = ours, **options: Any) -> Agent:
            history = BotWireHistoryProvider(namespace, url=place_url) if ours else None
            return Agent(
                client=ScriptedClient(*says),
                context_providers=[history or InMemoryHistoryProvider("h")],
                require_per_service_call_history_persistence=each_call,
                **options,
            )

        inner = agent("inner", name="helper")
        tools = [inner.as_tool(propagate_session=True)]
        outer = agent(call("helper", task="what?"), "done", "yes", tools=tools)
        await outer.run("hi", session=session)
        await outer.run("again", session=session)
        stored = session.state.get("h", {}).get("messages", [])
        if ours:
            stored = await BotWireHistoryProvider(namespace, url=place_url).get_messages("s")
        found.append(texts(stored))
    assert found[0] == found[1]
    assert found[1][-3:] == [("assistant", "done"), ("user", "again"), ("assistant", "yes")]


@tool(approval_mode="always_require")
def spend(amount: int) -> str:
    """Spends."""
    return f"spent {amount}"


def pairs(messages: Sequence[Message]) -> list[tuple[str, list[str]]]:
    """Returns the calls and the answers that a model is shown, in order."""
    shown = []
    for message in messages:
        for kind in ("function_call", "function_result"):
            ids = [c.call_id or "" for c in message.contents if c.type == kind]
            if ids:
                shown.append((kind, ids))
    return shown


@pytest.mark.parametrize("each_call", [False, True])
@pytest.mark.parametrize("limit", [None, 2])
async def test_a_person_approves_one_of_several_calls_after_others_were_talked_about(
    place_url: str, namespace: str, limit: int | None, *, each_call: bool
) -> None:
    both = [call("spend", amount=1), call("look", city="Oslo")]
    again = [Content.from_function_call("c2", "spend", arguments={"amount": 2})]

    def open_it(*says: Any) -> Agent:
        return Agent(
            client=ScriptedClient(*says),
            context_providers=[
                BotWireHistoryProvider(namespace, url=place_url, max_messages=limit)
            ],
            tools=[spend, look],
            require_per_service_call_history_persistence=each_call,
        )

    session = AgentSession(session_id="s")
    await open_it(again).run("never mind", session=session)  # never approved, nor rejected
    asked = await open_it(both).run("spend", session=session)
    kept = AgentSession.from_dict(json.loads(json.dumps(session.to_dict())))
    await open_it("fine").run("something else", session=AgentSession(session_id="s"))
    approved = [one.to_function_approval_response(True) for one in asked.user_input_requests]
    agent = open_it("done")
    await agent.run(Message("user", approved), session=kept)
    shown = pairs(agent.client.received[-1])
    ids = ["call-spend", "call-look"]
    assert shown[-2:] == [("function_call", ids), ("function_result", ids)]
    assert [one for _, one in shown[::2]] == [one for _, one in shown[1::2]]
    later = open_it("yes")
    await later.run("and?", session=AgentSession(session_id="s"))
    shown = pairs(later.client.received[-1])
    assert [one for _, one in shown[::2]] == [one for _, one in shown[1::2]]


@pytest.mark.skipif(
    not hasattr(_sessions, "_current_run_identity"), reason="no run has an identity"
)
@pytest.mark.parametrize("each_call", [False, True])
async def test_an_approval_is_not_refused_since_others_spoke_meanwhile(
    place_url: str, namespace: str, *, each_call: bool
) -> None:
    def open_it(*says: Any) -> Agent:
        return Agent(
            client=ScriptedClient(*says),
            context_providers=[BotWireHistoryProvider(namespace, url=place_url)],
            tools=[spend],
            require_per_service_call_history_persistence=each_call,
        )

    agent, session = open_it(call("spend", amount=1), "done"), AgentSession(session_id="s")
    asked = await agent.run("spend", session=session)
    await open_it("fine").run("something else", session=AgentSession(session_id="s"))
    approved = [one.to_function_approval_response(True) for one in asked.user_input_requests]
    answer = await agent.run(Message("user", approved), session=session)
    assert answer.text == "done"


@pytest.mark.parametrize("each_call", [False, True])
async def test_agents_that_pass_on_their_conversation_store_it_once(
    place_url: str, namespace: str, *, each_call: bool
) -> None:
    session = AgentSession(session_id="s")
    found = []
    for provider in (InMemoryHistoryProvider(), BotWireHistoryProvider(namespace, url=place_url)):
        executors = [
            AgentExecutor(
                Agent(
                    client=ScriptedClient(f"{name} 1", f"{name} 2"),
                    context_providers=[provider],
                    name=name,
                    require_per_service_call_history_persistence=each_call,
                ),
                session=session,
            )
            for name in ("writer", "critic")
        ]
        workflow = WorkflowBuilder(start_executor=executors[0]).add_chain(executors).build()
        await workflow.run("write")
        await workflow.run("again")
        state = session.state.get(provider.source_id)
        found.append(texts(await provider.get_messages("s", state=state)))
    said = [("user", "write"), ("assistant", "writer 1"), ("assistant", "critic 1")]
    assert found[0] == found[1]
    assert found[1][:3] == said


async def test_who_says_the_same_twice_has_said_it_twice(place_url: str, namespace: str) -> None:
    # Agent Framework's own providers mistake a repeated exchange for a replay, and drop it.
    agent = Agent(
        client=ScriptedClient("ok", "ok", "ok"),
        context_providers=[BotWireHistoryProvider(namespace, url=place_url)],
    )
    for _ in range(3):
        await agent.run("go on", session=AgentSession(session_id="s"))
    history = Memory(namespace, url=place_url).history("s")
    assert history.count() == 6


async def test_what_an_agent_stores_has_its_name(place_url: str, namespace: str) -> None:
    provider = BotWireHistoryProvider(namespace, url=place_url)
    for name, author in (("writer", "writer, agent-framework"), (None, "agent-framework")):
        agent = Agent(client=ScriptedClient("ok"), name=name, context_providers=[provider])
        await agent.run("hi", session=AgentSession(session_id=f"by {name}"))
        items = Memory(namespace, url=place_url).history(f"by {name}").read()
        assert [str(item.author) for item in items] == [author, author]
    named = BotWireHistoryProvider(namespace, url=place_url, author="mine")
    agent = Agent(client=ScriptedClient("ok"), name="other", context_providers=[named])
    await agent.run("hi", session=AgentSession(session_id="mine"))
    (item, _) = Memory(namespace, url=place_url).history("mine").read()
    assert str(item.author) == "mine, agent-framework"


@pytest.mark.parametrize(("size", "shown"), [(1, 1), (2, 2), (3, 3), (4, 4), (9, 5)])
async def test_the_last_messages_are_shown_and_no_answer_without_its_call(
    place_url: str, namespace: str, size: int, shown: int
) -> None:
    saved = [
        Message("user", ["how warm?"]),
        Message("assistant", [Content.from_function_call("c", "look", arguments={})]),
        Message("tool", [Content.from_function_result("c", result="12")]),
        Message("assistant", ["12 degrees"]),
        Message("user", ["thanks"]),
    ]
    provider = BotWireHistoryProvider(namespace, url=place_url, max_messages=size)
    await provider.save_messages("s", saved)
    found = await provider.get_messages("s")
    expected = saved[len(saved) - shown :]
    if expected[0].role == "tool":
        expected = expected[1:]
    assert [m.to_dict() for m in found] == [m.to_dict() for m in expected]


async def test_what_compaction_marked_is_left_out(place_url: str, namespace: str) -> None:
    provider = BotWireHistoryProvider(namespace, url=place_url, skip_excluded=True)
    marked = Message("user", ["old"], additional_properties={"_excluded": True})
    await provider.save_messages("s", [marked, Message("user", ["new"])])
    assert texts(await provider.get_messages("s")) == [("user", "new")]


async def test_a_session_without_an_id_and_wrong_arguments_are_refused(namespace: str) -> None:
    provider = BotWireHistoryProvider(namespace)
    for session_id in (None, ""):
        with pytest.raises(ConfigurationError, match="session"):
            await provider.get_messages(session_id)
    wrong: Any
    for wrong in (5, ["hi"]):
        with pytest.raises(ConfigurationError, match=r"messages(\[0\])? must be a"):
            await provider.save_messages("s", wrong)
    with pytest.raises(ConfigurationError, match="max_messages"):
        BotWireHistoryProvider(namespace, max_messages=0)
    assert "bw_secret" not in repr(
        BotWireHistoryProvider(namespace, url="http://127.0.0.1:1", api_key="bw_secret")
    )


async def test_two_providers_of_an_agent_do_not_store_a_message_twice(
    tmp_path: Path, namespace: str
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    provider = BotWireHistoryProvider(namespace, url=url)
    for record, refused in (
        (BotWireHistoryProvider(namespace, url=url, source_id="record"), True),
        (BotWireHistoryProvider(f"{namespace}-record", url=url, source_id="record"), False),
        (BotWireHistoryProvider(namespace, url=url, source_id="x", store_inputs=False), True),
    ):
        record.load_messages = False
        client = ScriptedClient("hello")
        run = Agent(client=client, context_providers=[provider, record]).run(
            "hi", session=AgentSession(session_id="s")
        )
        if refused:
            with pytest.raises(ConfigurationError, match="namespace="):
                await run
            assert client.received == []
        else:
            await run
            for one in (provider, record):
                kept = await one.get_messages("s")
                assert texts(kept) == [("user", "hi"), ("assistant", "hello")]


async def test_images_hold_no_other_task(tmp_path: Path, namespace: str) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    content = Content.from_data(data=os.urandom(2_500_000), media_type="image/png")
    message = Message("user", [content])
    provider = BotWireHistoryProvider(namespace, url=url)
    storage = BotWireCheckpointStorage(namespace, url=url)
    checkpoint = WorkflowCheckpoint("w", "hash", state={"said": [message]})
    held = [
        (await longest_hold(work))[1]
        for work in (
            provider.save_messages("s", [message]),
            provider.get_messages("s"),
            storage.save(checkpoint),
            storage.load(checkpoint.checkpoint_id),
        )
    ]
    assert max(held) < 0.05, held


async def test_what_another_framework_said_is_read(
    place_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    Memory(namespace, url=place_url).history("s").extend(
        [
            Envelope("user", "how warm?", name="Ada").to_item(),
            Envelope("assistant", "", tool_calls=[ToolCall("c", "look", {"at": 1})]).to_item(),
            Envelope("tool", "12", tool_call_id="c").to_item(),
            {"odd": 1},
        ]
    )
    client = ScriptedClient("12 degrees")
    agent = Agent(
        client=client, context_providers=[BotWireHistoryProvider(namespace, url=place_url)]
    )
    await agent.run("and?", session=AgentSession(session_id="s"))
    user, asked, answered, last = client.received[0]
    assert (user.text, user.author_name) == ("how warm?", "Ada")
    assert asked.contents[0].parse_arguments() == {"at": 1}
    assert (answered.role, answered.contents[0].call_id) == ("tool", "c")
    assert last.text == "and?"
    assert "skipped item" in caplog.text


async def test_a_server_that_is_down_is_no_empty_conversation(unused_tcp_port: int) -> None:
    client = AsyncMemory("n", url=f"http://127.0.0.1:{unused_tcp_port}", timeout=0.3)
    agent = Agent(
        client=ScriptedClient("x"), context_providers=[BotWireHistoryProvider(client=client)]
    )
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        await agent.run("hi", session=AgentSession(session_id="s"))


paid: list[int] = []


@tool(approval_mode="always_require")
def pay(amount: int) -> str:
    """Pays."""
    paid.append(amount)
    return f"paid {amount}"


@pytest.mark.parametrize("per_call", [False, True])
async def test_an_approval_is_asked_for_in_one_process_and_given_in_another(
    place_url: str, namespace: str, per_call: bool
) -> None:
    def agent(client: ScriptedClient) -> Agent:
        return Agent(
            client=client,
            tools=[pay],
            context_providers=[BotWireHistoryProvider(namespace, url=place_url)],
            require_per_service_call_history_persistence=per_call,
        )

    paid.clear()
    memory = Memory(namespace, url=place_url)
    session = AgentSession(session_id="s")
    response = await agent(ScriptedClient(call("pay", amount=3))).run("pay 3", session=session)
    memory.set("session/s", session.to_dict())
    request = response.user_input_requests[0].to_dict()
    assert paid == []

    session = AgentSession.from_dict(memory.get("session/s"))
    approval = Content.from_dict(request).to_function_approval_response(True)
    client = ScriptedClient("paid it", "you are welcome")
    answer = await agent(client).run(Message("user", [approval]), session=session)
    assert (paid, answer.text) == ([3], "paid it")
    await agent(client).run("thanks", session=session)
    roles = [message.role for message in client.received[1]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


AGENT = """
import asyncio, os, signal, sys
sys.path.insert(0, sys.argv[4])
from agent_framework import Agent, AgentSession, tool
from botwire_agent_framework import BotWireContextProvider, BotWireHistoryProvider
from tests.clients import later
from tests.holding import longest_hold
from tests.items import stored_items
from tests.scripted_agent import ScriptedClient, call
from tests.zygote import Zygote

url, namespace, dies = sys.argv[1:4]

@tool(approval_mode="never_require")
def look(city: str) -> str:
    if dies == "in a tool":
        os.kill(os.getpid(), signal.SIGKILL)
    return "12 degrees"

async def main():
    place = {"namespace": namespace, "url": url}
    agent = Agent(
        client=ScriptedClient(call("look", city="Oslo"), "12 degrees"),
        tools=[look],
        context_providers=[BotWireHistoryProvider(**place), BotWireContextProvider(**place)],
        require_per_service_call_history_persistence=True,
    )
    await agent.run("I am Ada. How warm is it in Oslo?", session=AgentSession(session_id="s"))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def run_and_die(url: str, namespace: str, dies: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", AGENT, url, namespace, dies]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_killed_agent_goes_on(place_url: str, namespace: str) -> None:
    run_and_die(place_url, namespace, "at the end")
    _goes_on(place_url, namespace, "12 degrees")


def test_a_killed_agent_goes_on_on_postgresql(postgres_url: str, namespace: str) -> None:
    run_and_die(postgres_url, namespace, "at the end")
    _goes_on(postgres_url, namespace, "12 degrees")


def test_a_call_that_was_cut_off_is_closed_for_the_model(place_url: str, namespace: str) -> None:
    run_and_die(place_url, namespace, "in a tool")
    _goes_on(place_url, namespace, "was not completed")


def _goes_on(url: str, namespace: str, result: str) -> None:
    client = ScriptedClient("you are Ada")
    provider = BotWireHistoryProvider(namespace, url=url)
    agent = Agent(client=client, context_providers=[provider])
    asyncio.run(agent.run("who am I?", session=AgentSession(session_id="s")))
    shown = client.received[0]
    assert shown[0].text.startswith("I am Ada.")
    assert shown[-1].text == "who am I?"
    calls = [c.call_id for m in shown for c in m.contents if c.type == "function_call"]
    results = [c for m in shown for c in m.contents if c.type == "function_result"]
    assert [content.call_id for content in results] == calls
    assert len(calls) == 1
    assert result in str(results[0].result)


def test_eight_processes_write_and_nothing_is_lost(server_url: str, namespace: str) -> None:
    code = """
import asyncio, os, sys
from agent_framework import Message
from botwire_agent_framework import BotWireCheckpointStorage, BotWireHistoryProvider

async def main(me):
    provider = BotWireHistoryProvider(sys.argv[2], url=sys.argv[1])
    for i in range(20):
        await provider.save_messages("s", [Message("user", [f"{me} {i}"]), Message("assistant", [f"{me} {i}"])])

children = []
for me in range(8):
    if (child := os.fork()) == 0:
        asyncio.run(main(me))
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""  # noqa: E501
    subprocess.run([sys.executable, "-c", code, server_url, namespace], check=True)
    found = texts(asyncio.run(BotWireHistoryProvider(namespace, url=server_url).get_messages("s")))
    assert len(found) == 320
    # A turn is stored in one step, with no other message in between.
    assert all(
        found[i] == ("user", said) and found[i + 1] == ("assistant", said)
        for i, (_, said) in list(enumerate(found))[::2]
    )
