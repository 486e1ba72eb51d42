"""Strands Agents speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from strands.types.session import SessionMessage

from botwire import Item
from botwire_strands import convert
from tests.across.speakers.said import Said, Speaker, text


class Strands(Speaker):
    """Its messages. It has no system messages."""

    def to_items(self, messages: Sequence[SessionMessage]) -> list[Any]:
        return [item for message in messages for item in convert.to_items(message)]

    def from_items(self, items: Sequence[Item]) -> list[SessionMessage]:
        return convert.from_items(items)

    def write(self, told: list[Any]) -> list[Any]:
        return super().write([one for one in told if one["role"] != "system"])

    def message(self, said: Said) -> SessionMessage:
        content: list[Any] = [{"text": said.text}] if said.text else []
        content += [
            {"toolUse": {"toolUseId": i, "name": n, "input": json.loads(a)}}
            for i, n, a in said.calls
        ]
        if said.role == "tool":
            result = {"toolUseId": said.answers, "status": "success"}
            content = [{"toolResult": {**result, "content": [{"text": said.text}]}}]
        role: Any = "assistant" if said.role == "assistant" else "user"
        return SessionMessage.from_message({"role": role, "content": content}, 0)  # type: ignore[typeddict-item]

    def said(self, message: SessionMessage) -> Said:
        content: list[Any] = list(message.to_message()["content"])
        for block in content:
            if "toolResult" in block:
                result = block["toolResult"]
                return Said("tool", result["content"][0]["text"], answers=result["toolUseId"])
        uses = [block["toolUse"] for block in content if "toolUse" in block]
        return Said(
            message.to_message()["role"],
            "".join(block["text"] for block in content if "text" in block),
            tuple((use["toolUseId"], use["name"], text(use["input"])) for use in uses),
        )


if __name__ == "__main__":
    asyncio.run(Strands().serve())
