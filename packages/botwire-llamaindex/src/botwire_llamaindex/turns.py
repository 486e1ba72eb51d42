"""Turns: a question and its answer, with no other question in between.

Two concurrent requests on one conversation each write a question, and then an answer to what the
model was shown. An answer is stored only if no other question came after its own. Nothing is locked
and nothing needs to expire: a request that has ended, in any way, blocks no other.

The context of the call (`contextvars`) identifies a turn. The tasks and threads that LlamaIndex
starts to stream an answer inherit it. The steps of an agent's run share no context, only the id of
the run.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from workflows.plugins.basic import get_current_run_id

from botwire import AsyncHistory, ConflictError, History, Item
from botwire.client.encoding import encode_list
from botwire.connection import Connection
from botwire.exact import Json
from botwire.off_loop import off_loop
from botwire.threads import in_thread
from botwire_llamaindex.convert import encoded, refers_to_file, tool_calls

_KNOWN = 16  # conversations with an open turn that a context remembers
_RUNS_KNOWN = 10_000
_LOOKED_AT = 100  # items after a question to search for its answer

Conversation = tuple[str, str | None, str]


@dataclass
class OpenTurn:
    """A question that waits for its answer.

    Attributes:
        last: The sequence number of the turn's last message.
        run: The id of the agent's run that the turn belongs to.
        open: Whether the turn still waits for its answer.
    """

    last: int
    run: str | None
    open: bool = True


_turns: ContextVar[Mapping[Conversation, OpenTurn]] = ContextVar("botwire_llamaindex_turns")
_runs: OrderedDict[tuple[str, Conversation], OpenTurn] = OrderedDict()
_lock = threading.Lock()


class Writing:
    """Messages that are about to be added to a conversation.

    Args:
        connection: The connection to the store.
        name: The name of the conversation's history.
        messages: The messages to add.
        items: What `encoded` returns for them; None: this class calls it.

    Raises:
        ConfigurationError: It is no list of messages.
        NotJSONError: A message holds something that cannot be restored.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        messages: Sequence[ChatMessage],
        items: Sequence[Json] | None = None,
    ) -> None:
        messages = encode_list(messages, "messages", "messages")
        self.items = encoded(messages) if items is None else items
        self._messages = messages
        self._name = name
        self._conversation = (connection.namespace, connection.url, name)
        asks = any(message.role == MessageRole.USER for message in messages)
        self._turn = None if asks or not messages else self._find()

    @classmethod
    async def of(cls, connection: Connection, name: str, messages: Sequence[ChatMessage]) -> Self:
        """Returns the same, after converting large messages in a thread."""
        messages = encode_list(messages, "messages", "messages")
        if any(refers_to_file(message) for message in messages):
            items = await in_thread(encoded, messages)
        else:
            items = await off_loop(encoded, messages)
        return cls(connection, name, messages, items)

    @property
    def after(self) -> int | None:
        """The sequence number that must still be the last; None if that does not matter."""
        return None if self._turn is None else self._turn.last

    def retry_after(self, later: Sequence[Item], error: ConflictError) -> None:
        """Allows the messages to follow items after the turn's last one, unless one is a question.

        Args:
            later: The items after the turn's last message, at least the first of them.
            error: The reason why the messages could not be added there.

        Raises:
            ConflictError: The items begin with another request's question.
        """
        roles = [item.value.get("role") if isinstance(item.value, dict) else "" for item in later]
        if self._turn is None:
            raise error
        role = next((role for role in roles if role in ("user", "assistant", "tool")), None)
        if role == "user":
            raise ConflictError(
                f"another request wrote to the session {self._name!r} since this one asked its "
                "question: only one at a time can answer, and this answer was not stored. Run "
                f"this one again ({error.detail})",
                request_id=error.request_id,
            ) from error
        if role is not None:  # the answer is already there, written where the turn was unknown
            self._turn.open = False
            self._turn = None

    def wrote(self, seqs: Sequence[int]) -> None:
        """Records the sequence numbers of the stored messages."""
        if not seqs:
            return
        turn, last = self._turn, self._messages[-1]
        if turn is None:
            if not any(message.role == MessageRole.USER for message in self._messages):
                return
            turn = self._begin(seqs[-1])
        turn.last = seqs[-1]
        turn.open = last.role not in _ASSISTANT or bool(tool_calls(last) or _older_calls(last))
        if not turn.open and turn.run is not None:
            with _lock:
                _runs.pop((turn.run, self._conversation), None)

    def _find(self) -> OpenTurn | None:
        run = get_current_run_id()
        turn = _turns.get({}).get(self._conversation)
        if (turn is None or turn.run != run) and run is not None:
            turn = _runs.get((run, self._conversation))
        return turn if turn is not None and turn.run == run and turn.open else None

    def _begin(self, last: int) -> OpenTurn:
        turn = OpenTurn(last, get_current_run_id())
        known = {
            key: other
            for key, other in _turns.get({}).items()
            if other.open and key != self._conversation
        }
        _turns.set(dict([*known.items()][1 - _KNOWN :]) | {self._conversation: turn})
        if turn.run is not None:
            with _lock:
                _runs[turn.run, self._conversation] = turn
                if len(_runs) > _RUNS_KNOWN:
                    _runs.popitem(last=False)
        return turn


def add_messages(
    connection: Connection,
    name: str,
    messages: Sequence[ChatMessage],
    *,
    ttl: float | None = None,
) -> None:
    """Appends messages atomically: all or none, with no other writer's in between.

    Args:
        connection: The connection to the store.
        name: The name of the conversation's history.
        messages: The messages to add.
        ttl: Seconds until the conversation then expires; None leaves its expiry as it is.

    Raises:
        ConflictError: The messages are an answer, and another request has added a question since
            theirs was added.
        NotJSONError: A message holds something that cannot be restored.
    """
    history: History = connection.memory.history(name, ttl=ttl)
    writing = Writing(connection, name, messages)
    try:
        seqs = history.extend(writing.items, if_last=writing.after)
    except ConflictError as error:
        writing.retry_after(history.read(writing.after or 0, limit=_LOOKED_AT), error)
        seqs = history.extend(writing.items)
    writing.wrote(seqs)


async def async_add_messages(
    connection: Connection,
    name: str,
    messages: Sequence[ChatMessage],
    *,
    ttl: float | None = None,
) -> None:
    """Like `add_messages`."""
    history: AsyncHistory = connection.async_memory.history(name, ttl=ttl)
    writing = await Writing.of(connection, name, messages)
    try:
        seqs = await history.extend(writing.items, if_last=writing.after)
    except ConflictError as error:
        later = await history.read(writing.after or 0, limit=_LOOKED_AT)
        writing.retry_after(later, error)
        seqs = await history.extend(writing.items)
    writing.wrote(seqs)


_ASSISTANT = (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)


def _older_calls(message: ChatMessage) -> bool:
    return bool(message.additional_kwargs.get("tool_calls"))
