"""LlamaIndex speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)

from botwire import Item
from botwire_llamaindex import BotWireChatStore, convert
from tests.across.speakers.said import PIXEL, SESSION, Said, Speaker, text


class LlamaIndex(Speaker):
    """Its messages."""

    def to_items(self, messages: Sequence[ChatMessage]) -> list[Any]:
        return convert.to_items(messages)

    def from_items(self, items: Sequence[Item]) -> list[ChatMessage]:
        return [message for _, message in convert.from_items(items)]

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

    def picture(self) -> ChatMessage:
        return ChatMessage(blocks=[TextBlock(text="look"), ImageBlock(image=PIXEL)])

    def session(self, namespace: str, url: str) -> BotWireChatStore:
        return BotWireChatStore(namespace=namespace, url=url)

    async def add(self, session: BotWireChatStore, message: ChatMessage) -> None:
        await session.async_add_message(SESSION, message)

    async def all(self, session: BotWireChatStore) -> Sequence[ChatMessage]:
        return await session.aget_messages(SESSION)


if __name__ == "__main__":
    asyncio.run(LlamaIndex().serve())
