"""A scripted generator for Haystack."""

from __future__ import annotations

from haystack import component
from haystack.dataclasses import ChatMessage, ChatRole

from scripted import reply


@component
class ScriptedGenerator:
    """A chat generator that repeats what people said before."""

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, list[ChatMessage]]:
        """Answers in one piece."""
        said = [message.text or "" for message in messages if message.is_from(ChatRole.USER)]
        text = reply([message.text or "" for message in messages], said)
        return {"replies": [ChatMessage.from_assistant(text)]}
