"""A scripted model for the OpenAI Agents SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelResponse, Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from scripted import reply


class ScriptedModel(Model):
    """A model that repeats what people said before."""

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],  # noqa: A002 - the SDK's own name
        *args: Any,
        **kwargs: Any,
    ) -> ModelResponse:
        """Answers in one piece."""
        items = [{"role": "user", "content": input}] if isinstance(input, str) else input
        texts = [(item.get("role"), _text(item.get("content"))) for item in items]
        text = reply([text for _, text in texts], [text for role, text in texts if role == "user"])
        part = ResponseOutputText(text=text, type="output_text", annotations=[])
        message = ResponseOutputMessage(
            id="__fake_id__", type="message", role="assistant", content=[part], status="completed"
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Is not needed here."""
        raise NotImplementedError


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)
