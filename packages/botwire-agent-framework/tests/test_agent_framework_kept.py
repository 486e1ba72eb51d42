"""What every adapter keeps, kept by the history provider and the context provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from agent_framework import (
    Agent,
    AgentSession,
    Content,
    Message,
    WorkflowCheckpoint,
    register_state_type,
    tool,
)
from pydantic import BaseModel

from botwire.testing import AdapterTests, Place, Seen, Turn
from botwire_agent_framework import (
    BotWireCheckpointStorage,
    BotWireContextProvider,
    BotWireHistoryProvider,
)
from botwire_agent_framework.sessions import BotWireSessionStore
from tests.scripted_agent import ScriptedClient


def seen(message: Message) -> Seen:
    calls = [one.call_id for one in message.contents if one.type == "function_call"]
    answers = [one.call_id for one in message.contents if one.type == "function_result"]
    results = [str(one.result) for one in message.contents if one.type == "function_result"]
    return Seen(str(message.role), "\n".join([message.text, *results]).strip(), calls, answers)


class Prefs(BaseModel):
    """What a user's own provider keeps in a session's state."""

    city: str
    warm: bool


register_state_type(Prefs, type_id="botwire_kept.prefs")


@dataclass
class Order:
    """What a user's own executors send."""

    number: int
    lines: tuple[str, ...]


class TestProviders(AdapterTests):
    """An `Agent` with both providers, each session a user's."""

    not_applicable: ClassVar = {
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

    def checkpoints(self, place: Place) -> BotWireCheckpointStorage:
        # Agent Framework's own strict mode wants to be told the types too.
        return BotWireCheckpointStorage(place.namespace, url=place.url, types=[Order])

    async def store_own(self, place: Place) -> None:
        prefs, order, said = self.own()[:3]
        message = Message.from_dict(said)
        session = AgentSession(session_id="ada")
        session.state["own"] = {"prefs": prefs, "said": message}
        await BotWireSessionStore(place.namespace, url=place.url).set("ada", session)
        checkpoint = WorkflowCheckpoint("shop", "hash", state={"order": order})
        await self.checkpoints(place).save(checkpoint)

    async def read_own(self, place: Place) -> Any:
        session = await BotWireSessionStore(place.namespace, url=place.url).get("ada")
        checkpoint = await self.checkpoints(place).get_latest(workflow_name="shop")
        assert session is not None
        assert checkpoint is not None
        kept = session.state["own"]
        said = kept["said"]
        return [kept["prefs"], checkpoint.state["order"], said.to_dict(), type(said)]

    def own(self) -> Any:
        said = Message("user", ["hi"]).to_dict()
        return [Prefs(city="Oslo", warm=False), Order(7, ("tea", "milk")), said, Message]
