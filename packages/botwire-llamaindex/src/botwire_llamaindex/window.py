"""Which messages a model is given: the last whole turns that fit, found from the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock

from botwire import ConfigurationError

Tokenizer = Callable[[str], Sequence[Any]]
"""Splits a text into tokens."""

_TOOL = (MessageRole.TOOL, MessageRole.FUNCTION)
_ANSWERS = (*_TOOL, MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)


class Window:
    """Takes messages from the newest to the oldest until no older one can fit.

    The window begins where a turn begins: never with a tool's answer or an assistant's, so that
    no call is split from its answer. If not even the last turn fits, it is the last turn, for the
    model to complain about.

    Tokens are counted as `ChatMemoryBuffer` does, on the texts joined by spaces, and the arguments
    of tool calls, which a model is given too, are counted with them.

    Args:
        token_limit: How many tokens fit.
        tokenizer: Splits a text.
        initial: Tokens that are taken already.

    Raises:
        ConfigurationError: More tokens are taken than fit.
    """

    def __init__(self, token_limit: int, tokenizer: Tokenizer, initial: int = 0) -> None:
        if initial > token_limit:
            raise ConfigurationError(
                f"{initial} tokens are taken before any message, and the limit is {token_limit}"
            )
        self._room = token_limit - initial
        self._tokenizer = tokenizer
        self._newest_first: list[ChatMessage] = []
        self._least = 0
        self._begun_turns = 0

    def add(self, message: ChatMessage) -> bool:
        """Takes the next older message and says whether it is enough."""
        self._newest_first.append(message)
        if message.role not in _ANSWERS:
            self._begun_turns += 1
        # Joining two texts can save a token at the seam, and no more.
        self._least += max(0, len(self._tokenizer(_text(message))) - 1)
        return self._least > self._room and self._begun_turns > 0

    def messages(self, *, complete: bool, first: ChatMessage | None = None) -> list[ChatMessage]:
        """Returns the window, oldest first.

        Args:
            complete: Whether every message of the history was added.
            first: The history's first message, where it is not among those added: a system
                message stays whatever else is dropped.
        """
        messages = self._newest_first[::-1]
        if not messages:
            return []
        system = first if first is not None and first.role == MessageRole.SYSTEM else None
        if complete:
            if self._fits(messages):
                return _without_orphans(messages)
            if messages[0].role == MessageRole.SYSTEM:
                system, messages = messages[0], messages[1:]
        kept = [system] if system is not None else []
        starts = [i for i, message in enumerate(messages) if message.role not in _ANSWERS]
        for start in starts:
            if self._fits([*kept, *messages[start:]]):
                return [*kept, *messages[start:]]
        last = messages[starts[-1] :] if starts else messages[-1:]
        return [*kept, *last]

    def _fits(self, messages: Sequence[ChatMessage]) -> bool:
        return len(self._tokenizer(" ".join(_text(message) for message in messages))) <= self._room


def _without_orphans(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Drops a leading turn that begins with a tool's answer: its question is not there."""
    start = 0
    if messages[0].role in _TOOL:
        while start < len(messages) and messages[start].role in _ANSWERS:
            start += 1
    return messages[start:]


def _text(message: ChatMessage) -> str:
    calls = [
        f"{block.tool_name} {json.dumps(block.tool_kwargs, default=str)}"
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    return " ".join([str(message.content), *calls])
