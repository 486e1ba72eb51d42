"""What every adapter keeps, kept by the history provider and the context provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from agent_framework import Agent, AgentSession, Content, Message, tool

from botwire.testing import AdapterTests, Place, Seen, Turn
from botwire_agent_framework import BotWireContextProvider, BotWireHistoryProvider
from tests.scripted_agent import ScriptedClient


def seen(message: Message) -> Seen:
    calls = [one.call_id for one in message.contents if one.type == "function_call"]
    answers = [one.call_id for one in message.contents if one.type == "function_result"]
    results = [str(one.result) for one in message.contents if one.type == "function_result"]
    return Seen(str(message.role), "\n".join([message.text, *results]).strip(), calls, answers)


class TestProviders(AdapterTests):
    """An `Agent` with both providers, each session a user's."""

    not_applicable: ClassVar = {
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "a message holds contents of Agent Framework's own; checkpoints have tests of their own"
        ),
        "test_every_saved_state_can_be_loaded_again": (
            "a session's state holds no messages, and a history has no snapshots"
        ),
        "test_what_the_framework_refuses_leaves_nothing_behind": (
            "Agent Framework takes any input and stores it after the run"
        ),
        "test_what_is_told_apart_by_nothing_is_refused_or_kept_apart": (
            "a conversation is named by its session, whose default id is random"
        ),
    }

    def open(self, place: Place, user: str) -> Any:
        return place, AgentSession(session_id=user)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        place, session = agent
        tools = []
        replies: list[Any] = [turn.answer]
        if turn.tool is not None:
            given = turn.tool

            @tool(approval_mode="never_require")
            async def look() -> str:
                return await given()

            tools.append(look)
            replies.insert(0, Content.from_function_call(turn.call_id, "look", arguments={}))
        client = ScriptedClient(*replies)
        where: Any = {"namespace": place.namespace, "url": place.url}
        again = Agent(
            client=client,
            tools=tools,
            context_providers=[
                BotWireHistoryProvider(**where),
                BotWireContextProvider(**where, recall_timeout=20),
            ],
            require_per_service_call_history_persistence=True,
        )
        await again.run(turn.said, session=session)
        return [[seen(one) for one in messages] for messages in client.received]
