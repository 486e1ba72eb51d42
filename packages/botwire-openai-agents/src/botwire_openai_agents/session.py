"""A conversation as a session of the OpenAI Agents SDK."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, Unpack

from agents import (
    AgentSpanData,
    RunContextWrapper,
    SessionSettings,
    get_current_span,
    get_current_trace,
)
from agents.items import TResponseInputItem
from agents.memory import SessionABC

from botwire import AsyncHistory, AsyncMemory, ConfigurationError, Item
from botwire.answers import Answerer
from botwire.arguments import check_type
from botwire.connection import Acting, Connected, ConnectionOptions, check_namespace_of
from botwire.names import check_history
from botwire.off_loop import off_loop
from botwire.operations import MAX_PAGE, read_ttl
from botwire_openai_agents.compaction import SessionTail, take_snapshot
from botwire_openai_agents.convert import from_items, has_own_id, is_question, to_items, waits


@dataclass
class _Run:
    """What one run of an agent has seen of a session.

    Attributes:
        unanswered: The unanswered questions at the end of what it was shown.
    """

    answerer: Answerer
    unanswered: list[Any] = field(default_factory=list)


def _acting() -> Acting:
    """Returns the agent of the SDK's current span, and the id of its trace."""
    span, trace = get_current_span(), get_current_trace()
    data = None if span is None else span.span_data
    # The span of a turn names the agent too; releases before 0.23 have none.
    agent = data.name if isinstance(data, AgentSpanData) else getattr(data, "agent_name", None)
    # With tracing turned off there are spans, but all traces have one id.
    is_traced = trace is not None and trace.trace_id != "no-op"
    return Acting(agent, trace.trace_id if trace is not None and is_traced else None)


class BotWireSession(
    Connected, SessionABC, framework="openai-agents", acting=_acting, shows="session_id"
):
    """A session on BotWire: ``Runner.run(agent, "hi", session=BotWireSession("user-42"))``.

    The items of one call are appended in one step and stay contiguous, however many processes write
    to the session. Its history has the session's id as its name, so the adapter of another
    framework continues the conversation under that name.

    If two runs of one session overlap, one is refused with a `ConflictError`: what a run produces
    is stored only if nothing was added since it read the session. If a run failed and left its
    question unanswered at the end, repeating the run does not store the question again.

    Args:
        session_id: The conversation.
        namespace: The namespace of the session. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds after its last write when the session expires; None: never. An expired session
            is empty, and the next write starts it afresh.
        session_settings: The SDK's settings, such as how many of the last items to read.
        namespace_of: Returns the namespace of a run, given its ``context``, so that one session
            object serves many users. Replaces `namespace`.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        session_id: str,
        *,
        namespace: str | None = None,
        ttl: float | None = None,
        session_settings: SessionSettings | Mapping[str, Any] | None = None,
        namespace_of: Callable[[Any], str] | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_namespace_of(namespace, namespace_of)
        if isinstance(session_settings, Mapping):
            if unknown := session_settings.keys() - {one.name for one in fields(SessionSettings)}:
                raise ConfigurationError(f"session_settings has no {min(unknown)!r}")
            try:
                session_settings = SessionSettings(**session_settings)
            except ValueError as error:
                raise ConfigurationError(f"session_settings: {error}") from error
        if not isinstance(session_settings, (SessionSettings, NoneType)):
            raise ConfigurationError(
                "session_settings must be a SessionSettings or a dict, not "
                f"{type(session_settings).__name__}"
            )
        self.session_id = check_history(session_id)
        self.session_settings = session_settings or SessionSettings()
        super().__init__(namespace, **connection)
        self.ttl = read_ttl(ttl)
        self._namespace_of = namespace_of
        self._runs: weakref.WeakKeyDictionary[RunContextWrapper[Any], _Run]
        self._runs = weakref.WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a copy or a pickle contains: all but the runs in this process."""
        return {name: value for name, value in vars(self).items() if name != "_runs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a copy or a pickle."""
        self.__dict__.update(state, _runs=weakref.WeakKeyDictionary())

    async def get_items(
        self, limit: int | None = None, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> list[TResponseInputItem]:
        """Returns the items, oldest first.

        Args:
            limit: How many of the last items to return; negative: all. Unset: the limit of
                `session_settings`, else all.
            wrapper: The run that reads; the SDK passes it.
        """
        history = self._history(wrapper)
        if limit is None:
            limit = self.session_settings.limit if self.session_settings else None
        if limit is not None and not isinstance(limit, int):
            raise ConfigurationError(f"limit must be an int, not {type(limit).__name__}")
        last, run = 0, None
        if wrapper is not None:
            run = self._runs.get(wrapper)
            if run is None:
                run = self._runs[wrapper] = _Run(Answerer(self._conversation(wrapper)))
            last = await run.answerer.last_seq(history)
        if limit is None or limit < 0:
            items = await history.read()
            groups = [group for _, group in await off_loop(from_items, items)]
        else:
            items, groups = await _last(history, limit)
        if run is not None:
            run.answerer.begins()
            run.answerer.shown(items, last)
            run.unanswered = _unanswered(items)
        found = [item for group in groups for item in group]
        return found if limit is None or limit < 0 else found[len(found) - min(limit, len(found)) :]

    async def add_items(
        self,
        items: list[TResponseInputItem],
        *,
        wrapper: RunContextWrapper[Any] | None = None,
    ) -> None:
        """Appends items atomically: all or none, with no other writer's in between.

        Outside a run, items with their own ids are not stored again if they are already the last
        ones, so a call whose answer was lost can be repeated.

        Args:
            items: What to append.
            wrapper: The run that writes; the SDK passes it.

        Raises:
            ConflictError: Another run has written to the session since this one read it.
            NotJSONError: An item could not be read back; the error says which one and where.
        """
        if isinstance(items, (str, Mapping)) or not isinstance(items, Sequence):
            raise ConfigurationError(f"items must be a list of items, not a {type(items).__name__}")
        if not items:
            return
        values = await off_loop(to_items, items)
        history = self._history(wrapper)
        run = None if wrapper is None else self._runs.get(wrapper)
        if run is None:
            if any(map(has_own_id, items)) and await history.tail(len(values)) == values:
                return
            writer = Answerer(self._conversation(wrapper))  # has seen nothing, so it may write
            written = await writer.answer(
                history, lambda _: history.extend(values), where=f"the session {self.session_id!r}"
            )
            self._wrote(written, wrapper)
            return
        repeated = run.unanswered[-len(values) :] == values
        run.unanswered = []
        if not repeated:
            await run.answerer.answer(
                history,
                lambda last: history.extend(values, if_last=last),
                where=f"the session {self.session_id!r}",
            )
            if waits(values):  # a person may take days to answer while others continue
                run.answerer.saw(None)

    async def pop_item(
        self, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> TResponseInputItem | None:
        """Deletes the last item and returns it; None if there is none.

        Args:
            wrapper: The run that writes; the SDK passes it.
        """
        history = self._history(wrapper)
        async for stored in history.newest_first(page_size=1):
            held = [item for _, group in from_items([stored]) for item in group]
            if len(held) > 1:  # a message of another framework: only its last part is deleted
                async with self._memory(wrapper).transaction() as tx:
                    tx.history(history.name).delete(stored.seq)
                    tx.history(history.name, ttl=self.ttl).extend(to_items(held[:-1]))
            elif not await history.delete(stored.seq):
                continue  # another process was faster
            if held:
                return held[-1]
        return None

    async def clear_session(self, *, wrapper: RunContextWrapper[Any] | None = None) -> None:
        """Deletes the items.

        Args:
            wrapper: The run that writes; the SDK passes it.
        """
        await self._history(wrapper).clear()

    async def metadata(self, *, wrapper: RunContextWrapper[Any] | None = None) -> dict[str, Any]:
        """Returns the session's metadata, an empty dict if none was set."""
        return await self._history(wrapper).metadata()

    async def set_metadata(
        self, metadata: Mapping[str, Any], *, wrapper: RunContextWrapper[Any] | None = None
    ) -> None:
        """Replaces the session's metadata, such as title and owner, for `list_sessions`.

        Args:
            metadata: A JSON object of at most 16 KB.
            wrapper: A run, whose context tells the namespace; see ``namespace_of``.
        """
        await self._history(wrapper).set_metadata(metadata)

    async def _get_compaction_snapshot(
        self,
        limit: int,
        *,
        prune_prefix: Callable[[TResponseInputItem], bool] | None = None,
    ) -> SessionTail | None:
        """Returns the last items, for `OpenAIResponsesCompactionSession` to replace atomically.

        Releases of the SDK from 0.23 on look for this method.
        """
        if self._namespace_of is not None:
            return None  # there is no run that gives the namespace
        memory = self.connection.async_memory
        return await take_snapshot(memory, self.session_id, limit, prune_prefix, self._wrote)

    def _wrote(self, seqs: Sequence[int], wrapper: RunContextWrapper[Any] | None = None) -> None:
        # A compaction, or a tool that adds to its run's session, causes no conflict.
        writer = Answerer(self._conversation(wrapper))
        writer.wrote(seqs)
        for run in list(self._runs.values()):
            if run.answerer.conversation == writer.conversation:
                run.answerer.wrote(seqs)

    def _conversation(self, wrapper: RunContextWrapper[Any] | None) -> tuple[str, str]:
        return self._memory(wrapper).namespace, self.session_id

    def _memory(self, wrapper: RunContextWrapper[Any] | None) -> AsyncMemory:
        memory = self.connection.async_memory
        if wrapper is not None:
            check_type(wrapper, RunContextWrapper, "wrapper")
        if self._namespace_of is None:
            return memory
        if wrapper is None:
            raise ConfigurationError(
                f"the session {self.session_id!r} takes its namespace from a run's context, so it "
                "is used by a run, or with wrapper=RunContextWrapper(context)"
            )
        return memory.with_namespace(self._namespace_of(wrapper.context))

    def _history(self, wrapper: RunContextWrapper[Any] | None) -> AsyncHistory:
        return self._memory(wrapper).history(self.session_id, ttl=self.ttl)


async def _last(
    history: AsyncHistory, limit: int
) -> tuple[list[Item], list[list[TResponseInputItem]]]:
    """Returns the last stored values that together hold `limit` items, and these items."""
    items: list[Item] = []
    groups: list[list[TResponseInputItem]] = []
    left = limit
    async for item in history.newest_first(page_size=max(1, min(limit, MAX_PAGE))):
        items.append(item)
        read = await off_loop(from_items, [item])
        groups += [group for _, group in read]
        left -= sum(len(group) for _, group in read)
        if left <= 0:
            break
    return items[::-1], groups[::-1]


def _unanswered(items: Sequence[Item]) -> list[Any]:
    start = len(items)
    while start and is_question(items[start - 1].value):
        start -= 1
    return [item.value for item in items[start:]]
