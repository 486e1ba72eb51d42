"""Tool calls and their answers in LlamaIndex's messages."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock

from botwire.tool_calls import NOT_COMPLETED, CallIds, pair_answers

TOOL_ROLES = (MessageRole.TOOL, MessageRole.FUNCTION)
"""The roles of messages that answer a tool call."""


def with_answered_calls(
    messages: Sequence[ChatMessage], *, may_call: bool = True
) -> list[ChatMessage]:
    """Returns the messages with an answer to each tool call; see `botwire.tool_calls`.

    Without the answers, models would refuse the conversation from then on. A call at the end stays
    open, because its answer may be on the way.

    Args:
        messages: The messages about to be shown to a model.
        may_call: Whether any of the messages may call a tool.
    """
    if not may_call:
        return [*messages]
    known = _call_ids(messages)
    answered: set[str] = set()
    on_the_way: list[str] = []
    for index in range(len(known) - 1, -1, -1):
        if known[index].calls:
            # Rename unanswered calls: an earlier call may have the same id and no answer.
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
    """Returns which calls each message makes and which it answers.

    Some models and older programs give no ids. Then this assigns an id to each call, and matches an
    answer to the first earlier call that waits for one.
    """
    known: list[CallIds] = []
    waiting: list[str] = []
    for index, message in enumerate(messages):
        if message.role in TOOL_ROLES:
            named = _name(message.additional_kwargs.get("tool_call_id"))
            answer = named or (waiting[0] if waiting else f"{index}")
            if answer in waiting:
                waiting.remove(answer)
            known.append(CallIds(answers=(answer,)))
            continue
        calls = [name or f"{index}.{i}" for i, name in enumerate(calls_of(message))]
        if calls or message.role == MessageRole.USER:
            waiting = list(calls)
        known.append(CallIds(calls=calls))
    return known


def calls_of(message: ChatMessage) -> list[str | None]:
    """Returns the id of each call, None for a call without one."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [block.tool_call_id for block in blocks]
    older = message.additional_kwargs.get("tool_calls")  # the place of calls before blocks existed
    if not isinstance(older, list):
        return []
    ids = (one.get("id") if isinstance(one, dict) else getattr(one, "id", None) for one in older)
    return [_name(one) for one in ids]


def _name(id: object) -> str | None:
    """Returns an id from a message's free fields, which may hold anything; None for none."""
    return str(id) if id else None


def _not_completed(call: str) -> ChatMessage:
    return ChatMessage(
        role=MessageRole.TOOL, content=NOT_COMPLETED, additional_kwargs={"tool_call_id": call}
    )
