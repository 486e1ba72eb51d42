"""AutoGen's contexts keep the promises of every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import (
    BaseChatMessage,
    BaseTextChatMessage,
    StructuredMessage,
    TextMessage,
)
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken, FunctionCall
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
from pydantic import BaseModel

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_autogen import BotWireChatCompletionContext, CheckpointedTeam

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


class Plan(BaseModel):
    """A user's own content of an agent's message."""

    steps: list[str]
    urgent: bool = False


class Note(BaseTextChatMessage):
    """A user's own type of message."""

    type: Literal["Note"] = "Note"
    page: int


class Writer(BaseChatAgent):
    """An agent of a user's own, which writes notes."""

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (Note,)

    async def on_messages(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> Response:
        return Response(chat_message=Note(source=self.name, content="noted", page=7))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        pass


class TestContext(AdapterTests):
    """An `AssistantAgent` with a `BotWireChatCompletionContext`, and saved teams."""

    def open(self, address: Address, user: str) -> Any:
        context = BotWireChatCompletionContext(address.namespace, url=address.url, name=user)
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

    async def unnamed(self, address: Address) -> None:
        agents = [
            AssistantAgent(
                name,
                ReplayChatCompletionClient(["x"]),
                model_context=BotWireChatCompletionContext(address.namespace, url=address.url),
            )
            for name in "ab"
        ]
        await RoundRobinGroupChat([*agents], max_turns=2).run(task="go")

    def team(self, address: Address) -> CheckpointedTeam:
        model = ReplayChatCompletionClient(['{"steps": ["a", "b"]}'], model_info=INFO)
        planner = AssistantAgent("planner", model, output_content_type=Plan)
        team = RoundRobinGroupChat(
            [planner, Writer("writer", "Writes.")],
            max_turns=1,
            custom_message_types=[StructuredMessage[Plan], Note],  # AutoGen requires this here
        )
        return CheckpointedTeam(team, address.namespace, url=address.url, max_turns=2)

    async def store_own(self, address: Address) -> None:
        await self.team(address).run(task="plan")

    async def read_own(self, address: Address) -> Any:
        _, plan, note = await self.team(address).thread()
        assert isinstance(plan, StructuredMessage)
        assert isinstance(note, Note)
        return [type(plan), plan.content, type(note), note.content, note.page]

    def own(self) -> Any:
        return [StructuredMessage[Plan], Plan(steps=["a", "b"]), Note, "noted", 7]
