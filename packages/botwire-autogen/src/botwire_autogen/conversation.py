"""A conversation as a history: which process may write to it, and how it restores earlier states.

Nothing is deleted. Messages that a state does not show are archived. Restoring a state appends
copies of its messages, so that every other state, older or newer, can still be restored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from botwire import (
    AsyncHistory,
    AsyncMemory,
    ConfigurationError,
    ConflictError,
    HistoryInfo,
)
from botwire.answers import Answerer, Answerers
from botwire.connection import Connection
from botwire.operations import check_count
from botwire_autogen.acting import acting

PREFIX = "autogen/context/"
"""The prefix of the keys that hold the state that each conversation was last put into."""

AGENT_PREFIX = "autogen/agent/"
"""The prefix of the keys that hold the agent that owns a conversation without a name."""


@dataclass(frozen=True)
class Reference:
    """A saved state: a reference to messages, without their contents.

    Attributes:
        namespace: The namespace of the history.
        name: The history.
        first: The sequence number of the first message; if there are none, the one after `last`.
        last: The last sequence number of the history when the state was saved.
        count: The number of messages.
    """

    namespace: str
    name: str
    first: int
    last: int
    count: int

    @classmethod
    def read(cls, value: Any) -> Reference:
        """Returns the reference that `to_value` wrote.

        Raises:
            ConfigurationError: The value is something else.
        """
        try:
            reference = cls(**value)
        except TypeError as error:
            raise ConfigurationError(f"not a saved state of a BotWire context: {error}") from error
        for field in ("first", "last", "count"):
            check_count(getattr(reference, field), f"{field} of the saved state")
        return reference

    def to_value(self) -> dict[str, Any]:
        """Returns the reference as a JSON object."""
        return asdict(self)


class Conversation:
    """The messages of one context, as items of a history.

    Each task that shows the messages to a model remembers the last one. The model's answer is
    stored only if that message is still the last, so two requests at once never mix.

    Args:
        connection: The connection to the store.
        name: The history.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection
        # The version of the key that says which state was loaded. None: this object has neither
        # saved nor loaded a state, so loads elsewhere do not affect it.
        self._generation: int | None = None
        self._loaded: tuple[Reference, int] | None = None  # with the last sequence number then
        self._answerers = Answerers(connection.namespace)

    @property
    def _memory(self) -> AsyncMemory:
        return self._connection.async_memory

    @property
    def history(self) -> AsyncHistory:
        """The messages, for reading; only this class writes."""
        return self._memory.history(self.name)

    async def add(
        self,
        item: Any,
        where: str,
        *,
        agent: str | None = None,
        answers: bool = False,
        keep: bool = False,
    ) -> int:
        """Stores an item and returns its sequence number.

        Args:
            item: An envelope.
            where: What errors call the conversation.
            agent: The agent that said it, for one that no runtime runs.
            answers: Store the item only if no other request has written since this task's model
                saw the messages.
            keep: Store the item even then, and raise the error afterwards.

        Raises:
            ConflictError: Another request has written, or another process has loaded a state.
        """
        answerer = self.answerer if answers else Answerer((self._connection.namespace, self.name))
        # The agent that the runtime names takes precedence.
        now = acting()
        memory = self._connection.during(agent=now.agent or agent, run=now.run).async_memory
        (seq,) = await answerer.answer(
            memory.history(self.name),
            lambda last: self._append(memory, item, last),
            where=where,
            keep=keep,
        )
        return seq

    async def _append(self, memory: AsyncMemory, item: Any, last: int | None) -> list[int]:
        if self._generation is None:
            return await memory.history(self.name).extend([item], if_last=last)
        async with memory.transaction() as tx:
            tx.check(PREFIX + self.name, self._generation)
            tx.history(self.name).extend([item], if_last=last)
        return list(tx.results[0])

    async def begin(self, items: Sequence[Any]) -> None:
        """Stores the first items of a history that never had items."""
        with suppress(ConflictError):  # it has begun, here or in another process
            await self.history.extend(items, if_last=0)

    async def claim(self, agent: str) -> str:
        """Returns the agent that owns this conversation: the first that claimed it."""
        key = AGENT_PREFIX + self.name
        owner = await self._memory.get(key)
        if owner is None:
            with suppress(ConflictError):
                await self._memory.set(key, agent, if_version=0)
                return agent
            owner = await self._memory.get(key)
        return str(owner)

    # --- what a task has seen

    @property
    def answerer(self) -> Answerer:
        """The running task's view of the conversation."""
        return self._answerers.of_task(self.name)

    async def last_seq(self) -> int:
        """Returns the sequence number of the last item ever stored, deleted or not."""
        return await self.answerer.last_seq(self.history)

    # --- states

    async def clear(self) -> None:
        """Archives all items."""
        info = await self.history.info()
        async with self._memory.transaction() as tx:
            if self._generation is not None:
                tx.check(PREFIX + self.name, self._generation)
            tx.history(self.name).archive(info.last_seq)
        self.answerer.saw(None)

    async def save(self) -> Reference:
        """Returns the current state; a `load` elsewhere now blocks this object's writes."""
        info = await self.history.info()
        if self._generation is None:
            await self._read_mark()
        if self._loaded is not None and self._loaded[1] == info.last_seq:
            return self._loaded[0]
        first = info.last_seq - info.count + 1
        if info.count and info.last_seq != info.count + info.archived:
            # Numbers are missing: some items were deleted, no matter where.
            (item,) = await self.history.read(limit=1)
            first = item.seq
        return Reference(self._connection.namespace, self.name, first, info.last_seq, info.count)

    async def load(self, reference: Reference) -> None:
        """Restores the messages of a state, and blocks writes by the objects that held it before.

        Raises:
            ConfigurationError: The state is of another namespace, or its messages were deleted.
            ConflictError: Another process wrote in the meantime.
        """
        if reference.namespace != self._connection.namespace:
            raise ConfigurationError(
                f"the state is of the namespace {reference.namespace!r}, and this context is in "
                f"{self._connection.namespace!r}"
            )
        info = await self.history.info()
        await self._read_mark()
        if await self._shows(reference, info):
            await self._mark(self._loaded or (reference, info.last_seq))
            return
        items = []
        if reference.count:
            items = await self._memory.history(reference.name).read(
                reference.first - 1, reference.count, archived=True
            )
        if len(items) != reference.count or (items and items[-1].seq > reference.last):
            raise ConfigurationError(
                f"the state is of {reference.count} messages of the context {reference.name!r}, "
                "and some of them were deleted since"
            )
        await self._show([item.value for item in items], info, reference)

    async def show(self, items: Sequence[Any]) -> None:
        """Archives all items and shows these instead."""
        info = await self.history.info()
        await self._read_mark()
        await self._show(items, info, None)

    async def _shows(self, reference: Reference, info: HistoryInfo) -> bool:
        if info.count != reference.count:
            return False
        if self._loaded is not None and self._loaded[1] == info.last_seq:
            return self._loaded[0] == reference
        self._loaded = None
        return reference.name == self.name and reference.last == info.last_seq

    async def _show(
        self, items: Sequence[Any], info: HistoryInfo, reference: Reference | None
    ) -> None:
        last = info.last_seq + len(items)
        if reference is None:
            first = info.last_seq + 1
            reference = Reference(self._connection.namespace, self.name, first, last, len(items))
        mark = (reference, last)
        assert self._generation is not None  # read before
        async with self._memory.transaction() as tx:
            tx.set(PREFIX + self.name, _written(mark), if_version=self._generation)
            if info.last_seq:
                tx.history(self.name).archive(info.last_seq)
            if items:
                tx.history(self.name).extend(items, if_last=info.last_seq)
        self._generation, self._loaded = int(tx.results[0]), mark
        self.answerer.saw(None)

    async def _mark(self, mark: tuple[Reference, int]) -> None:
        assert self._generation is not None  # read before
        self._generation = await self._memory.set(
            PREFIX + self.name, _written(mark), if_version=self._generation
        )
        self._loaded = mark
        self.answerer.saw(None)

    async def _read_mark(self) -> None:
        entry = await self._memory.entry(PREFIX + self.name)
        self._generation, self._loaded = 0, None
        if entry is not None:
            self._generation = entry.version
            self._loaded = Reference.read(entry.value["state"]), entry.value["last"]


def _written(mark: tuple[Reference, int]) -> Mapping[str, Any]:
    return {"state": mark[0].to_value(), "last": mark[1]}
