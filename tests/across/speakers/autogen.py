"""AutoGen speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from autogen_core import FunctionCall, Image
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)

from botwire import Item
from botwire_autogen import BotWireChatCompletionContext, llm_messages
from tests.across.speakers.said import PIXEL_URL, SESSION, Said, Speaker, text


class AutoGen(Speaker):
    """Its messages."""

    def to_items(self, messages: Sequence[LLMMessage]) -> list[Any]:
        return [llm_messages.to_item(message) for message in messages]

    def from_items(self, items: Sequence[Item]) -> list[LLMMessage]:
        return llm_messages.from_items(items)

    def message(self, said: Said) -> LLMMessage:
        if said.role == "system":
            return SystemMessage(content=said.text)
        if said.role == "user":
            return UserMessage(content=said.text, source="user")
        if said.role == "tool":
            result = FunctionExecutionResult(
                content=said.text, call_id=str(said.answers), name="weather", is_error=False
            )
            return FunctionExecutionResultMessage(content=[result])
        if not said.calls:
            return AssistantMessage(content=said.text, source="bot")
        calls = [FunctionCall(id=i, name=n, arguments=a) for i, n, a in said.calls]
        return AssistantMessage(content=calls, thought=said.text or None, source="bot")

    def said(self, message: LLMMessage) -> Said:
        if isinstance(message, SystemMessage):
            return Said("system", message.content)
        if isinstance(message, UserMessage):
            return Said("user", str(message.content))
        if isinstance(message, FunctionExecutionResultMessage):
            (result,) = message.content
            return Said("tool", result.content, answers=result.call_id)
        if isinstance(message.content, str):
            return Said("assistant", message.content)
        calls = tuple((c.id, c.name, text(json.loads(c.arguments))) for c in message.content)
        return Said("assistant", message.thought or "", calls)

    def picture(self) -> LLMMessage:
        return UserMessage(content=["look", Image.from_uri(PIXEL_URL)], source="user")

    def is_picture(self, message: LLMMessage) -> bool:
        if not isinstance(message.content, list):
            return False
        said, image = message.content
        return said == "look" and image.data_uri == self.picture().content[1].data_uri

    def session(self, namespace: str, url: str) -> BotWireChatCompletionContext:
        return BotWireChatCompletionContext(namespace, name=SESSION, url=url)

    async def add(self, session: BotWireChatCompletionContext, message: LLMMessage) -> None:
        await session.add_message(message)

    async def all(self, session: BotWireChatCompletionContext) -> Sequence[LLMMessage]:
        return await session.get_messages()


if __name__ == "__main__":
    asyncio.run(AutoGen().serve())
