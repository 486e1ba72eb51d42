"""The history wherever LangChain accepts one, in one process and in the next."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from botwire_langchain import BotWireChatMessageHistory
from conftest import run_and_kill
from tests.zygote import Zygote

AGENT = """
import json, sys, warnings
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from botwire_langchain import BotWireChatMessageHistory

url, namespace, text = sys.argv[1:]


class Scripted(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        print(json.dumps([message.content for message in messages]), flush=True)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("noted"))])


prompt = ChatPromptTemplate.from_messages(
    [MessagesPlaceholder("history"), ("human", "{question}")]
)
chain = RunnableWithMessageHistory(
    prompt | Scripted(),
    lambda session_id: BotWireChatMessageHistory(session_id, namespace=namespace, url=url),
    input_messages_key="question",
    history_messages_key="history",
)
chain.invoke({"question": text}, {"configurable": {"session_id": "s"}})
print("done", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_is_remembered(zygote: Zygote, place_url: str, namespace: str) -> None:
    assert run_and_kill(zygote, AGENT, place_url, namespace, "I am Ada") == ["I am Ada"]
    assert run_and_kill(zygote, AGENT, place_url, namespace, "Who?") == [
        "I am Ada",
        "noted",
        "Who?",
    ]


@pytest.mark.parametrize("key", ["history", None])
def test_the_history_key_keeps_what_the_user_said(
    key: str | None, place_url: str, namespace: str
) -> None:
    """Why every example passes it: without it, LangChain drops input if another process writes."""
    from langchain_core.messages import HumanMessage
    from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
    from langchain_core.runnables import RunnableLambda
    from langchain_core.runnables.history import RunnableWithMessageHistory

    history = BotWireChatMessageHistory("s", namespace=namespace, url=place_url)

    def answer(_: object) -> str:
        history.add_user_message("from elsewhere")
        return "noted"

    model = RunnableLambda(answer)
    prompt = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{question}")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain's own: the class is deprecated
        if key:
            chain = RunnableWithMessageHistory(
                prompt | model,
                lambda _: history,
                input_messages_key="question",
                history_messages_key="history",
            )
            given: object = {"question": "mine"}
        else:
            chain = RunnableWithMessageHistory(model, lambda _: history)
            given = [HumanMessage("mine")]
        chain.invoke(given, {"configurable": {"session_id": "s"}})
    said = [message.content for message in history.messages]
    assert said == (["from elsewhere", "mine", "noted"] if key else ["from elsewhere", "noted"])


@pytest.mark.anyio
async def test_the_classic_buffer(place_url: str, namespace: str) -> None:
    from langchain_classic import memory as classic

    history = BotWireChatMessageHistory("s", namespace=namespace, url=place_url)
    with warnings.catch_warnings(record=True):  # deprecated, with one warning, but still used
        memory = classic.ConversationBufferMemory(chat_memory=history, return_messages=True)
    memory.save_context({"input": "hi"}, {"output": "hello"})
    await memory.asave_context({"input": "bye"}, {"output": "farewell"})
    found = memory.load_memory_variables({})["history"]
    assert [message.content for message in found] == ["hi", "hello", "bye", "farewell"]
    await memory.aclear()
    assert history.messages == []


def test_importing_warns_of_nothing(tmp_path: Path) -> None:
    code = (
        "from botwire_langchain import BotWireChatMessageHistory as H;"
        "H('s', namespace='n', url='sqlite://').add_user_message('hi')"
    )
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", code], check=True)
