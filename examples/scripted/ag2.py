"""A scripted model for AG2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ag2.config import LLMClient
from ag2.events import BaseEvent, ModelMessage, ModelRequest, ModelResponse, TextInput
from ag2.testing import TestConfig

from scripted import reply


class ScriptedConfig(TestConfig):
    """The configuration of a model that repeats what people said before."""

    def create(self) -> Any:
        """Returns the model."""
        return _Client()


class _Client(LLMClient):
    async def __call__(
        self, messages: Sequence[BaseEvent], context: Any, **options: Any
    ) -> ModelResponse:
        said = [
            part.content
            for message in messages
            if isinstance(message, ModelRequest)
            for part in message.parts
            if isinstance(part, TextInput)
        ]
        answer = ModelMessage(reply([str(message) for message in messages], said))
        await context.send(answer)
        return ModelResponse(answer)
