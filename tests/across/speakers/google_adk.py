"""Google ADK speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from google.adk.events import Event
from google.genai import types

from botwire import Item
from botwire_google_adk import convert
from tests.across.speakers.said import Said, Speaker, text


class GoogleADK(Speaker):
    """Its events. It has no system messages."""

    def to_items(self, messages: Sequence[Event]) -> list[Any]:
        return [item for message in messages for item in convert.to_items(message)]

    def from_items(self, items: Sequence[Item]) -> list[Event]:
        return convert.from_items(items)

    def write(self, told: list[Any]) -> list[Any]:
        return super().write([one for one in told if one["role"] != "system"])

    def message(self, said: Said) -> Event:
        parts = [types.Part(text=said.text)] if said.text or not said.calls else []
        for id, name, arguments in said.calls:
            call = types.FunctionCall(id=id, name=name, args=json.loads(arguments))
            parts.append(types.Part(function_call=call))
        if said.role == "tool":
            result = {"result": said.text}
            answer = types.FunctionResponse(id=said.answers, name="tool", response=result)
            parts = [types.Part(function_response=answer)]
        model = said.role == "assistant"
        content = types.Content(role="model" if model else "user", parts=parts)
        return Event(author="agent" if model else "user", content=content)

    def said(self, message: Event) -> Said:
        content = message.content or types.Content()
        for answer in message.get_function_responses():
            return Said("tool", (answer.response or {})["result"], answers=answer.id)
        calls = message.get_function_calls()
        return Said(
            "assistant" if content.role == "model" else "user",
            "".join(part.text or "" for part in content.parts or ()),
            tuple((call.id or "", call.name or "", text(call.args)) for call in calls),
        )


if __name__ == "__main__":
    asyncio.run(GoogleADK().serve())
