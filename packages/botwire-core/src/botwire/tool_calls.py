"""Pairs tool calls with their answers, so that no model is shown a call without its answer.

Model services reject a conversation in which a call is not followed by its answer, or an answer
does not follow its call. Such conversations arise when a process dies inside a tool, when two
requests run at once, and when a window cuts between call and answer. `pair_answers` repairs what a
model is shown, not what is stored. It does no I/O and knows no framework: for each message, an
adapter says which calls it makes and which it answers (`CallIds`).

    shown = pair_answers(messages, ids=call_ids, close=say_not_completed)

Calls and answers are matched by id. Some models use an id more than once: an answer then belongs to
the last message before it with an open call of that id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from botwire.messages import Message

NOT_COMPLETED = "This call was not completed: the process that made it ended."
"""The answer shown to a model for a call whose answer was never stored."""

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class CallIds:
    """The calls that a message makes and answers.

    Attributes:
        calls: The ids of the calls that it makes, in order.
        answers: The ids of the calls that it answers, in order.
    """

    calls: Sequence[str] = ()
    answers: Sequence[str] = ()

    @classmethod
    def of(cls, message: Message) -> CallIds:
        """Returns the ids in the portable part of an envelope."""
        answers = () if message.tool_call_id is None else (message.tool_call_id,)
        return cls([call.id for call in message.tool_calls], answers)


class Spot(NamedTuple):
    """The position of a call or an answer in a conversation.

    Attributes:
        message: The index of the message.
        position: The index among the message's calls, or among its answers.
    """

    message: int
    position: int


@dataclass(frozen=True, slots=True)
class Matches:
    """The calls of a conversation with their answers.

    Attributes:
        answered: The answer of each answered call.
        unanswered: The calls without an answer, in order.
        orphans: The answers without a call, including second answers, in order.
    """

    answered: dict[Spot, Spot] = field(default_factory=dict)
    unanswered: tuple[Spot, ...] = ()
    orphans: tuple[Spot, ...] = ()


def match_calls(
    conversation: Iterable[CallIds | None], *, settled: Collection[str] = ()
) -> Matches:
    """Returns the answer of each call, the unanswered calls, and the answers without a call.

    Args:
        conversation: The ids of each message, oldest first; None for an entry that is not a
            message.
        settled: Ids of calls that are never reported as unanswered, nor their answers as orphans.
    """
    answered: dict[Spot, Spot] = {}
    orphans: list[Spot] = []
    waiting: dict[str, list[list[Spot]]] = {}  # open calls by id, one list per message
    for index, ids in enumerate(conversation):
        if ids is None:
            continue
        for position, call in enumerate(ids.calls):
            groups = waiting.setdefault(call, [])
            if not groups or groups[-1][0].message != index:
                groups.append([])
            groups[-1].append(Spot(index, position))
        for position, call in enumerate(ids.answers):
            groups = waiting.get(call, [])
            if groups:
                answered[groups[-1].pop(0)] = Spot(index, position)
                if not groups[-1]:
                    groups.pop()
            elif call not in settled:
                orphans.append(Spot(index, position))
    unanswered = sorted(
        spot
        for call, groups in waiting.items()
        if call not in settled
        for group in groups
        for spot in group
    )
    return Matches(answered, tuple(unanswered), tuple(orphans))


def _all_or_none(message: M, answers: Sequence[int], rest: bool) -> M | None:
    return message if answers else None


def pair_answers(
    messages: Iterable[M],
    *,
    ids: Callable[[M], CallIds | None],
    close: Callable[[M, Sequence[int]], Iterable[M]],
    select: Callable[[M, Sequence[int], bool], M | None] = _all_or_none,
    settled: Collection[str] = (),
) -> list[M]:
    """Returns the messages with each call followed by its answer, and no answer without a call.

    An answer found elsewhere is moved to its call. An unanswered call gets the messages that
    `close` returns. An answer without a call is dropped, as is a second answer to a call. A
    conversation that needs no repair is returned unchanged.

    Args:
        messages: A framework's messages, oldest first.
        ids: Returns the calls and answers of a message; None for an entry that is not a message,
            which may stand between a call and its answer.
        close: Takes a message and the positions of its open calls; returns messages that answer
            them.
        select: Takes a message, the positions of the answers to keep, and whether to keep its other
            content; returns the message with only that, or None if nothing is left. Needed if a
            message has several answers, or answers and other content.
        settled: Ids of calls that are answered elsewhere or wait for a person. They are not closed,
            and their answers are kept even without a call.
    """
    conversation = list(messages)
    known = [ids(message) for message in conversation]
    matches = match_calls(known, settled=settled)
    open_calls: dict[int, list[int]] = {}
    for spot in matches.unanswered:
        open_calls.setdefault(spot.message, []).append(spot.position)
    answers: dict[int, dict[int, list[int]]] = {}  # calling message: answering message: positions
    for call, answer in matches.answered.items():
        answers.setdefault(call.message, {}).setdefault(answer.message, []).append(answer.position)
    kept: dict[int, set[int]] = {
        index: {position for position, call in enumerate(one.answers) if call in settled}
        for index, one in enumerate(known)
        if one is not None and one.answers
    }
    ends: dict[int, int] = {}  # where the answers that already follow a calling message end
    moved: dict[int, dict[int, list[int]]] = {}
    for caller in answers.keys() | open_calls.keys():
        theirs = answers.get(caller, {})
        end = caller
        for index in range(caller, len(known)):
            one = known[index]
            if index > caller and one is not None and one.calls:
                break
            if index in theirs:
                kept[index] |= set(theirs[index])
                end = index
            elif index > caller and one is not None:
                break
        ends[caller] = end
        moved[caller] = {index: theirs[index] for index in theirs if index > end}
    if not (matches.unanswered or matches.orphans or any(moved.values())):
        return conversation
    after: dict[int, list[int]] = {}
    for caller, end in ends.items():
        after.setdefault(end, []).append(caller)
    shown: list[M] = []
    for index, message in enumerate(conversation):
        described = known[index]
        whole = described is None or len(kept.get(index, ())) == len(described.answers)
        rest = message if whole else select(message, sorted(kept[index]), True)
        if rest is not None:
            shown.append(rest)
        for caller in sorted(after.get(index, ())):
            for source, positions in moved[caller].items():
                part = select(conversation[source], sorted(positions), False)
                if part is not None:
                    shown.append(part)
            if caller in open_calls:
                shown += close(conversation[caller], open_calls[caller])
    return shown


def close_calls(
    messages: Iterable[M],
    spots: Iterable[Spot],
    *,
    ids: Callable[[M], CallIds | None],
    close: Callable[[M, Sequence[int]], Iterable[M]],
) -> list[M]:
    """Returns messages in which the given calls are closed, after the answers already there.

    Unlike `pair_answers`, it moves and drops nothing, so the result can be stored.

    Args:
        messages: A framework's messages, oldest first.
        spots: The calls to close, from `match_calls`.
        ids: See `pair_answers`.
        close: See `pair_answers`.
    """
    open_calls: dict[int, list[int]] = {}
    for spot in spots:
        open_calls.setdefault(spot.message, []).append(spot.position)
    closed: list[M] = []
    due: list[M] = []
    for index, message in enumerate(messages):
        described = ids(message)
        if described is None or not described.answers:
            closed += due
            due = []
        closed.append(message)
        if index in open_calls:
            due += close(message, open_calls[index])
    return closed + due


def drop_open_end(messages: Iterable[M], *, ids: Callable[[M], CallIds | None]) -> list[M]:
    """Returns the messages without a trailing message whose calls are not all answered.

    For a conversation that is cut off: the answers may follow in the part that is left out.
    """
    kept = list(messages)
    known = [ids(message) for message in kept]
    last = max((i for i, one in enumerate(known) if one is not None and one.calls), default=-1)
    unanswered = {spot.message for spot in match_calls(known).unanswered}
    if last in unanswered and all(one is None or one.answers for one in known[last + 1 :]):
        return kept[:last]
    return kept
