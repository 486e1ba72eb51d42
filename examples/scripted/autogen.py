"""A scripted model for AutoGen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogen_core.models import CreateResult, SystemMessage, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from scripted import reply


class ScriptedClient(ReplayChatCompletionClient):
    """A model client that repeats what it was told, by people or by a memory."""

    def __init__(self) -> None:
        super().__init__(["unused"])

    async def create(self, messages: Sequence[Any], **kwargs: Any) -> CreateResult:
        """Answers messages."""
        memories = [
            line.removeprefix("- ")
            for message in messages
            if isinstance(message, SystemMessage)
            for line in message.content.splitlines()
            if line.startswith("- ")
        ]
        said = [str(message.content) for message in messages if isinstance(message, UserMessage)]
        text = reply([str(message.content) for message in messages], [*memories, *said])
        self.chat_completions = [text]
        self._current_index = 0
        return await super().create(messages, **kwargs)
