"""What every adapter keeps, kept by AutoGen's contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    RequestUsage,
    UserMessage,
)
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire.testing import AdapterTests, Place, Seen, Turn
from botwire_autogen import BotWireChatCompletionContext

INFO: Any = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "family": "unknown",
    "structured_output": True,
}


def seen(message: LLMMessage) -> Seen:
    content = message.content
    if isinstance(message, FunctionExecutionResultMessage):
        text = "\n".join(result.content for result in message.content)
        return Seen("tool", text, answers=[result.call_id for result in message.content])
    if isinstance(message, AssistantMessage) and not isinstance(content, str):
        return Seen("assistant", "", calls=[call.id for call in message.content])  # type: ignore[union-attr]
    role = {UserMessage: "user", AssistantMessage: "assistant"}.get(type(message), "system")
    return Seen(role, str(content))


class TestContext(AdapterTests):
    """An `AssistantAgent` with a `BotWireChatCompletionContext`."""

    not_applicable: ClassVar = {
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "a model's messages hold texts and images, nothing of a user's own"
        ),
    }

    def open(self, place: Place, user: str) -> Any:
        context = BotWireChatCompletionContext(place.namespace, url=place.url, name=user)
        return AssistantAgent("helper", ReplayChatCompletionClient([]), model_context=context)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        replies: list[Any] = [turn.answer]
        tools = []
        if turn.tool is not None:
            tools = [FunctionTool(turn.tool, "Looks.", name="look")]
            call = FunctionCall(id=turn.call_id, name="look", arguments="{}")
            usage = RequestUsage(prompt_tokens=1, completion_tokens=1)
            result = CreateResult(
                finish_reason="function_calls", content=[call], usage=usage, cached=False
            )
            replies.insert(0, result)
        model = ReplayChatCompletionClient(replies, model_info=INFO)
        again = AssistantAgent(
            "helper",
            model,
            tools=[*tools],
            model_context=agent.model_context,
            reflect_on_tool_use=True,
        )
        await again.run(task=turn.said)
        return [[seen(one) for one in call["messages"]] for call in model.create_calls]

    async def save(self, agent: Any) -> Any:
        return await agent.save_state()

    async def load(self, agent: Any, state: Any) -> None:
        await agent.load_state(state)

    async def clear(self, agent: Any) -> None:
        await agent.model_context.clear()

    async def messages(self, agent: Any) -> Sequence[Seen]:
        return [seen(one) for one in await agent.model_context.get_messages()]

    async def give_refused(self, agent: Any) -> None:
        await agent.run(task=[TextMessage(content="no", source="user"), "not a message"])

    async def unnamed(self, place: Place) -> None:
        agents = [
            AssistantAgent(
                name,
                ReplayChatCompletionClient(["x"]),
                model_context=BotWireChatCompletionContext(place.namespace, url=place.url),
            )
            for name in "ab"
        ]
        await RoundRobinGroupChat([*agents], max_turns=2).run(task="go")
