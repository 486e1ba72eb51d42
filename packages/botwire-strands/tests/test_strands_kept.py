"""Strands' sessions keep the promises of every adapter."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from strands import Agent, tool

from botwire import ConflictError
from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_strands import BotWireSessionManager

sys.path.append(str(Path(__file__).parents[3] / "examples"))

from scripted.strands import ScriptedModel, events


def seen(messages: Iterable[Any]) -> list[Seen]:
    found = []
    for message in messages:
        results = [b["toolResult"] for b in message["content"] if "toolResult" in b]
        texts = [block["text"] for block in message["content"] if "text" in block]
        texts += [part.get("text", "") for result in results for part in result["content"]]
        calls = [b["toolUse"]["toolUseId"] for b in message["content"] if "toolUse" in b]
        answers = [result["toolUseId"] for result in results]
        role = "tool" if answers else message["role"]
        found.append(Seen(role, "\n".join(texts), calls, answers))
    return found


class Scripted(ScriptedModel):
    """A model that records what it is shown, and first calls the tool if there is one."""

    def __init__(self) -> None:
        self.shown: list[list[Seen]] = []
        self.turn = Turn("")

    async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterable[Any]:
        self.shown.append(seen(messages))
        block: Any = {"text": self.turn.answer}
        if self.turn.tool is not None and len(self.shown) == 1:
            block = {"toolUse": {"toolUseId": self.turn.call_id, "name": "look", "input": {}}}
        for event in events([block]):
            yield event


class TestSessions(AdapterTests):
    """An `Agent` with a `BotWireSessionManager`."""

    not_applicable: ClassVar = {
        "test_every_saved_state_can_be_loaded_again": "a session has no saved states",
        "test_default_names_never_share_a_history": "a session's id is required",
        "test_what_the_framework_refuses_leaves_nothing_behind": "Strands stores what it is given",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "Strands' messages and state are JSON and bytes"
        ),
    }
    refused: ClassVar = ConflictError

    def open(self, address: Address, user: str) -> Any:
        model = Scripted()

        @tool
        async def look() -> str:
            """Looks."""
            assert model.turn.tool is not None
            return await model.turn.tool()

        manager = BotWireSessionManager(user, namespace=address.namespace, url=address.url)
        return Agent(model=model, tools=[look], session_manager=manager, callback_handler=None)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        agent.model.turn, agent.model.shown = turn, []
        await agent.invoke_async(turn.said)
        shown: list[list[Seen]] = agent.model.shown
        return shown
