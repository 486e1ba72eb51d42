"""A conversation that one framework wrote is read by the others: in every direction, all of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from agent_framework import Content
from agent_framework import Message as AgentMessage
from autogen_core import FunctionCall, Image
from autogen_core import models as autogen
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)

from botwire import Item
from botwire_agent_framework import convert as agent_framework
from botwire_autogen import BotWireChatCompletionContext, llm_messages
from botwire_langchain import BotWireChatMessageHistory
from botwire_langchain import convert as langchain
from botwire_llamaindex import BotWireChatStore
from botwire_llamaindex import convert as llamaindex

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Said:
    """A message as anybody would tell it: who, what, the calls of tools, or which is answered."""

    role: str
    text: str
    calls: tuple[tuple[str, str, str], ...] = ()  # id, name, arguments as JSON
    answers: str | None = None


class LangChain:
    """Its messages."""

    def write(self, said: Iterable[Said]) -> list[Any]:
        return langchain.to_items([self.message(one) for one in said])

    def read(self, items: Sequence[Item]) -> list[Said]:
        return [self.said(message) for _, message in langchain.from_items(items)]

    def message(self, said: Said) -> BaseMessage:
        if said.role == "system":
            return SystemMessage(said.text)
        if said.role == "user":
            return HumanMessage(said.text)
        if said.role == "tool":
            return ToolMessage(said.text, tool_call_id=said.answers, name="weather")
        calls = [{"id": i, "name": n, "args": json.loads(a)} for i, n, a in said.calls]
        return AIMessage(said.text, tool_calls=calls)

    def said(self, message: BaseMessage) -> Said:
        roles = {"human": "user", "ai": "assistant"}
        calls = getattr(message, "tool_calls", [])
        return Said(
            roles.get(message.type, message.type),
            str(message.text),
            tuple((call["id"], call["name"], text(call["args"])) for call in calls),
            getattr(message, "tool_call_id", None),
        )


class LlamaIndex:
    """Its messages."""

    def write(self, said: Iterable[Said]) -> list[Any]:
        return llamaindex.to_items([self.message(one) for one in said])

    def read(self, items: Sequence[Item]) -> list[Said]:
        return [self.said(message) for _, message in llamaindex.from_items(items)]

    def message(self, said: Said) -> ChatMessage:
        blocks: list[Any] = [TextBlock(text=said.text)] if said.text else []
        blocks += [
            ToolCallBlock(tool_call_id=i, tool_name=n, tool_kwargs=json.loads(a))
            for i, n, a in said.calls
        ]
        extra = {} if said.answers is None else {"tool_call_id": said.answers, "name": "weather"}
        return ChatMessage(role=MessageRole(said.role), blocks=blocks, additional_kwargs=extra)

    def said(self, message: ChatMessage) -> Said:
        calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
        return Said(
            message.role.value,
            message.content or "",
            tuple((str(c.tool_call_id), c.tool_name, text(c.tool_kwargs)) for c in calls),
            message.additional_kwargs.get("tool_call_id"),
        )


class AutoGen:
    """Its messages."""

    def write(self, said: Iterable[Said]) -> list[Any]:
        return [llm_messages.to_item(self.message(one)) for one in said]

    def read(self, items: Sequence[Item]) -> list[Said]:
        found = llm_messages.from_items(items)
        return [self.said(message) for message in found]

    def message(self, said: Said) -> autogen.LLMMessage:
        if said.role == "system":
            return autogen.SystemMessage(content=said.text)
        if said.role == "user":
            return autogen.UserMessage(content=said.text, source="user")
        if said.role == "tool":
            result = autogen.FunctionExecutionResult(
                content=said.text, call_id=str(said.answers), name="weather", is_error=False
            )
            return autogen.FunctionExecutionResultMessage(content=[result])
        if not said.calls:
            return autogen.AssistantMessage(content=said.text, source="bot")
        calls = [FunctionCall(id=i, name=n, arguments=a) for i, n, a in said.calls]
        return autogen.AssistantMessage(content=calls, thought=said.text or None, source="bot")

    def said(self, message: autogen.LLMMessage) -> Said:
        if isinstance(message, autogen.SystemMessage):
            return Said("system", message.content)
        if isinstance(message, autogen.UserMessage):
            return Said("user", str(message.content))
        if isinstance(message, autogen.FunctionExecutionResultMessage):
            (result,) = message.content
            return Said("tool", result.content, answers=result.call_id)
        if isinstance(message.content, str):
            return Said("assistant", message.content)
        calls = tuple((c.id, c.name, text(json.loads(c.arguments))) for c in message.content)
        return Said("assistant", message.thought or "", calls)


class AgentFramework:
    """Its messages."""

    def write(self, said: Iterable[Said]) -> list[Any]:
        return [agent_framework.to_item(self.message(one)) for one in said]

    def read(self, items: Sequence[Item]) -> list[Said]:
        return [self.said(message) for message in agent_framework.from_items(items)]

    def message(self, said: Said) -> AgentMessage:
        if said.role == "tool":
            return AgentMessage(
                "tool", [Content.from_function_result(str(said.answers), result=said.text)]
            )
        contents = [Content.from_text(said.text)] if said.text else []
        contents += [Content.from_function_call(i, n, arguments=a) for i, n, a in said.calls]
        return AgentMessage(said.role, contents)

    def said(self, message: AgentMessage) -> Said:
        if message.role == "tool":
            (result,) = message.contents
            return Said("tool", str(result.result), answers=result.call_id)
        calls = [one for one in message.contents if one.type == "function_call"]
        return Said(
            message.role,
            message.text,
            tuple((str(c.call_id), str(c.name), text(c.parse_arguments())) for c in calls),
        )


FRAMEWORKS: dict[str, Any] = {
    "langchain": LangChain(),
    "llamaindex": LlamaIndex(),
    "autogen": AutoGen(),
    "agent-framework": AgentFramework(),
}
EVERY = pytest.mark.parametrize("reader", FRAMEWORKS)
BY_EVERY = pytest.mark.parametrize("writer", FRAMEWORKS)


def text(arguments: Any) -> str:
    return json.dumps(arguments, sort_keys=True)


def items(values: Iterable[Any]) -> list[Item]:
    return [
        Item(seq=i, id=f"i{i}", value=value, created_at=datetime.now(UTC))
        for i, value in enumerate(values, start=1)
    ]


CONVERSATION = [
    Said("system", "You are kind."),
    Said("user", "What is the weather in Oslo and 日本? 😀"),
    Said(
        "assistant",
        "I shall look.",
        (("c1", "weather", text({"city": "Oslo"})), ("c2", "weather", text({"city": "日本"}))),
    ),
    Said("tool", "12 degrees", answers="c1"),
    Said("tool", "", answers="c2"),
    Said("assistant", "", (("c3", "none", "{}"),)),
    Said("tool", "nothing", answers="c3"),
    Said("assistant", "It is 12 degrees."),
]


@EVERY
@BY_EVERY
def test_what_one_wrote_another_reads(writer: str, reader: str) -> None:
    written = items(FRAMEWORKS[writer].write(CONVERSATION))
    assert FRAMEWORKS[reader].read(written) == CONVERSATION


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ids = st.text("abcdefghijklmnop0123456789-_", min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
calls = st.tuples(ids, ids, st.dictionaries(words, json_values, max_size=3).map(text))
said = st.one_of(
    st.builds(Said, st.sampled_from(["system", "user"]), words),
    st.builds(Said, st.just("assistant"), words, st.lists(calls, max_size=3).map(tuple)),
    st.builds(Said, st.just("tool"), words, st.just(()), ids),
)


@given(st.lists(said, max_size=5), st.sampled_from(list(FRAMEWORKS)))
def test_whatever_is_said_is_read_by_all(conversation: list[Said], writer: str) -> None:
    written = items(FRAMEWORKS[writer].write(conversation))
    for reader in FRAMEWORKS.values():
        assert reader.read(written) == conversation


@pytest.mark.parametrize("reader", ["langchain", "llamaindex", "autogen"])
def test_a_text_with_an_image_keeps_its_text_elsewhere_and_its_image_at_home(reader: str) -> None:
    url = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
    from_langchain = HumanMessage(
        [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
    )
    from_llamaindex = ChatMessage(blocks=[TextBlock(text="look"), ImageBlock(image=PIXEL)])
    from_autogen = autogen.UserMessage(
        content=["look", Image.from_uri(url)],
        source="user",
    )
    written = items([
        *langchain.to_items([from_langchain]), *llamaindex.to_items([from_llamaindex]),
        llm_messages.to_item(from_autogen),
    ])  # fmt: skip
    if reader == "langchain":
        found: list[Any] = [message for _, message in langchain.from_items(written)]
        assert found[0] == from_langchain
        assert [str(message.text) for message in found[1:]] == ["look", "look"]
    elif reader == "llamaindex":
        found = [message for _, message in llamaindex.from_items(written)]
        assert found[1] == from_llamaindex
        assert (found[0].content, found[2].content) == ("look", "look")
    else:
        found = llm_messages.from_items(written)
        assert found[2].content[1].data_uri == from_autogen.content[1].data_uri  # type: ignore[union-attr]
        assert (found[0].content, found[1].content) == ("look", "look")


async def test_a_session_goes_from_one_to_the_other_and_on(shared_url: str, namespace: str) -> None:
    """Each framework's own classes, in turn, on one history."""
    history = BotWireChatMessageHistory("session/1", namespace=namespace, url=shared_url)
    store = BotWireChatStore(namespace=namespace, url=shared_url)
    context = BotWireChatCompletionContext(namespace, name="session/1", url=shared_url)

    async def add_to_context(one: Said) -> None:
        await context.add_message(FRAMEWORKS["autogen"].message(one))

    async def add_to_store(one: Said) -> None:
        await store.async_add_message("session/1", FRAMEWORKS["llamaindex"].message(one))

    async def add_to_history(one: Said) -> None:
        await history.aadd_messages([FRAMEWORKS["langchain"].message(one)])

    writers: list[Callable[[Said], Any]] = [add_to_history, add_to_store, add_to_context]
    for i, one in enumerate(CONVERSATION):
        await writers[i % 3](one)
    assert [FRAMEWORKS["langchain"].said(m) for m in await history.aget_messages()] == CONVERSATION
    found = await store.aget_messages("session/1")
    assert [FRAMEWORKS["llamaindex"].said(m) for m in found] == CONVERSATION
    assert [FRAMEWORKS["autogen"].said(m) for m in await context.get_messages()] == CONVERSATION
