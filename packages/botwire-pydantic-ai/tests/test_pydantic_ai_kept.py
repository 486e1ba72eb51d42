"""The conversation store keeps the promises of every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationEntry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire.testing.checks import check_shown
from botwire_pydantic_ai import BotWireConversationStore
from botwire_pydantic_ai.convert import to_items


def seen(messages: Sequence[ModelMessage]) -> list[Seen]:
    values = [
        value
        for message in messages
        for value in to_items(ConversationEntry(parent_id=None, message=message), "message")
    ]
    return [
        Seen(
            value["role"],
            value["text"],
            [call["id"] for call in value.get("tool_calls", ())],
            [value["tool_call_id"]] if "tool_call_id" in value else [],
        )
        for value in values
    ]


class TestStore(AdapterTests):
    """An agent whose conversation is loaded before a run and saved after it."""

    refused = ConversationConflict
    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": (
            "entries form a chain by id, from which none is deleted alone"
        ),
        "test_a_model_never_sees_a_call_without_its_answer": (
            "Pydantic AI saves a conversation when its run has ended; see the test below"
        ),
        "test_every_saved_state_can_be_loaded_again": "a conversation has no saved states",
        "test_default_names_never_share_a_history": "an id is required",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "Pydantic AI's own serialization of messages makes dicts of a tool's objects"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireConversationStore(address.namespace, url=address.url), user

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        store, user = agent
        says: list[Any] = [TextPart(turn.answer)]
        if turn.tool is not None:
            says.insert(0, ToolCallPart("look", {}, turn.call_id))
        shown = []

        def model(messages: list[ModelMessage], info: Any) -> ModelResponse:
            shown.append(seen(messages))
            return ModelResponse([says.pop(0)])

        helper = Agent(FunctionModel(model))

        @helper.tool_plain
        async def look() -> str:
            assert turn.tool is not None
            return await turn.tool()

        conversation = await store.load(user) or Conversation(conversation_id=user)
        result = await helper.run(turn.said, conversation=conversation)
        await store.save(result)
        return shown

    async def messages(self, agent: Any) -> Sequence[Seen]:
        store, user = agent
        conversation = await store.load(user)
        return [] if conversation is None else seen(conversation.messages)

    async def give_refused(self, agent: Any) -> None:
        store, user = agent
        conversation = await store.load(user)
        conversation.messages.append(ModelResponse([TextPart("a")], metadata={"b": object()}))
        await store.save(conversation)

    def test_a_process_that_was_killed_in_a_tool_leaves_nothing_half_done(
        self, place_url: str, namespace: str
    ) -> None:
        address = Address(place_url, namespace)
        self._run(self.turn(self.open(address, "ada"), Turn("one")))
        with self._child("killed", address, "ada", "killed in a tool") as child:
            child.stdin.close()
            child.stdout.read()
            child.wait()

        async def go_on() -> None:
            for said in ("two", "three"):
                for shown in await self.turn(self.open(address, "ada"), Turn(said)):
                    check_shown(shown)
            assert [one.text for one in shown] == [
                *("one", "fine", "before", "fine"),  # the other process ended that turn
                *("two", "fine", "three"),
            ]

        self._run(go_on())


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydantic_ai.models.ALLOW_MODEL_REQUESTS", False)
