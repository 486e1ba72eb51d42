"""Scripted models for LlamaIndex."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM

from scripted import reply


def function_calling_llm() -> MockFunctionCallingLLM:
    """Returns a model for agents and chat engines."""
    return MockFunctionCallingLLM(response_generator=_answer)


def _answer(messages: Sequence[ChatMessage], **kwargs: Any) -> ChatMessage:
    told = [message.content or "" for message in messages if message.role == "user"]
    text = reply([message.content or "" for message in messages], told)
    return ChatMessage(role="assistant", content=text)


class ReActLLM(CustomLLM):
    """A model that answers in the format that a ReAct agent expects."""

    @property
    def metadata(self) -> LLMMetadata:
        """Describes the model to LlamaIndex."""
        return LLMMetadata(model_name="scripted")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answers a prompt."""
        told = re.findall(r"^user: (.*)$", prompt, re.MULTILINE)
        answer = reply([prompt], told)
        return CompletionResponse(text=f"Thought: I can answer without a tool.\nAnswer: {answer}")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """Answers a prompt in one piece."""
        whole = self.complete(prompt)
        whole.delta = whole.text
        yield whole
