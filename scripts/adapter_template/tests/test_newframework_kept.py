"""NewFramework's conversations keep the promises of every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from botwire import NotJSONError
from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_newframework import BotWireConversation


def seen(message: dict[str, Any]) -> Seen:
    calls = [call["id"] for call in message.get("tool_calls", ())]
    answers = [message["tool_call_id"]] if "tool_call_id" in message else []
    return Seen(message["role"], message["content"], calls, answers)


class TestConversation(AdapterTests):
    """An agent that stores each message as it comes."""

    not_applicable: ClassVar = {
        "test_every_saved_state_can_be_loaded_again": "a conversation has no saved states",
        "test_default_names_never_share_a_history": "a name is required",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "messages hold nothing but what JSON can hold"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireConversation(user, namespace=address.namespace, url=address.url)

    # REPLACE: run the framework's own agent, with a scripted model.
    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        shown = []
        await agent.add([{"role": "user", "content": turn.said}])
        if turn.tool is not None:
            shown.append(await self.messages(agent))
            call = {"id": turn.call_id, "name": "look", "arguments": {}}
            await agent.add([{"role": "assistant", "content": "", "tool_calls": [call]}])
            found = await turn.tool()
            answer = {"role": "tool", "content": found, "tool_call_id": turn.call_id}
            await agent.add([answer])
        shown.append(await self.messages(agent))
        await agent.add([{"role": "assistant", "content": turn.answer}])
        return shown

    async def messages(self, agent: Any) -> Sequence[Seen]:
        return [seen(message) for message in await agent.messages()]

    async def give_refused(self, agent: Any) -> None:
        await agent.add([{"role": "user", "content": "hi", "object": object()}])


def test_what_cannot_be_read_back_is_refused_with_its_place(namespace: str) -> None:
    async def add() -> None:
        conversation = BotWireConversation("chat", namespace=namespace, url="sqlite://")
        with pytest.raises(NotJSONError, match=r"messages\[1\]"):
            await conversation.add([{"role": "user", "content": "a"}, {"role": "nobody"}])
        assert await conversation.messages() == []

    asyncio.run(add())


def test_every_part_of_a_message_comes_back(namespace: str) -> None:
    async def add() -> None:
        conversation = BotWireConversation("chat", namespace=namespace, url="sqlite://")
        message = {"role": "user", "content": "a", "picture": b"\x00\xff", "size": (1, 2)}
        await conversation.add([message])
        assert await conversation.messages() == [message]

    asyncio.run(add())
