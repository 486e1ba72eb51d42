"""Which messages a model is given: the last whole turns that fit, found from the end."""

from __future__ import annotations

import json
from bisect import bisect_left
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
        self._added = 0  # to each text, such as a begin and an end; part of no message
        self._newest_first: list[ChatMessage] = []
        self._estimate = 0
        self._begun = False

    def add(self, message: ChatMessage) -> bool:
        """Takes the next older message and says whether it is enough."""
        if not self._newest_first:
            self._added = len(self._tokenizer(""))
        self._newest_first.append(message)
        self._begun = self._begun or _begins_turn(message)
        self._estimate += len(self._tokenizer(f" {_text(message)}")) - self._added
        # The parts do not add up exactly to the whole, which is counted at the end: one tenth more.
        return self._begun and self._estimate > self._room + self._room // 10

    def messages(self, *, complete: bool, first: ChatMessage | None = None) -> list[ChatMessage]:
        """Returns the window, oldest first.

        Args:
            complete: Whether every message of the history was added.
            first: The history's first message, unless `complete`: a system message stays whatever
                else is dropped.
        """
        messages = self._newest_first[::-1]
        if not messages:
            return []
        if complete and self._fits(messages):
            return _without_orphans(messages)
        if complete:
            first = messages[0]
        kept = [first] if first is not None and first.role == MessageRole.SYSTEM else []
        if kept and messages[0] == first:
            messages = messages[1:]
        starts = [i for i, message in enumerate(messages) if _begins_turn(message)]
        if not starts:  # nobody asked anything: at least no answer of a tool without its call
            calls = [i for i, message in enumerate(messages) if message.role not in _TOOL]
            return [*kept, *messages[calls[-1] if calls else 0 :]]
        # The later the start, the fewer tokens: the first that fits need not be looked for in turn.
        fitting = bisect_left(starts, 1, key=lambda i: int(self._fits([*kept, *messages[i:]])))
        return [*kept, *messages[starts[min(fitting, len(starts) - 1)] :]]

    def _fits(self, messages: Sequence[ChatMessage]) -> bool:
        return len(self._tokenizer(" ".join(_text(message) for message in messages))) <= self._room


def _begins_turn(message: ChatMessage) -> bool:
    return message.role not in _ANSWERS


def _without_orphans(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Drops a leading turn that begins with a tool's answer: its question is not there."""
    start = 0
    if messages[0].role in _TOOL:
        while start < len(messages) and not _begins_turn(messages[start]):
            start += 1
    return messages[start:]


def calls_text(message: ChatMessage) -> list[str]:
    """Returns the tool calls of a message as a model is given them, more or less."""
    return [
        f"{block.tool_name} {json.dumps(block.tool_kwargs, default=str)}"
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _text(message: ChatMessage) -> str:
    return " ".join([str(message.content), *calls_text(message)])
