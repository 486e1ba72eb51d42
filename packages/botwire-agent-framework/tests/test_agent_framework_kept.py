"""The history provider and the context provider keep the promises of every adapter."""

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

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_agent_framework import (
    BotWireCheckpointStorage,
    BotWireContextProvider,
    BotWireHistoryProvider,
    BotWireSessionStore,
)
from tests.scripted_agent import ScriptedClient


def seen(message: Message) -> Seen:
    calls = [one.call_id for one in message.contents if one.type == "function_call"]
    answers = [one.call_id for one in message.contents if one.type == "function_result"]
    results = [str(one.result) for one in message.contents if one.type == "function_result"]
    return Seen(str(message.role), "\n".join([message.text, *results]).strip(), calls, answers)


class Prefs(BaseModel):
    """The state that a user's own provider keeps in a session."""

    city: str
    warm: bool


register_state_type(Prefs, type_id="botwire_kept.prefs")


@dataclass
class Order:
    """A message that a user's own executors send."""

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
        "test_default_names_never_share_a_history": (
            "a conversation is named by its session, whose default id is random"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return address, AgentSession(session_id=user)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        address, session = agent
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
        where: Any = {"namespace": address.namespace, "url": address.url}
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

    def checkpoints(self, address: Address) -> BotWireCheckpointStorage:
        # Agent Framework's own strict mode needs the types too.
        return BotWireCheckpointStorage(address.namespace, url=address.url, types=[Order])

    async def store_own(self, address: Address) -> None:
        prefs, order, said = self.own()[:3]
        message = Message.from_dict(said)
        session = AgentSession(session_id="ada")
        session.state["own"] = {"prefs": prefs, "said": message}
        await BotWireSessionStore(address.namespace, url=address.url).set("ada", session)
        checkpoint = WorkflowCheckpoint("shop", "hash", state={"order": order})
        await self.checkpoints(address).save(checkpoint)

    async def read_own(self, address: Address) -> Any:
        session = await BotWireSessionStore(address.namespace, url=address.url).get("ada")
        checkpoint = await self.checkpoints(address).get_latest(workflow_name="shop")
        assert session is not None
        assert checkpoint is not None
        kept = session.state["own"]
        said = kept["said"]
        return [kept["prefs"], checkpoint.state["order"], said.to_dict(), type(said)]

    def own(self) -> Any:
        said = Message("user", ["hi"]).to_dict()
        return [Prefs(city="Oslo", warm=False), Order(7, ("tea", "milk")), said, Message]
