"""Runs a `CompactionProvider`'s ``after_strategy`` on a conversation stored on BotWire.

Agent Framework's provider looks for the messages in the session's state, but ours are elsewhere. So
this module gives the provider a temporary session with the stored messages, and archives the
messages that the provider excludes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from agent_framework import (
    EXCLUDED_KEY,
    GROUP_ANNOTATION_KEY,
    SUMMARY_OF_MESSAGE_IDS_KEY,
    AgentSession,
    CompactionProvider,
    Message,
    SessionContext,
)

from botwire import AsyncMemory, ConflictError
from botwire.off_loop import off_loop
from botwire_agent_framework.convert import from_items_with_seqs, to_items

_LOOP = "_agent_loop_iteration"  # agent-framework-core 1.23.0: this is not the end of a turn


def after_strategies(agent: Any, source_id: str) -> list[CompactionProvider]:
    """Returns the providers of an agent that compact the messages of a history provider."""
    return [
        provider
        for provider in getattr(agent, "context_providers", ())
        if isinstance(provider, CompactionProvider)
        and provider.after_strategy is not None
        and provider.history_source_id == source_id
    ]


async def compact(
    memory: AsyncMemory,
    providers: Sequence[CompactionProvider],
    *,
    agent: Any,
    context: SessionContext,
    source_id: str,
    last: int | None,
) -> int | None:
    """Lets providers compact a conversation, and returns its last sequence number.

    Args:
        memory: The memory that holds the conversation, in the history named like the session.
        providers: The providers that `after_strategies` returned.
        agent: The agent whose run has ended.
        context: The context of the run.
        source_id: The id of the history provider.
        last: The last item that the run knows. If the history has a later one, another run is
            active, and this does nothing. None: compact the history whatever its last item is.
    """
    if not providers or not context.session_id or context.options.get(_LOOP) is not None:
        return last
    history = memory.history(context.session_id)
    items = await history.read()
    if not items or last not in (None, items[-1].seq):
        return last
    last = items[-1].seq
    stored = await off_loop(from_items_with_seqs, items)
    kept = [message for _, message in stored]
    session = AgentSession(session_id=context.session_id)
    session.state[source_id] = {"messages": kept}
    for provider in providers:
        await provider.after_run(agent=agent, session=session, context=context, state={})
    included = [m for m in kept if not m.additional_properties.get(EXCLUDED_KEY)]
    same = _same_at_the_end(stored, included)
    if same == len(stored):
        return last
    if same == len(included):  # the excluded messages are all at the beginning
        await history.archive(stored[len(stored) - same - 1][0])
        return last
    values = await off_loop(to_items, [_on_its_own(message, last) for message in included])
    with suppress(ConflictError):  # another run is active, so this run's answer will be refused
        async with memory.transaction() as tx:
            tx.history(context.session_id).archive(last)
            tx.history(context.session_id).extend(values, if_last=last)
        return last + len(values)
    return last


def _on_its_own(message: Message, last: int) -> Message:
    """Returns a message without its links to archived messages.

    A summary's id is derived from the number of messages, so this makes the id unique: the next
    summary may have the same.
    """
    ties = message.additional_properties.pop(GROUP_ANNOTATION_KEY, None)
    if isinstance(ties, dict) and SUMMARY_OF_MESSAGE_IDS_KEY in ties:
        message.message_id = f"{message.message_id}_{last}"
    return message


def _same_at_the_end(stored: Sequence[tuple[int, Message]], included: Sequence[Message]) -> int:
    same = 0
    while same < min(len(stored), len(included)) and stored[-1 - same][1] is included[-1 - same]:
        same += 1
    return same
