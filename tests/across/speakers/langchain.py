"""LangChain speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from botwire import Item
from botwire_langchain import BotWireChatMessageHistory, convert
from tests.across.speakers.said import PIXEL_URL, SESSION, Said, Speaker, text


class LangChain(Speaker):
    """Its messages."""

    def to_items(self, messages: Sequence[BaseMessage]) -> list[Any]:
        return convert.to_items(messages)

    def from_items(self, items: Sequence[Item]) -> list[BaseMessage]:
        return [message for _, message in convert.from_items(items)]

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

    def picture(self) -> BaseMessage:
        image = {"type": "image_url", "image_url": {"url": PIXEL_URL}}
        return HumanMessage([{"type": "text", "text": "look"}, image])

    def session(self, namespace: str, url: str) -> BotWireChatMessageHistory:
        return BotWireChatMessageHistory(SESSION, namespace=namespace, url=url)

    async def add(self, session: BotWireChatMessageHistory, message: BaseMessage) -> None:
        await session.aadd_messages([message])

    async def all(self, session: BotWireChatMessageHistory) -> Sequence[BaseMessage]:
        return await session.aget_messages()


if __name__ == "__main__":
    asyncio.run(LangChain().serve())
