"""The chat message history keeps the promises of every adapter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_langchain import BotWireChatMessageHistory

ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}
CALL = {"name": "look", "args": {}, "id": "call-1"}


def seen(message: BaseMessage) -> Seen:
    calls = [call["id"] for call in message.tool_calls] if isinstance(message, AIMessage) else []
    answers = [message.tool_call_id] if isinstance(message, ToolMessage) else []
    return Seen(ROLES[message.type], str(message.content), calls, answers)  # type: ignore[arg-type]


class ScriptedModel(GenericFakeChatModel):
    """Gives scripted answers, and records what it was shown."""

    shown: list[list[Seen]] = []  # noqa: RUF012 - pydantic copies it

    def _generate(self, messages: Any, *args: Any, **options: Any) -> Any:
        self.shown.append([seen(message) for message in messages])
        return super()._generate(messages, *args, **options)


def model_of(turn: Turn) -> ScriptedModel:
    calls = [AIMessage("", tool_calls=[{**CALL, "id": turn.call_id}])] if turn.tool else []
    return ScriptedModel(messages=iter([*calls, AIMessage(turn.answer)]), shown=[])


class TestHistory(AdapterTests):
    """A program that adds each message to the history as it comes."""

    not_applicable: ClassVar = {
        "test_two_requests_at_once_lose_and_mix_nothing": (
            "what is added in one call is whole; turns of many calls are the program's own"
        ),
        "test_two_processes_at_once_lose_and_mix_nothing": "likewise",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "a message holds what JSON can hold"
        ),
        "test_every_saved_state_can_be_loaded_again": "a history has no saved states",
        "test_default_names_never_share_a_history": "a session is required",
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireChatMessageHistory(user, namespace=address.namespace, url=address.url)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        model = model_of(turn)
        await agent.aadd_messages([HumanMessage(turn.said)])
        while True:
            answer = await model.ainvoke(await agent.aget_messages())
            await agent.aadd_messages([answer])
            if not answer.tool_calls or turn.tool is None:
                return model.shown
            assert (await agent.aget_messages())[-1] == answer  # the program acts on it
            found = ToolMessage(await turn.tool(), tool_call_id=turn.call_id)
            await agent.aadd_messages([found])

    async def messages(self, agent: Any) -> Sequence[Seen]:
        return [seen(message) for message in await agent.aget_messages()]

    async def give_refused(self, agent: Any) -> None:
        await agent.aadd_messages([HumanMessage("no"), HumanMessage("no", extra=object())])


class TestRunnable(TestHistory):
    """A `RunnableWithMessageHistory`, which stores a turn when it is over."""

    not_applicable: ClassVar = {
        name: reason for name, reason in TestHistory.not_applicable.items() if "at_once" not in name
    } | {
        "test_a_model_never_sees_a_call_without_its_answer": (
            "LangChain stores a turn when it is over: of a killed one there is nothing"
        ),
    }
    test_two_requests_at_once_lose_and_mix_nothing = (
        AdapterTests.test_two_requests_at_once_lose_and_mix_nothing
    )
    test_two_processes_at_once_lose_and_mix_nothing = (
        AdapterTests.test_two_processes_at_once_lose_and_mix_nothing
    )

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        model = model_of(turn)

        async def answer(given: Any) -> list[BaseMessage]:
            messages = [*given["history"], HumanMessage(given["said"])]
            begun = len(messages)
            while True:
                reply = await model.ainvoke(messages)
                messages.append(reply)
                if not reply.tool_calls or turn.tool is None:
                    return messages[begun:]
                found = await turn.tool()
                messages.append(ToolMessage(found, tool_call_id=turn.call_id))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LangChain calls the class deprecated
            runnable = RunnableWithMessageHistory(
                RunnableLambda(answer),
                lambda session_id: agent,
                input_messages_key="said",
                history_messages_key="history",
            )
        config: Any = {"configurable": {"session_id": agent.session_id}}
        await runnable.ainvoke({"said": turn.said}, config)
        return model.shown


def test_a_window_begins_with_no_answer_whose_call_it_leaves_out(
    place_url: str, namespace: str
) -> None:
    history = BotWireChatMessageHistory("s", namespace=namespace, url=place_url, history_size=3)
    said = [HumanMessage("go"), AIMessage("", tool_calls=[CALL])]
    said += [ToolMessage("found", tool_call_id="call-1"), AIMessage("done"), HumanMessage("so?")]
    history.add_messages(said)
    assert [one.content for one in history.messages] == ["done", "so?"]
    assert [one.content for one in history.get_messages(limit=3)] == ["found", "done", "so?"]
