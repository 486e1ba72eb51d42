"""Which messages a model is given, and which are put away."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

from llama_index.core.base.llms.types import (
    ChatMessage,
    MessageRole,
    ThinkingBlock,
    ToolCallBlock,
)

from botwire import ConfigurationError, Item
from botwire.tool_calls import NOT_COMPLETED, CallIds, pair_answers
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.tokens import Tokenizer, count_tokens

_TOOL = (MessageRole.TOOL, MessageRole.FUNCTION)
_ANSWERS = (*_TOOL, MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)


class Window:
    """The last whole turns that fit, found from the end.

    Takes messages from the newest to the oldest until no older one can fit. The window begins where
    a turn begins: never with a tool's answer or an assistant's, so that no call is split from its
    answer. If not even the last turn fits, it is the last turn, for the model to complain about.

    A message counts what it has by itself, once: what a model is given of it, thinking and the
    arguments of tool calls included. `ChatMemoryBuffer` counts the texts joined by spaces, anew for
    each place where the window may begin; of what people write, the sum is the same.

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
        self._added = count_tokens(tokenizer, "")  # to each text, such as a begin and an end
        self._newest_first: list[ChatMessage] = []
        self._sizes: list[int] = []  # of the same
        self._total = 0
        self._begun = False

    def add(self, message: ChatMessage) -> bool:
        """Takes the next older message and says whether it is enough."""
        size = self._size(message)
        self._newest_first.append(message)
        self._sizes.append(size)
        self._begun = self._begun or _begins_turn(message)
        self._total += size
        return self._begun and self._total > self._room

    def messages(self, *, complete: bool, first: ChatMessage | None = None) -> list[ChatMessage]:
        """Returns the window, oldest first.

        Args:
            complete: Whether every message of the history was added.
            first: The history's first message, unless `complete`: a system message stays whatever
                else is dropped.
        """
        return with_answered_calls(self._fitting(complete, first))

    def _fitting(self, complete: bool, first: ChatMessage | None) -> list[ChatMessage]:
        messages = self._newest_first[::-1]
        if not messages:
            return []
        if complete and self._total <= self._room:
            return _without_orphans(messages)
        if complete:
            first = messages[0]
        kept = [first] if first is not None and first.role == MessageRole.SYSTEM else []
        room = self._room - sum(map(self._size, kept))
        if kept and messages[0] == first:
            messages = messages[1:]
        starts = [i for i, message in enumerate(messages) if _begins_turn(message)]
        if not starts:
            return [*kept, *messages[_last_that_can_begin(messages) :]]
        taken = list(accumulate(self._sizes[: len(messages)]))  # by the last n messages, from n = 1
        fitting = (start for start in starts if taken[len(messages) - start - 1] <= room)
        return [*kept, *messages[next(fitting, starts[-1]) :]]

    def _size(self, message: ChatMessage) -> int:
        text = _text(message)
        return count_tokens(self._tokenizer, f" {text}") - self._added if text else 0


class Shown(dict[tuple[str, int], ChatMessage]):
    """The messages that a memory has last given a model, by conversation and sequence number.

    A memory gives the same objects again: LlamaIndex's agents write the state of a run into the
    user's message, once, and expect it to be there at the next step. What is stored stays as it
    was, and a copy or a dump of the memory has none of it.
    """

    def __reduce__(self) -> tuple[type[Shown], tuple[()]]:
        return Shown, ()


class ItemWindow(Window):
    """A window over stored items.

    Args:
        token_limit: As for `Window`.
        tokenizer: As for `Window`.
        initial: As for `Window`.
        key: Of the conversation.
        shown: What was shown last; holds what this window has looked at once it is done.
    """

    def __init__(
        self, token_limit: int, tokenizer: Tokenizer, initial: int, *, key: str, shown: Shown
    ) -> None:
        super().__init__(token_limit, tokenizer, initial)
        self._key = key
        self._shown = shown
        self._seen = Shown()

    def add_item(self, item: Item) -> bool:
        """Takes the next older item, if it can be read, and says whether it is enough."""
        message = self._shown.get((self._key, item.seq))
        if message is None:
            found = from_items([item])
            if not found:
                return False
            message = found[0][1]
        self._seen[self._key, item.seq] = message
        return self.add(message)

    def messages(self, *, complete: bool, first: ChatMessage | None = None) -> list[ChatMessage]:
        """As `Window.messages`."""
        self._shown.clear()
        self._shown.update(self._seen)
        return super().messages(complete=complete, first=first)


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
        before = [0, *accumulate(sizes)]  # what the first n messages take
        cut = 0
        while cut < last_turn and before[-1] - before[cut] > self._limit:
            end = bisect_left(before, before[cut] + self._flush_size, cut, last_turn)
            cut = next((turn for turn in turns if turn >= end), last_turn)
        return cut


def with_answered_calls(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Returns messages in which each call of a tool has its answer; see `botwire.tool_calls`.

    Models refuse a conversation without, each time from then on. A call at the end is left alone:
    its answer may be on the way.
    """
    known = _call_ids(messages)
    answered: set[str] = set()
    on_the_way: list[str] = []
    for index in range(len(known) - 1, -1, -1):
        if known[index].calls:
            # Under names of their own: an id may have been used before, and lost its answer then.
            calls = [
                call if call in answered else f"{call} of {index}" for call in known[index].calls
            ]
            on_the_way = [call for call in calls if call not in answered]
            known[index] = CallIds(calls=calls)
        if not known[index].answers:
            break
        answered.update(known[index].answers)
    found = {id(message): ids for message, ids in zip(messages, known, strict=True)}
    return pair_answers(
        messages,
        ids=lambda message: found[id(message)],
        close=lambda message, positions: [
            _not_completed(found[id(message)].calls[position]) for position in positions
        ],
        settled=on_the_way,
    )


def _call_ids(messages: Sequence[ChatMessage]) -> list[CallIds]:
    """Returns which calls each message makes, and which it answers.

    Some models and older programs give no ids: a call then has one of its own, and an answer is
    that to the first call before it that waits for one.
    """
    known: list[CallIds] = []
    waiting: list[str] = []
    for index, message in enumerate(messages):
        if message.role in _TOOL:
            named = message.additional_kwargs.get("tool_call_id")
            answer = named or (waiting[0] if waiting else f"{index}")
            if answer in waiting:
                waiting.remove(answer)
            known.append(CallIds(answers=(str(answer),)))
            continue
        calls = [name or f"{index}.{i}" for i, name in enumerate(_calls(message))]
        if calls or message.role == MessageRole.USER:
            waiting = list(calls)
        known.append(CallIds(calls=calls))
    return known


def _calls(message: ChatMessage) -> list[str | None]:
    """Returns the id of each call, None for one that has none."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [block.tool_call_id for block in blocks]
    older = message.additional_kwargs.get("tool_calls")  # where calls were before blocks
    if not isinstance(older, list):
        return []
    return [one.get("id") if isinstance(one, dict) else getattr(one, "id", None) for one in older]


def _not_completed(call: str) -> ChatMessage:
    return ChatMessage(
        role=MessageRole.TOOL, content=NOT_COMPLETED, additional_kwargs={"tool_call_id": call}
    )


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


def _text(message: ChatMessage) -> str:
    thinking = [block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock)]
    return " ".join([str(message.content), *thinking, *calls_text(message)])
