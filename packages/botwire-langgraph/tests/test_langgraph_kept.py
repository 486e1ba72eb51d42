"""LangGraph's checkpointer keeps the promises of every adapter."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Sequence
from typing import Any, ClassVar, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from pydantic import BaseModel

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_langgraph import BotWireSaver, ConcurrentRunError

ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}


def seen(message: BaseMessage) -> Seen:
    calls = [call["id"] for call in message.tool_calls] if isinstance(message, AIMessage) else []
    answers = [message.tool_call_id] if isinstance(message, ToolMessage) else []
    return Seen(ROLES[message.type], message.text, calls, answers)  # type: ignore[arg-type]


class ScriptedModel(GenericFakeChatModel):
    """Gives scripted answers, and records what it was shown."""

    shown: list[list[Seen]] = []  # noqa: RUF012 - pydantic copies it

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        """Takes them."""
        return self

    def _generate(self, messages: Any, *args: Any, **options: Any) -> Any:
        self.shown.append([seen(message) for message in messages])
        return super()._generate(messages, *args, **options)


class Mood(enum.Enum):
    """How somebody feels."""

    CALM = "calm"


class Plan(BaseModel):
    """What to do."""

    steps: list[str]
    mood: Mood


@dataclasses.dataclass
class Trip:
    """Where to."""

    to: str


class Own(TypedDict):
    """Names classes of the program's own."""

    plan: Plan
    trips: list[Trip]


def cut_off(place_url: str, namespace: str) -> tuple[BotWireSaver, Any]:
    """Returns the saver and the config of a run that failed inside a tool."""
    saver, config = TestSaver().open(Address(place_url, namespace), "ada")

    async def fail() -> str:
        raise ArithmeticError("failed")

    agent, _ = TestSaver().agent(saver, Turn("", tool=fail))
    with pytest.raises(ArithmeticError):
        asyncio.run(agent.ainvoke({"messages": ["go"]}, config))
    return saver, config


def test_a_run_that_resumes_still_calls_its_tool(place_url: str, namespace: str) -> None:
    saver, config = cut_off(place_url, namespace)

    async def work() -> str:
        return "found"

    agent, model = TestSaver().agent(saver, Turn("", tool=work))
    model.messages = iter([AIMessage("done")])
    messages = asyncio.run(agent.ainvoke(None, config))["messages"]
    assert [one.text for one in messages] == ["go", "", "found", "done"]


@pytest.mark.parametrize(
    "given", [ToolMessage("found", tool_call_id="call-1"),
              {"role": "tool", "content": "found", "tool_call_id": "call-1"}],
    ids=["message", "dict"],
)  # fmt: skip
def test_a_call_that_the_input_answers_is_answered_once(
    place_url: str, namespace: str, given: Any
) -> None:
    saver, config = cut_off(place_url, namespace)
    agent, _ = TestSaver().agent(saver, Turn("", "done"))
    messages = agent.invoke({"messages": [given]}, config)["messages"]
    assert [one.text for one in messages] == ["go", "", "found", "done"]


def test_a_call_that_a_run_ended_with_stays_open(place_url: str, namespace: str) -> None:
    """If tools run elsewhere, a run ends with a call, and the next one reads it."""
    saver, config = TestSaver().open(Address(place_url, namespace), "ada")
    call = {"name": "look", "args": {}, "id": "call-1"}
    seen_by: list[list[Any]] = []

    def say(state: MessagesState) -> Any:
        seen_by.append(state["messages"])
        return {"messages": [AIMessage("", tool_calls=[call])] if len(seen_by) == 1 else []}

    graph = StateGraph(MessagesState).add_node("say", say).add_edge(START, "say").compile(saver)
    for said in ("one", "two"):
        graph.invoke({"messages": [said]}, config)
    assert [one.type for one in seen_by[1]] == ["human", "ai", "human"]


class TestSaver(AdapterTests):
    """An agent of `create_agent` with a `BotWireSaver` and one thread per user."""

    refused: ClassVar = ConcurrentRunError
    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": "checkpoints are deleted whole",
        "test_default_names_never_share_a_history": (
            "LangGraph refuses a run whose config names no thread"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return (
            BotWireSaver(address.namespace, url=address.url),
            {"configurable": {"thread_id": user}},
        )

    def agent(self, saver: BotWireSaver, turn: Turn) -> tuple[Any, ScriptedModel]:
        replies, tools = [AIMessage(turn.answer)], []
        if turn.tool is not None:
            call = {"name": "look", "args": {}, "id": turn.call_id}
            replies.insert(0, AIMessage("", tool_calls=[call]))
            tools.append(
                StructuredTool.from_function(coroutine=turn.tool, name="look", description="Looks.")
            )
        model = ScriptedModel(messages=iter(replies), shown=[])
        return create_agent(model, tools, checkpointer=saver), model

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        saver, config = agent
        graph, model = self.agent(saver, turn)
        said = {"messages": [{"role": "user", "content": turn.said}]}
        # By default LangGraph stores a step while the next one runs, and may lose it if killed.
        await graph.ainvoke(said, config, durability="sync")
        return model.shown

    async def save(self, agent: Any) -> Any:
        graph, _ = self.agent(agent[0], Turn(""))
        return (await graph.aget_state(agent[1])).values["messages"]

    async def load(self, agent: Any, state: Any) -> None:
        await self._put(agent, [RemoveMessage(REMOVE_ALL_MESSAGES), *state])

    async def clear(self, agent: Any) -> None:
        await self._put(agent, [RemoveMessage(REMOVE_ALL_MESSAGES)])

    async def messages(self, agent: Any) -> Sequence[Seen]:
        return [seen(message) for message in await self.save(agent)]

    async def give_refused(self, agent: Any) -> None:
        graph, _ = self.agent(agent[0], Turn(""))
        await graph.ainvoke("not a state", agent[1])

    async def _put(self, agent: Any, messages: Any) -> None:
        graph, _ = self.agent(agent[0], Turn(""))
        await graph.aupdate_state(agent[1], {"messages": messages}, as_node="model")

    async def store_own(self, address: Address) -> None:
        await self._own_graph(address).ainvoke({"trips": []}, self.open(address, "ada")[1])

    async def read_own(self, address: Address) -> Any:
        return (await self._own_graph(address).aget_state(self.open(address, "ada")[1])).values

    def own(self) -> Any:
        return {
            "plan": Plan(steps=["a"], mood=Mood.CALM),
            "trips": [Trip("Rome"), Trip("Bern")],
        }

    def _own_graph(self, address: Address) -> Any:
        graph = StateGraph(Own).add_node("fill", lambda _: self.own()).add_edge(START, "fill")
        return graph.compile(checkpointer=self.open(address, "ada")[0])
