"""The OpenAI Agents SDK speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from botwire import Item
from botwire_openai_agents import convert
from tests.across.speakers.said import Said, Speaker, text

Items = list[Any]
"""What the SDK has for one message of others: a text and each call are items of their own."""


class OpenAIAgents(Speaker):
    """Its items."""

    def to_items(self, messages: Sequence[Items]) -> list[Any]:
        return convert.to_items([item for items in messages for item in items])

    def from_items(self, items: Sequence[Item]) -> list[Items]:
        return [group for _, group in convert.from_items(items)]

    def message(self, said: Said) -> Items:
        if said.role == "tool":
            output = {"call_id": said.answers, "output": said.text}
            return [{"type": "function_call_output", **output}]
        parts: Items = [{"role": said.role, "content": said.text}]
        calls = [
            {"type": "function_call", "call_id": i, "name": n, "arguments": a}
            for i, n, a in said.calls
        ]
        return (parts if said.text or not calls else []) + calls

    def said(self, message: Items) -> Said:
        if message[0].get("type") == "function_call_output":
            return Said("tool", message[0]["output"], answers=message[0]["call_id"])
        calls = [one for one in message if one.get("type") == "function_call"]
        return Said(
            message[0].get("role", "assistant"),
            message[0].get("content", ""),
            tuple((c["call_id"], c["name"], text(json.loads(c["arguments"]))) for c in calls),
        )


if __name__ == "__main__":
    asyncio.run(OpenAIAgents().serve())
