"""Agent Framework's history provider: each session's conversation is a history."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Unpack

from agent_framework import (
    AgentSession,
    HistoryProvider,
    Message,
    SessionContext,
    SupportsAgentRun,
    _sessions,
)

from botwire import AsyncHistory, ConfigurationError, ConflictError
from botwire.answers import Answerer, Answerers
from botwire.connection import Connected, ConnectionOptions
from botwire.off_loop import off_loop
from botwire.operations import check_count, read_ttl
from botwire_agent_framework.acting import acting, written_by
from botwire_agent_framework.compaction import after_strategies, compact
from botwire_agent_framework.convert import call_ids, from_items, item_id, to_items
from botwire_agent_framework.inputs import find_calls, paired, without_stored


class BotWireHistoryProvider(
    Connected, HistoryProvider, framework="agent-framework", acting=acting, shows="source_id"
):
    """Agent Framework's history provider on BotWire: ``Agent(context_providers=[…])``.

    A session's conversation is the history with the session's name, so the adapter of another
    framework can continue it under the same name. Agent Framework decides what is stored; by
    default it is the input and the answer, at the end of a run. With
    ``require_per_service_call_history_persistence=True`` an agent stores after each model call, so
    a killed process loses less. A stored tool call without an answer is closed for the model, which
    would refuse it otherwise.

    If two runs of one session overlap, one is refused with a `ConflictError`: a model's answer is
    stored only if nothing else was written since the model was shown the conversation.

    If an agent has several of these providers, for example one that only keeps a record, give each
    a namespace of its own.

    A message whose id is already stored is not stored again. If a run's input begins with what the
    conversation ends with, as a transcript does, that part is not stored again either. Otherwise
    messages without an id may be equal: a user who says "go on" twice has said it twice.

    Args:
        namespace: The namespace of the conversations. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        source_id: The provider's name within an agent.
        max_messages: Number of last messages to load; None: all. Nothing is deleted.
        skip_excluded: Whether to skip messages marked as excluded. If so, messages that the
            ``after_strategy`` of a `CompactionProvider` with this ``history_source_id`` excludes
            are archived: later runs do not load them, and nothing is deleted.
        load_messages: See `HistoryProvider`, as for the next four.
        store_inputs: Whether to store an agent's input.
        store_outputs: Whether to store an agent's answers.
        store_context_messages: Whether to store messages of other providers.
        store_context_from: The providers whose messages to store; None: all.
        ttl: Seconds after its last message when a conversation expires, by the store's clock; None
            leaves its expiry as it is.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        source_id: str = "botwire_history",
        max_messages: int | None = None,
        skip_excluded: bool = False,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_outputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        HistoryProvider.__init__(
            self,
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        if max_messages is not None:
            check_count(max_messages, "max_messages", least=1)
        super().__init__(namespace, **connection)
        self.ttl = read_ttl(ttl)
        self.max_messages = max_messages
        self.skip_excluded = skip_excluded
        self._answerers = Answerers(self.connection.namespace, _run)

    def _history(self, session_id: str | None) -> AsyncHistory:
        if not session_id:
            raise ConfigurationError(
                "a conversation needs the id of its session: AgentSession(session_id=…)"
            )
        return self.connection.async_memory.history(session_id, ttl=self.ttl)

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """Returns a session's messages, oldest first.

        Args:
            session_id: The session.
            state: Not used.
            **kwargs: Not used.
        """
        history = self._history(session_id)
        answerer = self._answerers.of_task(history.name)
        last = await answerer.last_seq(history)
        limit = self.max_messages
        items = await (history.read() if limit is None else history.read_last(limit))
        answerer.shown(items, last)
        messages = await off_loop(from_items, items)
        # Services refuse a tool's answer without its call.
        while limit is not None and messages and messages[0].role == "tool":
            messages.pop(0)
        return self._shown(messages)

    def _shown(self, messages: list[Message]) -> list[Message]:
        if not self.skip_excluded:
            return messages
        return [one for one in messages if not one.additional_properties.get("_excluded")]

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Appends messages to a session, all or none.

        Args:
            session_id: The session.
            messages: The messages to append.
            state: Not used.
            **kwargs: Not used.

        Raises:
            ConflictError: Another run wrote to the session since this one read it.
            NotJSONError: A message holds something that cannot be restored; the error says which
                one and where.
        """
        items = await off_loop(to_items, messages)
        ids = [item_id(message, item) for message, item in zip(messages, items, strict=True)]
        if not items:
            return
        # A message with an id is stored once, also if the same call brings it twice.
        new = {id or n: (item, id) for n, (item, id) in enumerate(zip(items, ids, strict=True))}
        values, names = zip(*new.values(), strict=True)
        history = self._history(session_id)
        answerer = self._answerers.of_task(history.name)
        seqs = await answerer.answer(
            history,
            lambda last: history.extend(values, ids=names, if_last=last),
            where=_called(history),
        )
        goes_on = answerer.seen is not None and call_ids(messages[-1]).calls
        answerer.saw(max(seqs) if goes_on else None)

    async def before_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Loads the conversation for a run.

        Raises:
            ConflictError: Another run wrote to the conversation since this one called its tools.
                The tools' results are stored.
            ConfigurationError: Another provider of the agent stores the same messages in the same
                place.
        """
        self._check_alone(agent)
        with written_by(agent):
            await self._load(agent, session, context, state)

    async def _load(
        self,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        before = Answerer()
        if context.session_id:
            before.saw(self._answerers.of_task(context.session_id).seen)
        results = [one for one in context.input_messages if call_ids(one).answers]
        if _stores_each_call(agent) and not results:  # a turn begins: the last one has ended
            await self._compact(agent, context, None)
        await super().before_run(agent=agent, session=session, context=context, state=state)
        if results and before.seen is not None:
            await self._check_turn(before, results, context.session_id)
        loaded = context.context_messages.get(self.source_id, [])
        if self.load_messages and self.max_messages is not None:
            history = self._history(context.session_id)
            loaded = [*await find_calls(history, context.input_messages, loaded), *loaded]
        context.context_messages[self.source_id] = paired(loaded, context.input_messages)

    async def after_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Stores a run's messages, after compacting the conversation if a strategy asks for it.

        Raises:
            ConflictError: Another run wrote to the session since this one read it.
        """
        if context.session_id and not _stores_each_call(agent):
            answerer = self._answerers.of_task(context.session_id)
            if answerer.seen is not None:
                answerer.saw(await self._compact(agent, context, answerer.seen))
        with written_by(agent):
            if self.store_inputs and len(context.input_messages) > 1:  # one is no transcript
                history, context = self._history(context.session_id), copy.copy(context)
                context.input_messages = await without_stored(history, context.input_messages)
            await super().after_run(agent=agent, session=session, context=context, state=state)

    async def _compact(
        self, agent: SupportsAgentRun, context: SessionContext, last: int | None
    ) -> int | None:
        if not self.skip_excluded:
            return last
        return await compact(
            self.connection.async_memory,
            after_strategies(agent, self.source_id),
            agent=agent,
            context=context,
            source_id=self.source_id,
            last=last,
        )

    def _check_alone(self, agent: SupportsAgentRun) -> None:
        for other in getattr(agent, "context_providers", ()):
            if (
                other is not self
                and isinstance(other, BotWireHistoryProvider)
                and other.connection.reference() == self.connection.reference()
                and (
                    (other.store_inputs and self.store_inputs)
                    or (other.store_outputs and self.store_outputs)
                )
            ):
                raise ConfigurationError(
                    f"{self!r} and {other!r} of one agent would store each message twice: give "
                    "one of them a namespace= of its own name"
                )

    async def _check_turn(
        self, before: Answerer, results: Sequence[Message], session_id: str | None
    ) -> None:
        history = self._history(session_id)
        if not await before.overtaken(history):
            return
        self._answerers.of_task(history.name).saw(None)
        await self.save_messages(session_id, results)  # keeps the tools' results
        raise ConflictError(
            f"another request wrote to {_called(history)} while this one was in a tool: only one "
            "at a time can answer. Run this one again"
        )

    async def list_sessions(self) -> list[str]:
        """Returns the ids of all sessions that hold messages, including other frameworks'."""
        infos = await self.connection.async_memory.list_histories()
        return [info.name for info in infos if info.count]

    async def clear(self, session_id: str) -> None:
        """Deletes a session's messages."""
        await self._history(session_id).clear()


def _run() -> object:
    """Returns an object of its own for each run, so that others may speak between two of a task."""
    identity = getattr(_sessions, "_current_run_identity", None)  # agent-framework-core 1.23.0
    return None if identity is None else identity()


def _stores_each_call(agent: SupportsAgentRun) -> bool:
    return bool(getattr(agent, "require_per_service_call_history_persistence", False))


def _called(history: AsyncHistory) -> str:
    return f"the session {history.name!r}"
