"""What a `CompactionProvider`'s ``after_strategy`` does to a conversation that BotWire keeps.

Agent Framework's provider looks for the messages in the session's state, where ours are not. So it
is given a session of its own that holds what is stored, and what it excludes is archived.
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
    """Returns the providers of an agent that compact what is kept under a source's id."""
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
        memory: Where the conversation is, in the history that is called like the session.
        providers: What `after_strategies` returned.
        agent: Whose run has ended.
        context: The run's.
        source_id: Of the history provider.
        last: The last item that the run knows: if there is another, somebody else is at work, and
            nothing is done. None: whatever is there.
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
    if same == len(included):  # what is left out is at the beginning
        await history.archive(stored[len(stored) - same - 1][0])
        return last
    values = await off_loop(to_items, [_on_its_own(message, last) for message in included])
    with suppress(ConflictError):  # somebody else is at work: what this run answers is refused
        async with memory.transaction() as tx:
            tx.history(context.session_id).archive(last)
            tx.history(context.session_id).extend(values, if_last=last)
        return last + len(values)
    return last


def _on_its_own(message: Message, last: int) -> Message:
    """Returns a message without what ties it to others that are archived.

    A summary's id is made of the number of messages, so the next one may have the same.
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
