"""A scripted model for Google ADK."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from google.adk.models import BaseLlm, LlmResponse
from google.genai import types

from scripted import reply


class ScriptedModel(BaseLlm):
    """A model that repeats what people said before."""

    model: str = "scripted"

    async def generate_content_async(
        self, llm_request: Any, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yields an answer."""
        texts = [
            (content.role, part.text)
            for content in llm_request.contents
            for part in content.parts or ()
            if part.text
        ]
        said = [text for role, text in texts if role == "user"]
        answer = types.Part(text=reply([text for _, text in texts], said))
        yield LlmResponse(content=types.Content(role="model", parts=[answer]))
