"""Microsoft Agent Framework speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from agent_framework import Content, Message

from botwire import Item
from botwire_agent_framework import convert
from tests.across.speakers.said import Said, Speaker, text


class AgentFramework(Speaker):
    """Its messages."""

    def to_items(self, messages: Sequence[Message]) -> list[Any]:
        return [convert.to_item(message) for message in messages]

    def from_items(self, items: Sequence[Item]) -> list[Message]:
        return convert.from_items(items)

    def message(self, said: Said) -> Message:
        if said.role == "tool":
            result = Content.from_function_result(str(said.answers), result=said.text)
            return Message("tool", [result])
        contents = [Content.from_text(said.text)] if said.text else []
        contents += [Content.from_function_call(i, n, arguments=a) for i, n, a in said.calls]
        return Message(said.role, contents)

    def said(self, message: Message) -> Said:
        if message.role == "tool":
            (result,) = message.contents
            return Said("tool", str(result.result), answers=result.call_id)
        calls = [one for one in message.contents if one.type == "function_call"]
        return Said(
            message.role,
            message.text,
            tuple((str(c.call_id), str(c.name), text(c.parse_arguments())) for c in calls),
        )


if __name__ == "__main__":
    asyncio.run(AgentFramework().serve())
