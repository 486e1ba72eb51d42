"""Chooses which messages to show to a model, and which to archive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from botwire import ConfigurationError, Item
from botwire.arguments import check_type
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.pairing import TOOL_ROLES, calls_of, with_answered_calls
from botwire_llamaindex.texts import text_of
from botwire_llamaindex.tokens import Tokenizer, count_tokens

_ANSWERS = (*TOOL_ROLES, MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)


class WindowEntry(NamedTuple):
    """A message with the properties that each step needs, computed once.

    Attributes:
        message: The message to show to a model.
        seq: Its sequence number; 0 if it is not stored.
        size: Its number of tokens.
        role: Its role.
        calls: Whether it calls tools or answers a call.
    """

    message: ChatMessage
    seq: int
    size: int
    role: MessageRole
    calls: bool


class Choice(ABC):
    """Takes messages from the newest to the oldest until it has enough to choose from."""

    def __init__(self) -> None:
        self._newest_first: list[WindowEntry] = []
        self._total = 0
        self._begun = False

    @property
    def entries(self) -> list[WindowEntry]:
        """The messages taken so far, oldest first."""
        return self._newest_first[::-1]

    def add(self, message: ChatMessage, seq: int = 0) -> bool:
        """Takes the next older message and returns whether that is enough."""
        size = self._size(message)
        calls = message.role in TOOL_ROLES or bool(calls_of(message))
        return self.add_entry(WindowEntry(message, seq, size, message.role, calls))

    def add_entry(self, entry: WindowEntry) -> bool:
        """Like `add`, for an entry of an earlier choice."""
        self._newest_first.append(entry)
        self._total += entry.size
        self._begun = self._begun or self._begins(entry)
        return self._is_enough()

    def add_entries(self, entries: Sequence[WindowEntry]) -> bool:
        """Like `add_entry`, for entries given oldest first; drops the oldest if not needed."""
        self._newest_first = [*entries[::-1]]
        totals = [*accumulate(entry.size for entry in self._newest_first)]
        begin = next((i for i, one in enumerate(self._newest_first) if self._begins(one)), None)
        self._begun, self._total = begin is not None, totals[-1] if totals else 0
        if begin is None or not self._is_enough():
            return False
        last = max(begin, bisect_right(totals, self._most()))
        self._newest_first, self._total = self._newest_first[: last + 1], totals[last]
        return True

    def _is_enough(self) -> bool:
        return self._begun and self._total > self._most()

    @abstractmethod
    def _most(self) -> float:
        """Returns the number of tokens beyond which older messages cannot matter."""

    @abstractmethod
    def _begins(self, entry: WindowEntry) -> bool:
        """Returns whether the chosen messages may begin with an entry."""

    @abstractmethod
    def _size(self, message: ChatMessage) -> int:
        """Returns how many tokens a message has."""


class Window(Choice):
    """The last whole turns that fit, found from the end.

    The window begins where a turn begins, never with a tool's or an assistant's answer, so that no
    call is split from its answer. If not even the last turn fits, the window is the last turn, and
    the model reports the problem.

    Each message is counted once, by itself: everything that a model is shown of it, including
    thinking and the arguments of tool calls. `ChatMemoryBuffer` instead counts the texts joined by
    spaces, again for each place where the window may begin. For ordinary text the sum is the same.

    Args:
        token_limit: How many tokens fit.
        tokenizer: Splits a text into tokens.
        initial: Number of tokens already used.

    Raises:
        ConfigurationError: More tokens are used than fit.
    """

    def __init__(self, token_limit: int, tokenizer: Tokenizer, initial: int = 0) -> None:
        if check_type(initial, int, "initial_token_count") > token_limit:
            # LlamaIndex's own message, which programs may check for.
            error = ConfigurationError("Initial token count exceeds token limit")
            error.add_note(f"initial_token_count is {initial}, token_limit is {token_limit}")
            raise error
        super().__init__()
        self._room = token_limit - initial
        self._tokenizer = tokenizer
        self._added = count_tokens(tokenizer, "")  # added to each text, such as begin and end

    def messages(self, *, complete: bool, first: ChatMessage | None = None) -> list[ChatMessage]:
        """Returns the window, oldest first.

        Args:
            complete: Whether every message of the history was added.
            first: The history's first message, unless `complete`. A system message stays whatever
                else is dropped.
        """
        system, entries = self._fitting(complete, first)
        messages = [*system, *(entry.message for entry in entries)]
        return with_answered_calls(messages, may_call=any(entry.calls for entry in entries))

    def _fitting(
        self, complete: bool, first: ChatMessage | None
    ) -> tuple[list[ChatMessage], list[WindowEntry]]:
        entries = self.entries
        if not entries:
            return [], []
        if complete and self._total <= self._room:
            return [], _without_orphans(entries)
        if complete:
            first = entries[0].message
        kept = [first] if first is not None and first.role == MessageRole.SYSTEM else []
        room = self._room - sum(map(self._size, kept))
        if kept and entries[0].message == first:
            entries = entries[1:]
        starts = [i for i, entry in enumerate(entries) if entry.role not in _ANSWERS]
        if not starts:
            return kept, entries[_last_that_can_begin(entries) :]
        # The sizes of the last n messages, from n = 1.
        taken = list(accumulate(entry.size for entry in reversed(entries)))
        fitting = (start for start in starts if taken[len(entries) - start - 1] <= room)
        return kept, entries[next(fitting, starts[-1]) :]

    def _most(self) -> float:
        return self._room

    def _begins(self, entry: WindowEntry) -> bool:
        return entry.role not in _ANSWERS

    def _size(self, message: ChatMessage) -> int:
        text = text_of(message)
        return count_tokens(self._tokenizer, f" {text}") - self._added if text else 0


class Queue(Choice):
    """The active messages of a `Memory`, and which of them to archive.

    It archives the same messages as LlamaIndex's own `Memory`: whole turns of at least `flush_size`
    tokens at a time until the others fit, and never the last turn.

    Args:
        limit: How many tokens fit.
        flush_size: Minimum number of tokens to archive.
        size: Counts the tokens of a message.
    """

    def __init__(self, limit: float, flush_size: int, size: Callable[[ChatMessage], int]) -> None:
        super().__init__()
        self._limit = limit
        self._flush_size = max(1, flush_size)  # `Memory` makes it 0 for limits below 10
        self._count = size

    def kept(self) -> list[WindowEntry]:
        """Returns the messages that fit, oldest first."""
        return self.entries[self._overflow() :]

    def archive_up_to(self) -> int | None:
        """Returns the sequence number of the last message to archive, None if all fit."""
        count = self._overflow()
        return self._newest_first[-count].seq if count else None

    def _overflow(self) -> int:
        """Returns how many of the oldest messages to archive."""
        entries = self.entries
        turns = [i for i, entry in enumerate(entries) if entry.role == MessageRole.USER]
        last_turn = turns[-1] if turns else _last_that_can_begin(entries)
        before = [0, *accumulate(entry.size for entry in entries)]  # tokens of the first n messages
        cut = 0
        while cut < last_turn and before[-1] - before[cut] > self._limit:
            end = bisect_left(before, before[cut] + self._flush_size, cut, last_turn)
            cut = next((turn for turn in turns if turn >= end), last_turn)
        return cut

    def _most(self) -> float:
        return self._limit + self._flush_size

    def _begins(self, entry: WindowEntry) -> bool:
        return entry.role == MessageRole.USER

    def _size(self, message: ChatMessage) -> int:
        return self._count(message)


def messages_of(entries: list[WindowEntry]) -> list[ChatMessage]:
    """Returns the messages, the last one as a copy because agents write into it."""
    messages = [entry.message for entry in entries]
    return [*messages[:-1], *(one.model_copy(deep=True) for one in messages[-1:])]


def with_system(messages: list[ChatMessage], first: list[Item], oldest: int) -> list[ChatMessage]:
    """Returns the messages with the system message that the conversation began with.

    Args:
        messages: The messages to show to a model.
        first: The first item of the conversation.
        oldest: The sequence number of the first of the messages.
    """
    found = next(iter(from_items(first)), None)
    if found is None or found[0] == oldest or found[1].role != MessageRole.SYSTEM:
        return messages
    system = found[1]
    if messages and messages[0].role == MessageRole.SYSTEM:  # it comes from memory blocks
        both = messages[0].model_copy(update={"blocks": [*messages[0].blocks, *system.blocks]})
        return [both, *messages[1:]]
    return [system, *messages]


def _last_that_can_begin(entries: Sequence[WindowEntry]) -> int:
    """Returns where to begin if there is no question: never at a tool's answer."""
    return max((i for i, entry in enumerate(entries) if entry.role not in TOOL_ROLES), default=0)


def _without_orphans(entries: list[WindowEntry]) -> list[WindowEntry]:
    """Drops a leading turn that begins with a tool's answer, because its question is missing."""
    start = 0
    if entries[0].role in TOOL_ROLES:
        while start < len(entries) and entries[start].role in _ANSWERS:
            start += 1
    return entries[start:]
