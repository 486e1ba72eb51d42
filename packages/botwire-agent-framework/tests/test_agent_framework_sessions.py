"""A session resumes in another process, and no turn is overwritten."""

from __future__ import annotations

import asyncio
import copy
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentSession,
    Content,
    InMemoryHistoryProvider,
    Message,
    SessionStore,
    register_state_type,
    tool,
)
from agent_framework_hosting import AgentState

from botwire import (
    AsyncMemory,
    ConfigurationError,
    ConflictError,
    Memory,
    NotJSONError,
    TransportError,
)
from botwire.messages import UnreadableItemError
from botwire_agent_framework import BotWireSessionStore
from tests.scripted_agent import ScriptedClient
from tests.waiting import until
from tests.zygote import Zygote


@dataclass
class Basket:
    items: list[str]

    def to_dict(self) -> dict[str, Any]:
        return {"items": self.items}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Basket:
        return cls(data["items"])


register_state_type(Basket, type_id="botwire_tests.basket")


def full(session_id: str = "s") -> AgentSession:
    session = AgentSession(session_id=session_id, service_session_id={"thread": "t", "n": 3})
    session.state |= {
        "messages": [Message("user", ["hi \ud800"], message_id="m")],
        "basket": Basket(["tea"]),
        "plain": {"a": [1, None, 0.5, 10**40, float("inf")], "": {}},
    }
    return session


async def test_it_answers_as_agent_frameworks_own_in_memory(any_url: str, namespace: str) -> None:
    seen = []
    for store in (SessionStore(), BotWireSessionStore(namespace, url=any_url)):
        said: list[Any] = [await store.get("s")]
        session = full()
        for name in ("s", "an/odd ä?name", "s/"):
            await store.set(name, session)
        session.state["late"] = 1  # a copy is stored
        for name in ("s", "an/odd ä?name", "s/"):
            found = await store.get(name)
            assert found is not None
            said.append(found.to_dict())
            assert found.state["basket"] == Basket(["tea"])
            assert isinstance(found.state["messages"][0], Message)
        other = await store.get("s")
        assert other is not None
        other.state["x"] = 1  # and a copy is returned
        again = await store.get("s")
        assert again is not None
        said.append(again.to_dict())
        await store.set("s", AgentSession(session_id="new"))  # a new one takes its place
        replaced = await store.get("s")
        said.append(replaced and replaced.session_id)
        await store.delete("s")
        await store.delete("s")
        said += [await store.get("s"), (await store.get("s/")) is not None]
        for wrong in ("", 7):
            with pytest.raises(ValueError, match="session_id"):
                await store.get(wrong)  # type: ignore[arg-type]
        seen.append(said)
    assert seen[0] == seen[1]


async def test_what_another_request_did_is_not_overwritten(any_url: str, namespace: str) -> None:
    store = BotWireSessionStore(namespace, url=any_url)
    await store.set("s", full())
    one = await store.get("s")
    two = await BotWireSessionStore(namespace, url=any_url).get("s")
    assert one is not None
    assert two is not None
    one.state["one"] = two.state["two"] = 1
    await store.set("s", one)
    one.state["one"] = 2
    await store.set("s", one)  # it knows its own version
    with pytest.raises(ConflictError, match="'s' was changed"):
        await store.set("s", two)
    with pytest.raises(ConflictError):
        await store.set("s", copy.deepcopy(two))
    await BotWireSessionStore(namespace, url=any_url, on_conflict="overwrite").set("s", two)
    found = await store.get("s")
    assert found is not None
    assert "one" not in found.state
    await store.set("copy", two)  # under another id it is another session
    await store.delete("s")
    with pytest.raises(ConflictError):
        await store.set("s", found)
    assert await store.get("s") is None
    assert sorted(await store.list_sessions()) == ["copy"]


@pytest.mark.filterwarnings("ignore:AgentSession state value:RuntimeWarning")
async def test_what_would_not_come_back_is_refused(place_url: str, namespace: str) -> None:
    store = BotWireSessionStore(namespace, url=place_url)
    session = full()
    session.state["deep"] = [{"f": object()}]
    with pytest.raises(NotJSONError, match=r"\['deep'\]\[0\]\['f'\]"):
        await store.set("s", session)

    class Own(AgentSession):
        pass

    with pytest.raises(NotJSONError, match="Own"):
        await store.set("s", Own())
    assert await store.list_sessions() == []
    session.state["deep"] = datetime(2026, 1, 1, tzinfo=UTC)  # theirs refuse it
    await store.set("s", session)
    found = await store.get("s")
    assert found is not None
    assert found.state["deep"] == datetime(2026, 1, 1, tzinfo=UTC)


async def test_what_cannot_be_read_is_said(place_url: str, namespace: str) -> None:
    store = BotWireSessionStore(namespace, url=place_url)
    memory = Memory(namespace, url=place_url)
    good = {"framework": "agent-framework", "format": 1}
    broken = {"type": "botwire_tests.basket"}  # its decoder fails
    for value in (
        7,
        {**good, "format": 2, "data": {}},
        {**good, "framework": "other", "data": {}},
        {**good, "data": {}},
        {**good, "data": []},
        {**good, "data": {"session_id": "s", "state": {"b": broken}}},
    ):
        memory.set("sessions/s", value)
        with pytest.raises(UnreadableItemError, match="session 's'"):
            await store.get("s")
    with pytest.raises(ConfigurationError, match="on_conflict"):
        BotWireSessionStore(namespace, on_conflict="merge")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireSessionStore(namespace, ttl=-1)
    with pytest.raises(ConfigurationError, match="a prefix must be a string, not int: 5"):
        BotWireSessionStore(namespace, prefix=5)  # type: ignore[arg-type]


async def test_a_session_expires_after_its_last_turn(place_url: str, namespace: str) -> None:
    store = BotWireSessionStore(namespace, url=place_url, ttl=0.05)
    await store.set("s", full())

    async def gone() -> bool:
        return await store.get("s") is None

    await until(gone)


async def test_a_server_that_is_down_is_no_new_session(unused_tcp_port: int) -> None:
    client = AsyncMemory("n", url=f"http://127.0.0.1:{unused_tcp_port}", timeout=0.3)
    store = BotWireSessionStore(client=client)
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        await store.get("s")
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        await store.set("s", full())
    assert "bw_secret" not in repr(BotWireSessionStore("n", url="http://x", api_key="bw_secret"))


# --- Agent Framework's hosting --------------------------------------------------------------------


def hosted(url: str, namespace: str, *says: str) -> tuple[AgentState[Agent], ScriptedClient]:
    """The state of a web application."""
    client = ScriptedClient(*says)
    agent = Agent(client=client, context_providers=[InMemoryHistoryProvider()])
    store = BotWireSessionStore(namespace, url=url)
    return AgentState(agent, session_store=store), client


async def turn(state: AgentState[Agent], said: str) -> None:
    """Handles a request as in Agent Framework's documentation."""
    session = await state.get_or_create_session("s")
    agent = await state.get_target()
    await agent.run(said, session=session)
    await state.set_session("s", session)


async def test_a_hosted_agent_goes_on_in_another_process(any_url: str, namespace: str) -> None:
    first, _ = hosted(any_url, namespace, "noted")
    await turn(first, "I am Ada")
    second, client = hosted(any_url, namespace, "you are Ada", "bye")
    await turn(second, "who am I?")
    await turn(second, "thanks")
    assert [one.text for one in client.received[1]] == [
        *("I am Ada", "noted", "who am I?", "you are Ada", "thanks")
    ]


async def test_of_two_first_turns_at_once_one_is_told(any_url: str, namespace: str) -> None:
    states = [hosted(any_url, namespace, f"answer {i}")[0] for i in range(2)]
    sessions = [await state.get_or_create_session("s") for state in states]
    for state, session in zip(states, sessions, strict=True):
        await (await state.get_target()).run("hi", session=session)
    await states[0].set_session("s", sessions[0])
    with pytest.raises(ConflictError, match="read it again"):
        await states[1].set_session("s", sessions[1])


ASK = """
import asyncio, os, signal, sys
from agent_framework import Agent, AgentSession, InMemoryHistoryProvider, tool
from botwire_agent_framework import BotWireSessionStore
from tests.scripted_agent import ScriptedClient, call

@tool(approval_mode="always_require")
def pay(amount: int) -> str:
    raise SystemExit("paid without approval")

async def main(url, namespace):
    agent = Agent(client=ScriptedClient(call("pay", amount=3)), tools=[pay],
                  context_providers=[InMemoryHistoryProvider()])
    session = AgentSession(session_id="s")
    response = await agent.run("pay 3", session=session)
    session.state["asked"] = response.user_input_requests[0].to_dict()
    await BotWireSessionStore(namespace, url=url).set("s", session)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


def test_an_approval_is_asked_for_by_a_process_that_is_killed_and_given_to_another(
    zygote: Zygote, any_url: str, namespace: str
) -> None:
    paid: list[int] = []

    @tool(approval_mode="always_require")
    def pay(amount: int) -> str:
        """Pays."""
        paid.append(amount)
        return f"paid {amount}"

    async def goes_on() -> str:
        store = BotWireSessionStore(namespace, url=any_url)
        session = await store.get("s")
        assert session is not None
        asked = Content.from_dict(session.state.pop("asked"))
        history = InMemoryHistoryProvider()
        agent = Agent(client=ScriptedClient("done"), tools=[pay], context_providers=[history])
        yes = Message("user", [asked.to_function_approval_response(approved=True)])
        answer = await agent.run(yes, session=session)
        await store.set("s", session)
        return answer.text

    assert zygote.run(ASK, any_url, namespace) == -signal.SIGKILL
    assert asyncio.run(goes_on()) == "done"
    assert paid == [3]
