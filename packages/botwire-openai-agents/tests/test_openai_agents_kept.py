"""The session keeps the promises of every adapter."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

import agents
from agents import Agent, Runner, function_tool

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_openai_agents import BotWireSession
from botwire_openai_agents.convert import to_items
from tests.scripted_responses import ScriptedModel, call

agents.set_tracing_disabled(True)  # in the processes that these tests start too


def seen(item: Any) -> Seen:
    (value,) = to_items([item])
    calls = [one["id"] for one in value.get("tool_calls", ())]
    answers = [value["tool_call_id"]] if "tool_call_id" in value else []
    return Seen(value["role"], value["text"], calls, answers)


async def run(session: Any, turn: Turn, *, stream: bool = False) -> Sequence[Sequence[Seen]]:
    """Runs an agent of the SDK's own."""
    tools: list[Any] = []
    says: list[Any] = [turn.answer]
    if turn.tool is not None:
        given = turn.tool

        @function_tool
        async def look() -> str:
            return await given()

        tools.append(look)
        # The SDK treats calls with the same id as one call.
        says.insert(0, call("look", f"{turn.call_id}-{uuid.uuid4()}"))
    model = ScriptedModel(*says)
    agent = Agent("helper", model=model, tools=tools)
    if stream:
        streamed = Runner.run_streamed(agent, turn.said, session=session)
        async for _ in streamed.stream_events():
            pass
    else:
        await Runner.run(agent, turn.said, session=session)
    return [[seen(item) for item in items] for items in model.received]


class SessionTests(AdapterTests):
    """An agent with a session."""

    not_applicable: ClassVar = {
        "test_every_saved_state_can_be_loaded_again": "a session has no saved states",
        "test_default_names_never_share_a_history": "a session id is required",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "items hold nothing but what JSON can hold"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireSession(user, namespace=address.namespace, url=address.url)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        return await run(agent, turn)

    async def messages(self, agent: Any) -> Sequence[Seen]:
        return [seen(item) for item in await agent.get_items()]

    async def give_refused(self, agent: Any) -> None:
        await agent.add_items([{"role": "user", "content": "hi", "object": object()}])


class TestSession(SessionTests):
    """`Runner.run`."""


class TestStreamed(SessionTests):
    """`Runner.run_streamed`."""

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        return await run(agent, turn, stream=True)


del SessionTests
