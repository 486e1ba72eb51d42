"""Agents with the memories of this package keep the promises of every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_llamaindex import BotWireChatMemoryBuffer, BotWireMemory


def seen(message: ChatMessage) -> Seen:
    calls = [
        block.tool_call_id or "" for block in message.blocks if isinstance(block, ToolCallBlock)
    ]
    answers = [message.additional_kwargs["tool_call_id"]] if message.role == "tool" else []
    return Seen(message.role.value, message.content or "", calls, answers)


class TestBuffer(AdapterTests):
    """A `FunctionAgent` with a `BotWireChatMemoryBuffer`."""

    not_applicable: ClassVar = {
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "a ChatMessage is JSON; LlamaIndex's own stores keep a model in it as a dict too"
        ),
        "test_default_names_never_share_a_history": (
            "a memory is a conversation, not an agent: agents of a workflow share one"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireChatMemoryBuffer(address.namespace, url=address.url, chat_store_key=user)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        shown: list[list[Seen]] = []

        def answer(messages: Sequence[ChatMessage], **kwargs: Any) -> ChatMessage:
            shown.append([seen(message) for message in messages])
            if turn.tool is None or len(shown) > 1:
                return ChatMessage(role="assistant", content=turn.answer)
            call = ToolCallBlock(tool_call_id=turn.call_id, tool_name="look", tool_kwargs={})
            return ChatMessage(role="assistant", blocks=[call])

        async def look() -> str:
            """Looks."""
            assert turn.tool is not None
            return await turn.tool()

        tools: list[Any] = [] if turn.tool is None else [FunctionTool.from_defaults(look)]
        llm = MockFunctionCallingLLM(response_generator=answer)
        await FunctionAgent(tools=tools, llm=llm).run(turn.said, memory=agent)
        return shown

    async def save(self, agent: Any) -> Any:
        return await agent.aget_all()

    async def load(self, agent: Any, state: Any) -> None:
        await agent.aset(state)

    async def clear(self, agent: Any) -> None:
        await agent.areset()

    async def messages(self, agent: Any) -> Sequence[Seen]:
        return [seen(message) for message in await agent.aget_all()]

    async def give_refused(self, agent: Any) -> None:
        await FunctionAgent(tools=[], llm=MockFunctionCallingLLM()).run(memory=agent)


class TestMemory(TestBuffer):
    """A `FunctionAgent` with a `BotWireMemory`."""

    not_applicable: ClassVar = {
        "test_two_processes_at_once_lose_and_mix_nothing": (
            "nothing but what TestBuffer shows: both memories add messages by one function"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireMemory(address.namespace, url=address.url, session_id=user)
