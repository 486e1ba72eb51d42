"""Conversations: the events of a stream, stored as they are sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack
from uuid import UUID

from ag2 import Context, MemoryStream
from ag2.events import BaseEvent, ModelResponse, ToolResultsEvent
from ag2.utils import AGENT_CONTEXT_DEPENDENCY_KEY

from botwire import AsyncHistory
from botwire.answers import Answerer
from botwire.arguments import check_type
from botwire.client.encoding import encode_each
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_history, uuid_of
from botwire.off_loop import off_loop
from botwire.operations import read_ttl
from botwire_ag2.convert import from_items, own_classes, paired, to_item, to_items


class BotWireStorage(Connected, framework="ag2"):
    """AG2's `ag2.history.Storage` on BotWire: the history of each stream.

    Each event is stored when it is sent. An agent continues in another process with the stream of
    the same name::

        stream = await BotWireStorage("my-app").stream("user-42")
        reply = await agent.ask("hi", stream=stream)

    The history has the stream's name, so another framework's adapter continues it under that name.
    Objects of your own classes come back only if the classes are in `types`; storing any other
    object is an error, and reading never creates one.

    Args:
        namespace: The namespace of the conversations. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        types: Your own classes of events, dataclasses, pydantic models and enums.
        ttl: Seconds after its last event when a stream expires, by the store's clock; None leaves
            its expiry as it is.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        types: Iterable[type] = (),
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self.ttl = read_ttl(ttl)
        self._classes = own_classes(types)
        self._names: dict[UUID, str] = {}
        self._answerers: dict[UUID, Answerer] = {}

    async def stream(self, name: str | UUID) -> MemoryStream:
        """Returns the stream of a conversation, begun here or in another process.

        Args:
            name: Any name; a `UUID` is also the id of the stream.

        Raises:
            ConfigurationError: The name is neither.
        """
        if not isinstance(name, UUID):
            check_history(name)
        stream_id = name if isinstance(name, UUID) else uuid_of(f"botwire:{name}")
        self._names[stream_id] = str(name)
        return MemoryStream(self, id=stream_id)

    def _answerer(self, stream_id: UUID) -> Answerer:
        """Returns what the runs of this object have seen of a stream."""
        if stream_id not in self._answerers:
            conversation = (self.connection.namespace, self._name(stream_id))
            self._answerers[stream_id] = Answerer(conversation)
        return self._answerers[stream_id]

    def _name(self, stream_id: UUID) -> str:
        return self._names.get(stream_id, str(stream_id))

    def _history(self, stream_id: UUID, agent: str | None = None) -> AsyncHistory:
        check_type(stream_id, UUID, "stream_id")
        memory = self.connection.during(agent=agent).async_memory
        return memory.history(self._name(stream_id), ttl=self.ttl)

    async def save_event(self, event: BaseEvent, context: Context) -> None:
        """Stores an event at the end of its stream.

        Raises:
            ConflictError: Another process has written since the answering model saw the stream.
            NotJSONError: The event holds something that could not be read back; the error says
                where.
            ConfigurationError: The event holds an object of a class that is not in `types`.
        """
        stream_id = context.stream.id
        # AG2 gives its runs no ids.
        agent = context.dependencies.get(AGENT_CONTEXT_DEPENDENCY_KEY)
        history = self._history(stream_id, getattr(agent, "name", None))
        item = await off_loop(to_item, event, self._classes)
        answerer = self._answerer(stream_id)
        # Within a process, AG2 answers one request of a stream at a time.
        is_answer = isinstance(event, (ModelResponse, ToolResultsEvent))
        asked = answerer if is_answer else Answerer(answerer.conversation)
        answerer.wrote(
            await asked.answer(
                history,
                lambda last: history.extend([item], if_last=last),
                where=f"the stream {history.name!r}",
                keep=isinstance(event, ToolResultsEvent),
            )
        )

    async def get_history(self, stream_id: UUID) -> Iterable[BaseEvent]:
        """Returns the events of a stream, oldest first.

        If a process ended inside a tool, the call is followed by an answer that says so; what is
        stored does not change.
        """
        history = self._history(stream_id)
        answerer = self._answerer(stream_id)
        last = await answerer.last_seq(history)
        items = await history.read()
        answerer.shown(items, last)
        return paired(await off_loop(from_items, items, self._classes))

    async def set_history(self, stream_id: UUID, events: Iterable[BaseEvent]) -> None:
        """Replaces the events of a stream in one step; the old ones are archived.

        If the new events begin with the stored ones, only the rest is appended.
        """
        given = encode_each(events, BaseEvent, "events", "events")
        items = await off_loop(to_items, given, self._classes)
        history = self._history(stream_id)
        stored = await history.read()
        if [item.value for item in stored] == items[: len(stored)]:
            if items[len(stored) :]:
                self._answerer(stream_id).wrote(await history.extend(items[len(stored) :]))
            return
        async with self.connection.async_memory.transaction() as tx:
            tx.history(history.name).archive(stored[-1].seq)
            if items:
                tx.history(history.name, ttl=self.ttl).extend(items)
        self._answerer(stream_id).wrote(tx.results[1] if items else ())

    async def drop_history(self, stream_id: UUID) -> None:
        """Deletes the events of a stream."""
        await self._history(stream_id).clear()
