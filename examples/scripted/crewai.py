"""A scripted model and an embedder for CrewAI."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from crewai import BaseLLM
from pydantic import BaseModel

from scripted import reply

DIMENSIONS = 256

# CrewAI reads these when a crew is made. An example that runs offline sends nothing home.
os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")


class ScriptedLLM(BaseLLM):
    """Does a task with the memories that CrewAI gives it, and names what is worth remembering."""

    def call(
        self,
        messages: Any,
        *args: Any,
        response_model: type[BaseModel] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answers an agent, or one of the questions that CrewAI's memory asks a model."""
        texts = (
            [messages]
            if isinstance(messages, str)
            else [str(message["content"]) for message in messages]
        )
        if response_model is None:
            memories = re.findall(r"^- \(score=[\d.]+\) (.*)$", texts[-1], re.MULTILINE)
            return reply(texts, [*memories, _part(r"Current Task: (.*)", texts[-1])])
        if response_model.__name__ == "ExtractedMemories":
            said = _part(r"Task: (.*)", texts[-1])
            return response_model(memories=[] if said.endswith("?") else [said])
        if response_model.__name__ == "MemoryAnalysis":
            return response_model(suggested_scope="/")
        return response_model()  # an analysis whose defaults will do

    async def acall(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """Like `call`, for `Crew.akickoff`."""
        return self.call(messages, *args, **kwargs)

    def supports_function_calling(self) -> bool:
        """Says whether CrewAI may ask for structured answers."""
        return True


def embed(texts: list[str]) -> list[list[float]]:
    """Returns a vector for each text, with one position per word."""
    return [_vector(text) for text in texts]


def _vector(text: str) -> list[float]:
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4]) % DIMENSIONS] += 1.0
    length = sum(part * part for part in vector) ** 0.5
    return [part / length for part in vector] if length else vector


def _part(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1].strip() if found else ""
