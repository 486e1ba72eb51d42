"""A scripted model for Pydantic AI."""

from __future__ import annotations

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from scripted import reply


def _respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    parts = [part for message in messages for part in message.parts]
    texts = [str(part.content) for part in parts if isinstance(part, (TextPart, UserPromptPart))]
    said = [str(part.content) for part in parts if isinstance(part, UserPromptPart)]
    return ModelResponse([TextPart(reply(texts, said))])


def scripted_model() -> FunctionModel:
    """Returns a model that repeats what people said before."""
    return FunctionModel(_respond)
