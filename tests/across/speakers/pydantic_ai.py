"""Pydantic AI speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic_ai.conversation_store import ConversationEntry
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from botwire import Item
from botwire_pydantic_ai import convert
from tests.across.speakers.said import Said, Speaker, text


class PydanticAI(Speaker):
    """Its messages."""

    def to_items(self, messages: Sequence[ModelMessage]) -> list[Any]:
        entries = [ConversationEntry(parent_id=None, message=message) for message in messages]
        return [value for entry in entries for value in convert.to_items(entry, "message")]

    def from_items(self, items: Sequence[Item]) -> list[ModelMessage]:
        read = [convert.read(item, "history") for item in items]
        return [stored.message for stored in read if stored.message is not None]

    def message(self, said: Said) -> ModelMessage:
        if said.role == "system":
            return ModelRequest([SystemPromptPart(said.text)])
        if said.role == "user":
            return ModelRequest([UserPromptPart(said.text)])
        if said.role == "tool":
            return ModelRequest([ToolReturnPart("weather", said.text, str(said.answers))])
        calls = [ToolCallPart(name, args, id) for id, name, args in said.calls]
        return ModelResponse([TextPart(said.text), *calls])

    def said(self, message: ModelMessage) -> Said:
        if isinstance(message, ModelResponse):
            calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
            return Said(
                "assistant",
                "".join(part.content for part in message.parts if isinstance(part, TextPart)),
                tuple((c.tool_call_id, c.tool_name, text(c.args_as_dict())) for c in calls),
            )
        (part,) = message.parts
        if isinstance(part, ToolReturnPart):
            return Said("tool", part.model_response_str(), answers=part.tool_call_id)
        assert isinstance(part, (SystemPromptPart, UserPromptPart))
        role = "system" if isinstance(part, SystemPromptPart) else "user"
        return Said(role, str(part.content))


if __name__ == "__main__":
    asyncio.run(PydanticAI().serve())
