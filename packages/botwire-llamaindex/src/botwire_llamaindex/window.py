"""Which messages a model is given, and which are put away."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import accumulate

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock

from botwire import ConfigurationError, Item
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.tokens import Tokenizer, count_tokens

_TOOL = (MessageRole.TOOL, MessageRole.FUNCTION)
_A_FEW = 10  # tokens
_ANSWERS = (*_TOOL, MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)


class Window:
    """The last whole turns that fit, found from the end.

    Takes messages from the newest to the oldest until no older one can fit. The window begins where
    a turn begins: never with a tool's answer or an assistant's, so that no call is split from its
    answer. If not even the last turn fits, it is the last turn, for the model to complain about.

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
            self._added = count_tokens(self._tokenizer, "")
        self._newest_first.append(message)
        self._begun = self._begun or _begins_turn(message)
        self._estimate += self._size(message)
        return self._begun and self._surely_over(self._estimate)

    def messages(self, *, complete: bool, first: ChatMessage | None = None) -> list[ChatMessage]:
        """Returns the window, oldest first.

        Args:
            complete: Whether every message of the history was added.
            first: The history's first message, unless `complete`: a system message stays whatever
                else is dropped.
        """
        return without_broken_calls(self._fitting(complete, first))

    def _fitting(self, complete: bool, first: ChatMessage | None) -> list[ChatMessage]:
        messages = self._newest_first[::-1]
        if not messages:
            return []
        if complete and self._fits(messages, self._estimate):
            return _without_orphans(messages)
        if complete:
            first = messages[0]
        kept = [first] if first is not None and first.role == MessageRole.SYSTEM else []
        if kept and messages[0] == first:
            messages = messages[1:]
        starts = [i for i, message in enumerate(messages) if _begins_turn(message)]
        if not starts:
            return [*kept, *messages[_last_that_can_begin(messages) :]]
        taken = sum(map(self._size, kept))
        sizes = [taken, *map(self._size, reversed(messages))]
        from_end = list(accumulate(sizes))  # what is taken by the last n messages
        for start in starts[:-1]:
            estimate = from_end[len(messages) - start]
            if not self._surely_over(estimate) and self._fits([*kept, *messages[start:]], estimate):
                return [*kept, *messages[start:]]
        return [*kept, *messages[starts[-1] :]]

    def _size(self, message: ChatMessage) -> int:
        text = _text(message)
        return count_tokens(self._tokenizer, f" {text}") - self._added if text else 0

    def _surely_over(self, estimate: int) -> bool:
        # The parts do not add up exactly to the whole; of what people write, they are never off by
        # more than a tenth and a few.
        return estimate > self._room + self._room // 10 + _A_FEW

    def _fits(self, messages: Sequence[ChatMessage], estimate: int) -> bool:
        if estimate + estimate // 10 + _A_FEW <= self._room:
            return True
        whole = " ".join(_text(message) for message in messages)
        return count_tokens(self._tokenizer, whole) <= self._room


class Queue:
    """The active messages of a `Memory`, and which of them are too many.

    Takes messages from the newest to the oldest until it is sure which ones to put away. They are
    those that stock's `Memory` puts away: at least `flush_size` tokens at a time, whole turns,
    until the others fit, and never the last turn.

    Args:
        limit: How many tokens fit.
        flush_size: How many tokens to put away at least.
        size: Counts the tokens of a message.
    """

    def __init__(self, limit: float, flush_size: int, size: Callable[[ChatMessage], int]) -> None:
        self._limit = limit
        self._flush_size = max(1, flush_size)  # `Memory` makes it 0 for limits below 10
        self._size = size
        self._newest_first: list[tuple[Item, ChatMessage, int]] = []
        self._total = 0
        self._begun = False

    def add(self, item: Item) -> bool:
        """Takes the next older item and says whether it is enough."""
        for _, message in from_items([item]):
            size = self._size(message)
            self._newest_first.append((item, message, size))
            self._total += size
            self._begun = self._begun or message.role == MessageRole.USER
        return self._begun and self._total > self._limit + self._flush_size

    def kept(self) -> list[tuple[Item, ChatMessage]]:
        """Returns the messages that fit with their items, oldest first."""
        pairs = [(item, message) for item, message, _ in reversed(self._newest_first)]
        return pairs[self._overflow() :]

    def archive_up_to(self) -> int | None:
        """Returns the sequence number of the last message to put away, None if all fit."""
        count = self._overflow()
        return self._newest_first[-count][0].seq if count else None

    def _overflow(self) -> int:
        """Returns how many of the oldest messages to put away."""
        messages = [message for _, message, _ in reversed(self._newest_first)]
        sizes = [size for _, _, size in reversed(self._newest_first)]
        turns = [i for i, message in enumerate(messages) if message.role == MessageRole.USER]
        last_turn = turns[-1] if turns else _last_that_can_begin(messages)
        cut = 0
        while cut < last_turn and sum(sizes[cut:]) > self._limit:
            end = cut
            while end < last_turn and sum(sizes[cut:end]) < self._flush_size:
                end += 1
            cut = next((turn for turn in turns if turn >= end), last_turn)
        return cut


def without_broken_calls(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Leaves out calls of tools that were never answered, and answers to no call.

    Models refuse a conversation with such a thing, each time from then on. One that appends a turn
    message by message, as LlamaIndex's own buffer and other programs do, leaves it behind when it
    dies in between. A call at the end is left alone: its answer may be on the way. So is all that
    is not certain: there are models whose answers name their call otherwise than the call does.
    """
    kept: list[ChatMessage] = []
    i = 0
    while i < len(messages):
        message = messages[i]
        end = i + 1
        while end < len(messages) and messages[end].role in _TOOL:
            end += 1
        answers = messages[i + 1 : end]
        if message.role in _TOOL:  # the first of all
            pass
        elif _begins_turn(message):
            kept.append(message)
        elif len(answers) >= _count_calls(message) or end == len(messages):
            kept += [message, *answers]
        elif message.content:  # what it said besides calling
            kept.append(_without_calls(message))
        i = end
    return kept


def calls_text(message: ChatMessage) -> list[str]:
    """Returns the tool calls of a message as a model is given them, more or less."""
    return [
        f"{block.tool_name} {json.dumps(block.tool_kwargs, default=str)}"
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _begins_turn(message: ChatMessage) -> bool:
    return message.role not in _ANSWERS


def _last_that_can_begin(messages: Sequence[ChatMessage]) -> int:
    """Where to begin if nobody asked anything: at least not with the answer of a tool."""
    return max((i for i, message in enumerate(messages) if message.role not in _TOOL), default=0)


def _without_orphans(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Drops a leading turn that begins with a tool's answer: its question is not there."""
    start = 0
    if messages[0].role in _TOOL:
        while start < len(messages) and not _begins_turn(messages[start]):
            start += 1
    return messages[start:]


def _count_calls(message: ChatMessage) -> int:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    older = message.additional_kwargs.get("tool_calls")  # where calls were before blocks
    return max(len(blocks), len(older) if isinstance(older, list) else 0)


def _without_calls(message: ChatMessage) -> ChatMessage:
    extra = {key: part for key, part in message.additional_kwargs.items() if key != "tool_calls"}
    blocks = [block for block in message.blocks if not isinstance(block, ToolCallBlock)]
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": extra})


def _text(message: ChatMessage) -> str:
    return " ".join([str(message.content), *calls_text(message)])
