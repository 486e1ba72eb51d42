"""A model of the OpenAI Agents SDK for tests: gives scripted answers, records what it saw."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelResponse, Usage
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
)


def message(text: str) -> ResponseOutputMessage:
    """Returns a model's answer with a text."""
    part = ResponseOutputText(text=text, type="output_text", annotations=[])
    return ResponseOutputMessage(
        id=f"msg_{text}", type="message", role="assistant", content=[part], status="completed"
    )


def call(name: str, call_id: str, **arguments: Any) -> ResponseFunctionToolCall:
    """Returns a model's answer that calls a tool."""
    return ResponseFunctionToolCall(
        id=f"fc_{call_id}",
        type="function_call",
        call_id=call_id,
        name=name,
        arguments=json.dumps(arguments),
    )


class ScriptedModel(Model):
    """A model.

    Args:
        says: Its answers, one after the other: texts, other items of an answer, several of them, or
            an error to raise.

    Attributes:
        received: The input items of each call.
    """

    def __init__(self, *says: str | ResponseOutputItem | list[Any] | Exception) -> None:
        self.says = list(says)
        self.received: list[list[Any]] = []

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],  # noqa: A002 - the SDK's own name
        *args: Any,
        **kwargs: Any,
    ) -> ModelResponse:
        return ModelResponse(output=self._next(input), usage=Usage(), response_id="resp")

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],  # noqa: A002 - the SDK's own name
        *args: Any,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        response = Response(
            id="resp",
            created_at=0,
            model="scripted",
            object="response",
            output=self._next(input),
            tool_choice="none",
            tools=[],
            parallel_tool_calls=False,
        )
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=0
        )

    def _next(self, shown: str | list[Any]) -> list[Any]:
        assert isinstance(shown, list)
        self.received.append(list(shown))
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        output = said if isinstance(said, list) else [said]
        return [message(one) if isinstance(one, str) else one for one in output]
