"""A scripted model for Agno."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

from scripted import reply


class ScriptedModel(Model):
    """A model that recalls, remembers what it is told, and repeats what it recalled."""

    def invoke(self, messages: list[Message], *args: Any, **kwargs: Any) -> ModelResponse:
        """Calls both tools, then answers."""
        asked = str(messages[-1].content)
        if messages[-1].role == "user":
            calls = [("recall", {"query": asked}), ("remember", {"text": asked})]
            return ModelResponse(
                role="assistant",
                tool_calls=[
                    {
                        "id": f"call-{name}",
                        "type": "function",
                        "function": {"name": name, "arguments": json.dumps(arguments)},
                    }
                    for name, arguments in calls
                ],
            )
        recalled = [str(one.content) for one in messages if one.tool_name == "recall"]
        told = [text.partition(" (id ")[0] for text in recalled if " (id " in text]
        texts = [str(message.content) for message in messages]
        return ModelResponse(role="assistant", content=reply(texts, [*told, asked]))

    async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Like `invoke`."""
        return self.invoke(*args, **kwargs)

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        """Yields the answer in one piece."""
        yield self.invoke(*args, **kwargs)

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        """Like `invoke_stream`."""
        yield self.invoke(*args, **kwargs)

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        raise NotImplementedError  # `invoke` returns what it would be parsed to

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError
