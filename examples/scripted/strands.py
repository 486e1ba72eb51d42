"""A scripted model for Strands Agents."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from strands.models import Model
from strands.types.content import Messages
from strands.types.streaming import StreamEvent

from scripted import reply


class ScriptedModel(Model):
    """A model that repeats what people said before."""

    def update_config(self, **model_config: Any) -> None:
        """Changes nothing."""

    def get_config(self) -> Any:
        """Returns an empty configuration."""
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        """Returns nothing: no example asks for it."""
        raise NotImplementedError

    async def stream(
        self, messages: Messages, *args: Any, **kwargs: Any
    ) -> AsyncIterable[StreamEvent]:
        """Yields an answer."""
        texts = [
            (message["role"], block["text"])
            for message in messages
            for block in message["content"]
            if "text" in block
        ]
        said = [text for role, text in texts if role == "user"]
        answer = reply([text for _, text in texts], said)
        for event in events([{"text": answer}]):
            yield event


def events(blocks: list[Any]) -> list[StreamEvent]:
    """Returns the events of an answer, given its blocks."""
    found: list[StreamEvent] = [{"messageStart": {"role": "assistant"}}]
    for block in blocks:
        use = block.get("toolUse")
        started: Any = {"start": {"toolUse": use} if use else {}}
        delta: Any = {"toolUse": {"input": "{}"}} if use else {"text": block["text"]}
        found.append({"contentBlockStart": started})
        found.append({"contentBlockDelta": {"delta": delta}})
        found.append({"contentBlockStop": {}})
    calls = any("toolUse" in block for block in blocks)
    found.append({"messageStop": {"stopReason": "tool_use" if calls else "end_turn"}})
    return found
